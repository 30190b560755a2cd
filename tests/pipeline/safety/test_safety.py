"""The policy's steps, with an engine that does what it is told, and what the steps around them make of a refusal."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support import pictures
from tests.support.fake_provider import (
    CALL,
    REQUEST,
    Fake,
    FakeProvider,
    card,
    collect,
    collect_until_error,
    picture,
    routed,
    saved,
)

from celeste_image.config import SafetySettings
from celeste_image.core.analysis import Analysis
from celeste_image.core.card import ModelEvidence, Price
from celeste_image.core.errors import CelesteError, EngineLost, ProviderUnavailable, SafetyBlocked
from celeste_image.core.events import (
    Analyzed,
    ComputeUsed,
    Event,
    ImageFailed,
    Picture,
    Preview,
    SafetyJudged,
    Saved,
    Warned,
)
from celeste_image.core.image import ImageInput
from celeste_image.core.request import Analyze, OperationKind, Upscale
from celeste_image.core.safety import SafetyAction, SafetyAnalysis, SafetyScore, SafetyStage, SafetyVerdict
from celeste_image.imaging.pixels import Pixels
from celeste_image.pipeline.retry import retrying
from celeste_image.pipeline.safety.policy import SafetyPolicy
from celeste_image.pipeline.safety.steps import checking_inputs, checking_outputs, checking_prompts
from celeste_image.pipeline.split import splitting
from celeste_image.providers.registry import Registry, stranger_card

CARD = card("fake/one", max_count=4)
JUDGE = card("fake/judge", OperationKind.ANALYZE, safety_categories=("bad", "odd"))


def scores(bad: float, odd: float = 0.0) -> Analyzed:
    return Analyzed(Analysis(safety=SafetyAnalysis((SafetyScore("bad", bad), SafetyScore("odd", odd)))))


def policy(*script: Any, pictures_: Pixels | None = None, **safety: Any) -> tuple[SafetyPolicy, Fake]:
    judge = Fake(*script)
    provider = FakeProvider([CARD, JUDGE], run=judge)
    settings = SafetySettings(engine="fake/judge", **safety)
    return SafetyPolicy(settings, Registry({"fake": provider}), pictures_ or Pixels("test")), judge


def verdicts(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.verdict.category, event.verdict.action.value) for event in events if isinstance(event, SafetyJudged)]


def test_a_policy_that_asks_for_nothing_leaves_the_road_as_it_is() -> None:
    nothing, _ = policy(outputs={"bad": "off"})
    run = Fake()
    assert checking_prompts(run, nothing) is run
    assert checking_inputs(run, nothing) is run
    assert checking_outputs(run, nothing) is run


async def test_the_judge_is_asked_what_it_offers_and_its_time_counts() -> None:
    judged, judge = policy(scores(0.9), ComputeUsed(1.5), outputs={"bad": "flag"})
    made = Fake(ComputeUsed(2.0), picture(b"one", 3))
    events = await collect(routed(checking_outputs(made, judged), [CARD]))
    (asked,) = judge.asked
    assert isinstance(asked, Analyze)
    assert (asked.model, asked.kinds, asked.image.data) == ("fake/judge", ("safety",), b"one")
    assert asked.image.facts
    assert (asked.image.facts.width, asked.image.facts.size_bytes) == (8, 3)
    assert [event.compute_seconds for event in events if isinstance(event, ComputeUsed)] == [2.0, 1.5]
    assert [type(event) for event in events] == [ComputeUsed, ComputeUsed, SafetyJudged, Picture]
    assert judge.closed == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [(EngineLost("gone"), "ENGINE_LOST"), (RuntimeError("a secret"), "INTERNAL"), (None, "PROVIDER_FAILED")],
)
@pytest.mark.parametrize("on_error", ["block", "flag"])
async def test_what_the_judge_does_not_answer_is_not_let_through_unsaid(
    error: Exception | None, reason: str, on_error: str
) -> None:
    script = [error] if error else [Analyzed(Analysis(safety=SafetyAnalysis((SafetyScore("odd", 0.0),))))]
    judged, _ = policy(*script, outputs={"bad": "flag"}, on_error=on_error)
    with capture_logs() as lines:
        events = await collect(routed(checking_outputs(Fake(picture()), judged), [CARD]))
    assert "image not checked" in [line["event"] for line in lines]
    (event,) = [event for event in events if isinstance(event, SafetyJudged)]
    assert event.verdict.message == f"it could not be checked by fake/judge ({reason})"
    assert event.verdict.action == on_error
    assert isinstance(events[-1], ImageFailed if on_error == "block" else Picture)
    assert "secret" not in str(events)


class BrokenBlur(Pixels):
    """Can't blur."""

    def __init__(self, error: Exception) -> None:
        super().__init__("test")
        self._error = error

    async def blurred(self, image: ImageInput, media_type: str = "image/png") -> bytes:
        raise self._error


