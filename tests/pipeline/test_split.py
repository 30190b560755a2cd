"""splitting: `count` images are as many calls as the model needs for them, and are counted when they come."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_provider import (
    CALL,
    PAINTER,
    REQUEST,
    Fake,
    FakeProvider,
    card,
    collect,
    collect_until_error,
    fitted,
    loaded,
    routed,
    saved,
)

from celeste_image.core.analysis import Analysis, ImageMetadata
from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import (
    Cancelled,
    CelesteError,
    DeadlineExceeded,
    EngineLost,
    NotAnImage,
    OutcomeUnknown,
    ProviderFailed,
    ProviderUnavailable,
)
from celeste_image.core.events import (
    Analyzed,
    ComputeUsed,
    Event,
    Fidelity,
    ImageFailed,
    Preview,
    Progress,
    SafetyJudged,
    Saved,
)
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.image import ImageInput
from celeste_image.core.request import Analyze, Generate, Upscale
from celeste_image.core.result import OperationResult
from celeste_image.core.safety import SafetyVerdict
from celeste_image.pipeline.complete import completing
from celeste_image.pipeline.split import splitting


def cards(max_count: int = 1) -> list:
    return [card(max_count=max_count)]


def asked(count: int, seed: int | None = None) -> Generate:
    return replace(REQUEST, count=count, seed=seed)


async def painting(request, call: Call):
    """Makes all that is asked for, with progress and a preview for each."""
    for i in range(request.count):
        yield Progress((i + 0.5) / request.count, "paint")
        yield Preview(b"p", "image/png", 1, 1, i)
        yield saved(i, seed=None if request.seed is None else request.seed + i)
    yield Progress(1.0)
    yield ComputeUsed(2.0)


def indexes(events: list[Event]) -> list[int]:
    return [event.image.index for event in events if isinstance(event, Saved)]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 16), st.integers(1, 6), st.integers(0, 2**32))
def test_images_have_their_places_and_seeds_and_progress_never_falls(count: int, most: int, seed: int) -> None:
    events = asyncio.run(collect(routed(splitting(painting), cards(most)), asked(count, seed)))
    assert indexes(events) == list(range(count))
    assert [event.image.seed for event in events if isinstance(event, Saved)] == [seed + i for i in range(count)]
    assert [event.index for event in events if isinstance(event, Preview)] == list(range(count))
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert max(fractions) <= 1.0
    assert sum(isinstance(event, ComputeUsed) for event in events) == -(-count // most), "each call's time counts"


@pytest.mark.parametrize(("most", "counts"), [(1, [1] * 5), (2, [2, 2, 1]), (4, [4, 1]), (5, [5]), (16, [5])])
async def test_calls_ask_for_what_the_model_makes_at_once(most: int, counts: list[int]) -> None:
    fake = Fake(saved())
    await collect(routed(splitting(fake), cards(most)), asked(5, seed=100))
    assert [request.count for request in fake.asked] == counts
    starts = [sum(counts[:i]) for i in range(len(counts))]
    assert [request.seed for request in fake.asked] == [100 + start for start in starts]


async def test_seeds_go_round_at_64_bits_and_none_stays_none() -> None:
    fake = Fake(saved())
    await collect(routed(splitting(fake), cards()), asked(3, seed=2**64 - 2))
    assert [request.seed for request in fake.asked] == [2**64 - 2, 2**64 - 1, 0]
    fake = Fake(saved())
    await collect(routed(splitting(fake), cards()), asked(2))
    assert [request.seed for request in fake.asked] == [None, None]


@pytest.mark.parametrize(
    "request_",
    [
        asked(1, seed=7),
        Upscale(model="fake/one", image=ImageInput(b"x"), factor=2),
        Analyze(model="fake/one", image=ImageInput(b"x")),
    ],
    ids=["one image", "upscale", "analyze"],
)
async def test_what_is_one_call_goes_through_as_it_is(request_) -> None:
    error = EngineLost("gone")
    fake = Fake(Progress(0.5), saved(), error)
    seen, raised = await collect_until_error(
        routed(splitting(fake), cards(0 if isinstance(request_, Analyze) else 1)), request_
    )
    assert seen == [Progress(0.5), saved()]
    assert raised is error
    assert fake.asked == [request_]


def failing(*bad: int, error: CelesteError | None = None) -> Fake:
    """Returns a run of single images that fails for these seeds, half-way."""
    return Fake(
        Progress(0.5), lambda request: (error or EngineLost(f"lost {request.seed}")) if request.seed in bad else saved()
    )


async def test_what_fails_is_missed_while_others_are_made() -> None:
    events = await collect(routed(splitting(failing(1, 3)), cards()), asked(5, seed=0))
    assert indexes(events) == [0, 2, 4]
    missed = [event for event in events if isinstance(event, ImageFailed)]
    assert [(event.index, event.error.message) for event in missed] == [(1, "lost 1"), (3, "lost 3")]
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)


async def test_when_all_fail_the_first_failure_is_the_operations() -> None:
    seen, error = await collect_until_error(routed(splitting(failing(0, 1, 2)), cards()), asked(3, seed=0))
    assert isinstance(error, EngineLost)
    assert error.message == "lost 0"
    assert not [event for event in seen if isinstance(event, Saved | ImageFailed)]


@pytest.mark.parametrize("most", [4, 16])
async def test_a_call_that_breaks_off_misses_only_what_it_did_not_make(most: int) -> None:
    """Also when one call would have made all: what was stored is kept, as the contract says."""
    fake = Fake(saved(0), saved(1), NotAnImage("no"))
    events = await collect(routed(splitting(fake), cards(most)), asked(4))
    assert indexes(events) == [0, 1]
    assert [event.index for event in events if isinstance(event, ImageFailed)] == [2, 3]


@pytest.mark.parametrize("error", [Cancelled("left"), DeadlineExceeded("late"), RuntimeError("a bug")])
async def test_what_ends_the_call_ends_it_at_once(error: Exception) -> None:
    fake = Fake(lambda request: error if request.seed == 1 else saved())
    seen, raised = await collect_until_error(routed(splitting(fake), cards()), asked(4, seed=0))
    assert raised is error
    assert indexes(seen) == [0]
    assert len(fake.asked) == 2


async def test_closing_stops_the_call_at_work_and_begins_no_other() -> None:
    fake = Fake(Progress(0.1), saved())
    async with aclosing(routed(splitting(fake), cards())(asked(4), CALL)) as events:
        await anext(events)
    assert (len(fake.asked), fake.closed) == (1, 1)


async def result_of(fake: Fake, most: int, count: int, **fields: object) -> OperationResult:
    """Returns what a caller gets when each call of a model that makes `most` at once runs the fake."""
    provider = FakeProvider([replace(PAINTER, max_count=most)])
    road = completing(fitted(splitting(fake), provider))
    return (await collect(road, replace(REQUEST, count=count, **fields)))[-1].result


def lines(result: OperationResult) -> list[tuple]:
    return [(e.outcome, e.asked, e.measured, e.message) for e in result.fidelity if e.path == "count"]


@pytest.mark.parametrize("gravest", [OutcomeUnknown("?"), ProviderFailed("x", metadata={"owed": "true"})])
async def test_of_several_failures_that_counts_after_which_nobody_else_may_be_asked(gravest: CelesteError) -> None:
    failures = iter([ProviderUnavailable("down"), gravest, ProviderUnavailable("down")])
    _, error = await collect_until_error(routed(splitting(Fake(lambda _: next(failures))), cards()), asked(3))
    assert error is gravest


async def test_images_that_do_not_come_are_missed() -> None:
    result = await result_of(Fake(saved(0), saved(1), saved(3)), 4, 4)
    assert [image.index for image in result.images] == [0, 1, 3]
    assert {index: error.message for index, error in result.failures.items()} == {2: "fake: it made 3 of 4 images"}
    assert isinstance(result.failures[2], ProviderFailed)
    assert result.failures[2].metadata == {"provider": "fake"}
    assert lines(result) == [("adjusted", 4, 3, "3 were made")]


async def test_each_call_knows_how_many_it_asked_for() -> None:
    fewer = Fake(saved(0), lambda request: saved(1) if request.count > 2 else None)
    result = await result_of(fewer, 3, 5, seed=0)
    assert [image.index for image in result.images] == [0, 1, 3]
    assert {index: error.message for index, error in result.failures.items()} == {
        2: "fake: it made 2 of 3 images",
        4: "fake: it made 1 of 2 images",
    }


async def test_a_call_that_makes_nothing_and_one_that_fails_are_missed_alike() -> None:
    steps = {0: saved(), 1: None, 2: EngineLost("gone")}
    result = await result_of(Fake(lambda request: steps[request.seed]), 1, 3, seed=0)
    assert [image.index for image in result.images] == [0]
    assert [type(result.failures[index]) for index in (1, 2)] == [ProviderFailed, EngineLost]
    assert lines(result) == [("adjusted", 3, 1, "1 were made")]


async def test_as_many_as_asked_are_as_asked() -> None:
    result = await result_of(Fake(saved(0), saved(1)), 2, 4)
    assert [image.index for image in result.images] == [0, 1, 2, 3]
    assert (lines(result), result.failures) == ([("honored", 4, 4, "")], {})
    assert lines(await result_of(Fake(saved()), 2, 0)) == [], "who asks for none is told of none"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 4))
def test_more_than_asked_are_kept_after_the_others(count: int, most: int, more: int) -> None:
    """They are paid for; each index is there once, and those that were asked for keep their places."""

    async def generous(request, call: Call):
        for i in range(request.count + more):
            yield Preview(b"p", "image/png", 1, 1, i)
            yield Fidelity(FidelityLine.found("size", i, image_index=i))
            yield saved(i, seed=(request.seed or 0) + i)

    events = asyncio.run(collect(routed(splitting(generous), cards(most)), asked(count, 0)))
    calls = -(-count // most)
    assert sorted(indexes(events)) == list(range(count + calls * more))
    assert all(e.image.seed == e.image.index for e in events if isinstance(e, Saved) and e.image.index < count)
    assert [e.index for e in events if isinstance(e, Preview)] == indexes(events)
    found = [event.line for event in events if isinstance(event, Fidelity)]
    assert [line.image_index for line in found if line.path == "size"] == indexes(events)
    assert not [e for e in events if isinstance(e, ImageFailed)]


async def test_more_than_asked_are_told() -> None:
    result = await result_of(Fake(saved(0), saved(1), saved(2)), 2, 2)
    assert lines(result) == [("adjusted", 2, 3, "3 were made")]
    result = await result_of(Fake(saved(0), saved(1)), 2, 0)
    assert lines(result) == [("adjusted", None, 2, "2 were made")], "also when nobody asked for a number"


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("most", [1, 4])
async def test_no_picture_is_no_success(count: int, most: int) -> None:
    seen, error = await collect_until_error(routed(splitting(Fake(Progress(1.0))), cards(most)), asked(count))
    assert isinstance(error, ProviderFailed)
    assert not error.retryable, "it may have been paid for"
    assert "made 0 of" in error.message
    assert not [event for event in seen if isinstance(event, ImageFailed | Fidelity)]


async def test_an_upscale_makes_a_picture_and_an_analysis_finds_something() -> None:
    upscale, analyze = (
        Upscale(model="fake/one", image=loaded(1, 1), factor=2),
        Analyze(model="fake/one", image=loaded(1, 1)),
    )
    for request in (upscale, analyze):
        _, error = await collect_until_error(routed(splitting(Fake(ComputeUsed(1.0))), cards()), request)
        assert isinstance(error, ProviderFailed)
        assert error.message == "fake: it made nothing"
    found = Analyzed(Analysis(ImageMetadata("image/png", 1, 1, 1, "0" * 64, "RGB", False)))
    assert await collect(routed(splitting(Fake(found)), cards()), analyze) == [found]
    assert await collect(routed(splitting(Fake(saved())), cards()), upscale) == [saved()]


async def test_fewer_are_a_warning_too() -> None:
    provider = FakeProvider([replace(PAINTER, max_count=4)])
    events = await collect(fitted(splitting(Fake(saved())), provider), asked(4))
    assert [e.line.outcome for e in events if isinstance(e, Fidelity) and e.line.path == "count"] == ["adjusted"]


def four_at_a_time(_: object) -> int:
    return 4


class Together:
    """A run whose calls wait for one another: it only ends if `many` calls are at work at a time.

    Attributes:
        most: The most calls that were at work at a time.
        begun: The seeds of the calls.
        ended: How many calls have ended, one way or another.
    """

    def __init__(self, many: int) -> None:
        self.most = self.ended = 0
        self.begun: list[int | None] = []
        self._barrier = asyncio.Barrier(many)

    async def __call__(self, request, call) -> AsyncGenerator[Event, None]:
        self.begun.append(request.seed)
        self.most = max(self.most, len(self.begun) - self.ended)
        try:
            yield Progress(0.0)
            await self._barrier.wait()
            async for event in painting(request, call):
                yield event
        finally:
            self.ended += 1


async def test_calls_run_side_by_side_in_as_many_rounds_as_the_places_need() -> None:
    run = Together(4)
    async with asyncio.timeout(10):
        events = await collect(routed(splitting(run, four_at_a_time), cards()), asked(8, 100))
    assert run.begun == [100, 101, 102, 103, 104, 105, 106, 107]
    assert (run.most, run.ended) == (4, 8)
    assert sorted(indexes(events)) == list(range(8))
    assert all(event.image.seed == 100 + event.image.index for event in events if isinstance(event, Saved))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 5), st.randoms(use_true_random=False))
def test_side_by_side_all_is_as_one_after_another(count: int, most: int, places: int, chance: random.Random) -> None:
    """But the order of the events."""

    async def in_any_order(request, call: Call):
        async with aclosing(painting(request, call)) as events:
            async for event in events:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                yield event
        if request.seed % 5 == 4:
            raise EngineLost(f"lost after {request.seed}")

    def of(events: list[Event], kind: type[Event]) -> list[str]:
        return sorted(map(repr, (event for event in events if isinstance(event, kind))))

    alone = asyncio.run(collect(routed(splitting(in_any_order), cards(most)), asked(count, 0)))
    beside = asyncio.run(collect(routed(splitting(in_any_order, lambda _: places), cards(most)), asked(count, 0)))
    for kind in (Saved, Preview, ComputeUsed, Fidelity):
        assert of(beside, kind) == of(alone, kind)
    fractions = [event.fraction for event in beside if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)


async def test_a_call_goes_on_once_its_event_is_dealt_with() -> None:
    """So what counts the bytes of an image counts them until the next step has them."""
    held: set[int] = set()

    async def holding(request, call: Call):
        held.add(request.seed)
        yield saved()
        held.remove(request.seed)

    async with aclosing(splitting(holding, four_at_a_time)(asked(8, 0), Candidate(CALL, cards()[0]))) as events:
        async for event in events:
            if isinstance(event, Saved):
                await asyncio.sleep(0)
                assert event.image.index in held
    assert not held


async def test_failures_side_by_side_are_in_order_and_the_first_one_counts() -> None:
    async def backwards(request, call: Call):
        for _ in range(10 * (8 - request.seed)):
            await asyncio.sleep(0)
        if request.seed != 5:
            raise EngineLost(f"lost {request.seed}")
        yield saved()

    events = await collect(routed(splitting(backwards, four_at_a_time), cards()), asked(8, 0))
    assert [event.index for event in events if isinstance(event, ImageFailed)] == [0, 1, 2, 3, 4, 6, 7]
    _, error = await collect_until_error(routed(splitting(backwards, four_at_a_time), cards()), asked(4, 0))
    assert isinstance(error, EngineLost)
    assert error.message == "lost 0"


@pytest.mark.parametrize("error", [Cancelled("left"), DeadlineExceeded("late"), RuntimeError("a bug")])
async def test_what_ends_one_call_ends_those_beside_it(error: Exception) -> None:
    closed: list[int] = []

    async def running(request, call: Call):
        try:
            if request.seed == 2:
                raise error
            yield Progress(0.5)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # as when a process is ended
            closed.append(request.seed)

    seen, raised = await collect_until_error(routed(splitting(running, four_at_a_time), cards()), asked(8, 0))
    assert raised is error
    assert sorted(closed) == [0, 1, 2, 3], "their work has stopped, and no other began"
    assert not [event for event in seen if isinstance(event, ImageFailed)]


async def test_closing_stops_all_calls_at_work() -> None:
    fake = Fake(Progress(0.1), saved())
    async with aclosing(routed(splitting(fake, four_at_a_time), cards())(asked(8), CALL)) as events:
        await anext(events)
    assert (len(fake.asked), fake.closed) == (4, 4)


async def test_a_caller_who_leaves_stops_all_calls_at_work() -> None:
    run = Together(5)  # a fifth never comes
    reading = asyncio.create_task(collect(routed(splitting(run, four_at_a_time), cards()), asked(8)))
    for _ in range(50):
        await asyncio.sleep(0)
    assert (run.most, run.ended) == (4, 0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert run.ended == 4


async def test_a_result_is_in_the_order_of_the_images_whichever_came_first() -> None:
    async def backwards(request, call: Call):
        for _ in range(10 * (4 - request.seed)):
            await asyncio.sleep(0)
        yield SafetyJudged(SafetyVerdict("output", "drawing", "flag", image_index=0))
        yield saved(width=64 + request.seed)

    provider = FakeProvider([replace(PAINTER, max_count=1)])
    road = completing(fitted(splitting(backwards, four_at_a_time), provider))
    result = (await collect(road, asked(4, 0)))[-1].result
    assert [image.index for image in result.images] == [0, 1, 2, 3]
    assert [verdict.image_index for verdict in result.safety] == [0, 1, 2, 3]
    sizes = [line for line in result.fidelity if line.path == "size"]
    assert [(line.image_index, line.measured["width"]) for line in sizes] == [(0, 64), (1, 65), (2, 66), (3, 67)]
