"""An engine that was taken over sends any message: the call fails as a lost engine, never as a bug of the server."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from celeste_image.core.errors import EngineLost, NotAnImage
from celeste_image.core.image import ImageFacts
from celeste_image.engines.events import event_of
from celeste_image.imaging.guard import Guard, ImageLimits
from celeste_image.imaging.pixels import Pixels
from celeste_image.providers.local.findings import analysis_of
from celeste_image.sandbox.frames import BadFrame, Frame, decode_frame, reading
from celeste_image.sandbox.pool import WorkerPool, _error_of
from celeste_image.wire.analysis import analysis_to_proto

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
MADE = {"media_type": "image/png", "width": 1, "height": 1}
QUALITY = dict.fromkeys(
    ("sharpness", "laplacian_variance", "brightness", "contrast", "clipped_shadows", "clipped_highlights", "noise"), 0.5
)
FILE = {
    **{"media_type": "image/png", "width": 1, "height": 1, "size_bytes": 1, "sha256": "0" * 64, "color_mode": "rgb"},
    **{"has_alpha": False, "entries": [{"group": "png", "name": "n", "value": 1 << 40}], "credentials": None},
    "generation": {"tool": "x", "seed": (1 << 64) - 1, "more": {"n": 1 << 40}},
}


def test_good_messages_pass() -> None:
    assert event_of(Frame("picture", MADE | {"seed": 5}, PNG))
    assert event_of(Frame("progress", {"fraction": 1, "phase": "load"}))
    assert analysis_of("quality", QUALITY).quality
    assert analysis_to_proto(analysis_of("metadata", FILE)).metadata.generation.seed == (1 << 64) - 1


@pytest.mark.parametrize(
    ("kind", "fields", "payload"),
    [
        ("picture", MADE | {"media_type": "text/html"}, b"<script>alert(1)</script>"),
        ("picture", MADE | {"media_type": "image/svg+xml"}, b"<svg onload='alert(1)'/>"),
        ("picture", MADE | {"media_type": "image/png\r\nX-Evil: 1"}, PNG),
        ("picture", MADE | {"media_type": "image/../../etc"}, PNG),
        ("picture", MADE | {"media_type": 5}, PNG),
        ("picture", MADE | {"media_type": "image/jpeg"}, PNG),
        ("picture", MADE, b"I am no image"),
        ("picture", MADE | {"width": -1}, PNG),
        ("picture", MADE | {"width": 10**30}, PNG),
        ("picture", MADE | {"width": 1.5}, PNG),
        ("picture", MADE | {"height": "1"}, PNG),
        ("picture", MADE | {"seed": 1 << 70}, PNG),
        ("picture", MADE | {"seed": "x"}, PNG),
        ("picture", {}, PNG),
        ("preview", MADE | {"media_type": "text/html"}, b"<html>"),
        ("progress", {"fraction": "x", "phase": 7}, b""),
        ("progress", {"fraction": 7.0, "phase": "load"}, b""),
        ("progress", {"fraction": 0.5, "phase": "p" * 1_000_000}, b""),
        ("ready", {"controls": {}}, b""),
        ("owned", {}, b""),
    ],
)
def test_a_forged_message_is_a_lost_engine(kind: str, fields: dict[str, Any], payload: bytes) -> None:
    with pytest.raises(EngineLost) as caught, reading():
        event_of(Frame(kind, fields, payload))
    assert caught.value.metadata == {"at": "work"}


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("quality", QUALITY | {"noise": "loud"}),
        ("quality", {}),
        ("quality", QUALITY | {"more": 1}),
        *[("metadata", FILE | {"width": number}) for number in (1 << 31, (1 << 63) - 1, -(1 << 31) - 1)],
        *[("metadata", FILE | {"generation": {"tool": "x", "seed": seed}}) for seed in (-1, 1 << 64)],
        ("safety", {"scores": 5}),
        ("safety", {"scores": [5]}),
        ("content", {"tags": [{"name": 5, "score": "x"}]}),
        ("metadata", {"entries": 1, "generation": None, "credentials": None}),
        ("keys", {}),
        (5, {}),
        ("quality", None),
    ],
)
def test_forged_findings_are_a_lost_engine(part: Any, found: Any) -> None:
    with pytest.raises(EngineLost), reading():
        analysis_of(part, found)


@pytest.mark.parametrize("text", [b'{"kind":"x","a":"\\ud800"}', b'{"kind":"x","\\udfff":1}', b'{"kind":"x","a":NaN}'])
def test_a_frame_of_what_no_answer_can_hold_is_bad(text: bytes) -> None:
    with pytest.raises(BadFrame):
        decode_frame(text, b"")


@pytest.mark.parametrize(
    "more",
    [
        {"message": [1]},
        {"metadata": [1]},
        {"metadata": {"a": 1}},
        {"metadata": {f"k{number}": "v" * 100 for number in range(7000)}},
        {"violations": 7},
        {"violations": [5]},
        {"violations": [["a"]]},
        {"violations": [["a", "b", "c"]] * 100},
    ],
)
def test_a_forged_error_is_a_lost_engine(more: dict[str, Any]) -> None:
    with pytest.raises(EngineLost), reading():
        _error_of(Frame("error", {"reason": "NOT_AN_IMAGE", "message": "m"} | more))


@pytest.mark.parametrize("reason", ["OUTCOME_UNKNOWN", "ENGINE_LOST", "INVALID_KEY", "DEADLINE_EXCEEDED", "no reason"])
def test_an_engine_can_not_choose_the_errors_of_others(reason: str) -> None:
    assert type(_error_of(Frame("error", {"reason": reason, "message": "m"}))) is RuntimeError


def test_an_error_is_small_enough_for_an_answer() -> None:
    error = _error_of(Frame("error", {"reason": "NOT_AN_IMAGE", "message": "m" * 900_000}))
    assert isinstance(error, NotAnImage)
    assert len(error.message) <= 500


class Forger(WorkerPool):
    """Sends the same message for ever."""

    def __init__(self, frame: Frame, times: int) -> None:
        self.frame, self.times, self.sent = frame, times, 0

    async def run(self, task: dict[str, Any], pictures: Sequence[bytes] = ()) -> AsyncGenerator[Frame, Frame | None]:
        for _ in range(self.times):
            self.sent += 1
            yield self.frame


FACTS = {"size_bytes": 1, "sha256": "", "mode": "RGB", "has_alpha": False, **MADE}


@pytest.mark.parametrize(
    ("fields", "times"),
    [
        (FACTS, 1000),
        (FACTS, 0),
        ({}, 1),
        (FACTS | {"width": -1}, 1),
        (FACTS | {"width": "wide"}, 1),
        (FACTS | {"media_type": "text/html"}, 1),
        (FACTS | {"notes": 5}, 1),
        (FACTS | {"notes": ["n" * 5000]}, 1),
    ],
)
async def test_the_guard_believes_no_forged_facts(fields: dict[str, Any], times: int) -> None:
    forger = Forger(Frame("facts", fields), times)
    with pytest.raises(EngineLost):
        await Guard(forger, ImageLimits())._decode(b"x", "0" * 64)
    assert forger.sent <= 2, "no more is held in memory"


async def test_the_guard_believes_good_facts() -> None:
    assert isinstance(await Guard(Forger(Frame("facts", FACTS), 1), ImageLimits())._decode(b"x", "0" * 64), ImageFacts)


@pytest.mark.parametrize("times", [0, 1000])
async def test_pixel_work_answers_once(times: int) -> None:
    forger = Forger(Frame("picture", MADE, PNG), times)
    with pytest.raises(EngineLost):
        await Pixels("p", pool=forger)._frames({}, [])
    assert forger.sent <= 2, "no more is held in memory"