@pytest.mark.parametrize(("error", "reason"), [(EngineLost("gone"), "ENGINE_LOST"), (RuntimeError("x"), "INTERNAL")])
async def test_what_can_not_be_blurred_is_not_shown(error: Exception, reason: str) -> None:
    judged, _ = policy(scores(0.9), outputs={"bad": "blur"}, on_error="flag", pictures_=BrokenBlur(error))
    with capture_logs():
        events = await collect(routed(checking_outputs(Fake(picture()), judged), [CARD]))
    assert not [event for event in events if isinstance(event, Picture)]
    missed = events[-1]
    assert isinstance(missed, ImageFailed)
    assert missed.error.metadata["message"] == f"it could not be blurred ({reason})"


@pytest.mark.parametrize(
    ("facts", "owed"),
    [
        ({}, (False, "false")),
        ({"evidence": ModelEvidence.PUBLISHER}, (False, "false")),
        ({"evidence": ModelEvidence.OFFICIAL_CLIENT}, (None, "unknown")),
        ({"evidence": ModelEvidence.OFFICIAL_CLIENT, "prices": (Price("image", "0.04"),)}, (True, "true")),
    ],
    ids=["own engine", "own engine, not run by us", "no price known", "price"],
)
async def test_whether_it_is_paid_is_said(facts: Mapping[str, Any], owed: tuple[bool | None, str]) -> None:
    judged, _ = policy(scores(0.9), outputs={"bad": "block"})
    events = await collect(routed(checking_outputs(Fake(picture()), judged), [replace(CARD, **facts)]))
    (event,) = [event for event in events if isinstance(event, SafetyJudged)]
    missed = events[-1]
    assert isinstance(missed, ImageFailed)
    assert (event.verdict.owed, missed.error.metadata["owed"]) == owed


async def test_an_id_that_is_in_no_catalog_has_no_price_that_is_known() -> None:
    judged, _ = policy(scores(0.9), outputs={"bad": "flag"})
    known = replace(CARD, prices=(Price("image", "0.04"),), evidence=ModelEvidence.OFFICIAL_CLIENT)
    run = routed(checking_outputs(Fake(picture()), judged), [stranger_card("fake/newer", [known])])
    events = await collect(run, replace(REQUEST, model="fake/newer"))
    (event,) = [event for event in events if isinstance(event, SafetyJudged)]
    assert event.verdict.owed is None


async def test_a_preview_that_comes_unasked_is_held_back_too() -> None:
    judged, _ = policy(scores(0.0), outputs={"bad": "block"})
    made = Fake(Preview(b"p", "image/png", 1, 1), picture())
    asked = replace(REQUEST, options=replace(REQUEST.options, preview_count=3))
    events = await collect(routed(checking_outputs(made, judged), [CARD]), asked)
    assert made.asked[0].options.preview_count == 0
    assert [type(event) for event in events] == [Warned, SafetyJudged, Picture]


