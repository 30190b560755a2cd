"""The content engine: work that is bounded for every shape, and finders whose failure leaves the others."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support.pictures import encoded

from celeste_image.core.errors import WeightsMissing
from celeste_image.engines import content
from celeste_image.engines.content import models, texts

sides = st.integers(1, 16_384)


@given(sides, sides)
def test_the_pixels_in_which_text_is_sought_are_bounded_for_every_shape(width: int, height: int) -> None:
    scale = texts.scale_of(width, height)
    seen = [max(texts.LEAST_SIDE, side * scale) for side in (width, height)]
    longer, shorter = max(width, height), min(width, height)
    at_most = max(texts.work_for(width, height).detected, min(texts.LONGEST, longer) ** 2 * shorter / longer)
    assert 0 < scale <= texts.ENLARGED
    assert seen[0] * seen[1] <= at_most * 1.3


@pytest.mark.parametrize(
    ("width", "height", "seen"),
    [
        (1, 40, (12, 480)),
        (1, 100, (12, 1200)),
        (40, 4000, (31, 3125)),
        (400, 16_000, (71, 2828)),
        (16_384, 1, (3125, 0)),
        (512, 512, (707, 707)),
        (1000, 1000, (1000, 1000)),
        (4000, 4000, (2000, 2000)),
        (16_384, 2441, (2000, 298)),
    ],
)
def test_scales(width: int, height: int, seen: tuple[int, int]) -> None:
    scale = texts.scale_of(width, height)
    assert (round(width * scale), round(height * scale)) == seen


@pytest.mark.parametrize(
    ("size", "line", "count", "pieces", "pixels"),
    [
        ((2000, 2000), (1900, 16), 120, 250, 120_000),
        ((2000, 2000), (40, 9), 2000, 200, 120_000),
        ((40, 4000), (38, 20), 130, 4, 1300),
        ((4000, 40), (3800, 30), 1, 2, 1300),
        ((400, 16_000), (380, 24), 400, 4, 1300),
    ],
)
def test_the_work_of_reading_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    line: tuple[int, int],
    count: int,
    pieces: int,
    pixels: int,
) -> None:
    reader = texts.reader(1)
    scale = texts.scale_of(*size)
    width, height = (max(2, side * scale) for side in line)
    box = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) + texts.BORDER
    read: list[Any] = []
    monkeypatch.setattr(reader, "_load_det_model", lambda: lambda _: SimpleNamespace(boxes=np.array([box] * count)))
    monkeypatch.setattr(reader, "cls_and_rotate", lambda lines: (lines, None))
    monkeypatch.setattr(reader, "recognize_txt", read.extend)
    _, note = texts.find(Image.new("RGB", size), 1)
    assert 0 < len(read) <= pieces
    assert sum(max(320, 48 * piece.shape[1] // piece.shape[0]) for piece in read) <= pixels
    assert note.endswith(f"of {count} lines were read whole, to bound the work")


@given(st.integers(1, 30), st.integers(1, 1500))
def test_a_wide_line_is_cut_without_loss(height: int, width: int) -> None:
    line = np.arange(height * width * 3, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)
    pieces = texts.cut_line(line)
    assert np.array_equal(np.concatenate(pieces, axis=1), line)
    assert max(piece.shape[1] for piece in pieces) <= max(1, texts.WIDEST_LINE * height // texts.LINE_HEIGHT)


def test_a_line_is_cut_between_letters() -> None:
    line = np.random.default_rng(1).integers(0, 255, (20, 800, 3), np.uint8)
    line[:, 300:310] = 255
    first, *_ = texts.cut_line(line)
    assert 300 <= first.shape[1] < 310


class Emitted(list[tuple[str, dict[str, Any]]]):
    def __call__(self, kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        self.append((kind, fields or {}))


FAILURES = {
    "bad_alloc": RuntimeError("std::bad_alloc"),
    "onnxruntime": RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 9"),
    "numpy": MemoryError(),
    "bug": KeyError("boxes"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_finder_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch, failure: str) -> None:
    def fail(*_: Any) -> Any:
        raise FAILURES[failure]

    emitted, tag = Emitted(), {"name": "cup", "score": 0.9}
    monkeypatch.setattr(texts, "find", fail)
    monkeypatch.setattr(models, "tags", lambda *_: [tag])
    data = encoded(Image.new("RGB", (30, 30), "teal"))
    content.run({"tags": True, "texts": True, "path": "kinds[0]"}, [data], emitted)
    (analysis,) = [fields["found"] for kind, fields in emitted if kind == "analysis"]
    assert analysis["tags"] == [tag]
    assert analysis["colors"][0]["name"] == "teal"
    (left,) = analysis["left_out"]
    (warned,) = [fields for kind, fields in emitted if kind == "warned"]
    assert left["field"] == "texts"
    assert ("memory" in left["message"]) is (failure != "bug")
    assert warned == {"path": "kinds[0]", "text": f"texts are omitted: {left['message']}"}


def test_damaged_weights_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise WeightsMissing("damaged")

    monkeypatch.setattr(models, "tags", fail)
    with pytest.raises(WeightsMissing):
        content.run({"tags": True}, [encoded(Image.new("RGB", (3, 3)))], Emitted())


def test_lines_that_were_not_read_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "find", lambda *_: ([], "only 2 of 9 lines were read whole"))
    emitted = Emitted()
    data = io.BytesIO()
    Image.new("RGB", (30, 30)).save(data, "PNG")
    content.run({"texts": True}, [data.getvalue()], emitted)
    (found,) = [fields["found"] for kind, fields in emitted if kind == "analysis"]
    assert found["left_out"] == [{"field": "texts", "message": "only 2 of 9 lines were read whole"}]
    assert ("warned", {"path": "kinds", "text": "texts are incomplete: only 2 of 9 lines were read whole"}) in emitted
