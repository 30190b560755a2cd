"""splitting: `count` images are as many calls as the model needs for them."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipeline.fakes import CALL, REQUEST, Fake, card, collect, collect_until_error, saved

from celeste_image.core.errors import Cancelled, CelesteError, DeadlineExceeded, EngineLost, NotAnImage
from celeste_image.core.events import Event, Missed, Preview, Progress, Saved, Used
from celeste_image.core.image import ImageInput
from celeste_image.core.request import Analyze, Call, Generate, Upscale
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
    yield Used(2.0)


def indexes(events: list[Event]) -> list[int]:
    return [event.image.index for event in events if isinstance(event, Saved)]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 16), st.integers(1, 6), st.integers(0, 2**32))
def test_images_have_their_places_and_seeds_and_progress_never_falls(count: int, most: int, seed: int) -> None:
    events = asyncio.run(collect(splitting(painting, cards(most)), asked(count, seed)))
    assert indexes(events) == list(range(count))
    assert [event.image.seed for event in events if isinstance(event, Saved)] == [seed + i for i in range(count)]
    assert [event.index for event in events if isinstance(event, Preview)] == list(range(count))
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert max(fractions) <= 1.0
    assert sum(isinstance(event, Used) for event in events) == -(-count // most), "each call's time counts"


@pytest.mark.parametrize(("most", "counts"), [(1, [1] * 5), (2, [2, 2, 1]), (4, [4, 1]), (5, [5]), (16, [5])])
async def test_calls_ask_for_what_the_model_makes_at_once(most: int, counts: list[int]) -> None:
    fake = Fake(saved())
    await collect(splitting(fake, cards(most)), asked(5, seed=100))
    assert [request.count for request in fake.asked] == counts
    starts = [sum(counts[:i]) for i in range(len(counts))]
    assert [request.seed for request in fake.asked] == [100 + start for start in starts]


async def test_seeds_go_round_at_64_bits_and_none_stays_none() -> None:
    fake = Fake(saved())
    await collect(splitting(fake, cards()), asked(3, seed=2**64 - 2))
    assert [request.seed for request in fake.asked] == [2**64 - 2, 2**64 - 1, 0]
    fake = Fake(saved())
    await collect(splitting(fake, cards()), asked(2))
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
        splitting(fake, cards(0 if isinstance(request_, Analyze) else 1)), request_
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
    events = await collect(splitting(failing(1, 3), cards()), asked(5, seed=0))
    assert indexes(events) == [0, 2, 4]
    missed = [event for event in events if isinstance(event, Missed)]
    assert [(event.index, event.error.message) for event in missed] == [(1, "lost 1"), (3, "lost 3")]
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)


async def test_when_all_fail_the_first_failure_is_the_operations() -> None:
    seen, error = await collect_until_error(splitting(failing(0, 1, 2), cards()), asked(3, seed=0))
    assert isinstance(error, EngineLost)
    assert error.message == "lost 0"
    assert not [event for event in seen if isinstance(event, Saved | Missed)]


@pytest.mark.parametrize("most", [4, 16])
async def test_a_call_that_breaks_off_misses_only_what_it_did_not_make(most: int) -> None:
    """Also when one call would have made all: what was stored is kept, as the contract says."""
    fake = Fake(saved(0), saved(1), NotAnImage("no"))
    events = await collect(splitting(fake, cards(most)), asked(4))
    assert indexes(events) == [0, 1]
    assert [event.index for event in events if isinstance(event, Missed)] == [2, 3]


@pytest.mark.parametrize("error", [Cancelled("left"), DeadlineExceeded("late"), RuntimeError("a bug")])
async def test_what_ends_the_call_ends_it_at_once(error: Exception) -> None:
    fake = Fake(lambda request: error if request.seed == 1 else saved())
    seen, raised = await collect_until_error(splitting(fake, cards()), asked(4, seed=0))
    assert raised is error
    assert indexes(seen) == [0]
    assert len(fake.asked) == 2


async def test_closing_stops_the_call_at_work_and_begins_no_other() -> None:
    fake = Fake(Progress(0.1), saved())
    async with aclosing(splitting(fake, cards())(asked(4), CALL)) as events:
        await anext(events)
    assert (len(fake.asked), fake.closed) == (1, 1)