async def test_pictures_after_a_blocked_one_are_not_looked_at() -> None:
    judged, judge = policy(scores(0.9), inputs={"bad": "block"})
    request = Upscale(model="fake/one", image=ImageInput(pictures.plain(8, 8)), factor=2)
    model = Fake(picture())
    events, error = await collect_until_error(checking_inputs(model, judged), request)
    assert isinstance(error, SafetyBlocked)
    assert verdicts(events) == [("bad", "block")]
    assert (len(judge.asked), model.asked) == (1, [])


async def test_a_caller_that_leaves_ends_the_check() -> None:
    waiting = asyncio.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    judged, judge = policy(lambda request: wait(), outputs={"bad": "block"})
    made = Fake(picture())
    task = asyncio.create_task(collect(routed(checking_outputs(made, judged), [CARD])))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (judge.closed, made.closed) == (1, 1)


def refused(index: int) -> ImageFailed:
    return ImageFailed(index, SafetyBlocked("no", metadata={"index": str(index)}))


async def test_a_refused_picture_keeps_its_reason_and_its_place_among_others() -> None:
    made = Fake(saved(0), refused(1), lambda request: saved(2) if request.count > 2 else None)
    events = await collect(routed(splitting(made), [replace(CARD, max_count=3)]), replace(REQUEST, count=5))
    missed = {event.index: event.error for event in events if isinstance(event, ImageFailed)}
    assert [event.image.index for event in events if isinstance(event, Saved)] == [0, 2, 3]
    assert {index: type(error) for index, error in missed.items()} == {1: SafetyBlocked, 4: SafetyBlocked}
    assert events.index(ImageFailed(1, missed[1])) > max(
        i for i, event in enumerate(events) if isinstance(event, Saved)
    )


async def test_a_refusal_stays_when_the_call_breaks_off_after_it() -> None:
    made = Fake(saved(0), refused(1), EngineLost("gone"))
    events = await collect(routed(splitting(made), [CARD]), replace(REQUEST, count=4))
    missed = {event.index: event.error for event in events if isinstance(event, ImageFailed)}
    assert {index: type(error) for index, error in missed.items()} == {1: SafetyBlocked, 2: EngineLost, 3: EngineLost}


@pytest.mark.parametrize("request_", [REQUEST, Upscale(model="fake/one", image=ImageInput(b"x"), factor=2)])
async def test_when_the_only_picture_is_refused_the_operation_is(request_: Any) -> None:
    seen, error = await collect_until_error(routed(splitting(Fake(refused(0))), [CARD]), request_)
    assert isinstance(error, SafetyBlocked)
    assert not [event for event in seen if isinstance(event, ImageFailed)]


async def test_an_upscale_that_breaks_off_after_its_picture_was_refused_stays_refused() -> None:
    request = Upscale(model="fake/one", image=ImageInput(b"x"), factor=2)
    made = Fake(refused(0), ProviderUnavailable("down"))
    _, error = await collect_until_error(routed(splitting(made), [CARD]), request)
    assert isinstance(error, SafetyBlocked), "else another model would be asked for what is paid"


async def test_verdicts_move_with_their_pictures() -> None:
    verdict = SafetyVerdict(SafetyStage.OUTPUT, "bad", SafetyAction.ALLOW, image_index=0)
    events = await collect(
        routed(splitting(Fake(SafetyJudged(verdict), saved(0))), [replace(CARD, max_count=1)]),
        replace(REQUEST, count=3),
    )
    assert [event.verdict.image_index for event in events if isinstance(event, SafetyJudged)] == [0, 1, 2]


async def test_what_was_refused_was_made_and_is_not_bought_again() -> None:
    failing = Fake(refused(0), ProviderUnavailable("down"))
    seen, error = await collect_until_error(routed(retrying(failing, jitter=lambda most: 0.0)))
    assert isinstance(error, CelesteError)
    assert len(failing.asked) == 1
    assert [type(event) for event in seen] == [ImageFailed]
    assert CALL.ticket is None
