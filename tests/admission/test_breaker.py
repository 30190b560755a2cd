"""The breaker: a provider that keeps failing is paused, then tried by one call."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from tests.support.fake_provider import CALL, REQUEST, collect, routed

from celeste_image.admission import Breaker
from celeste_image.core.errors import (
    CelesteError,
    NotAnImage,
    OutcomeUnknown,
    ProviderRateLimited,
    ProviderUnavailable,
    QueueFull,
)
from celeste_image.core.events import Event, Progress
from celeste_image.pipeline.pause import pausing


class Paused:
    """A provider behind a breaker; `raises` is how its calls end."""

    def __init__(self, after: int = 3) -> None:
        self.now = 0.0
        self.shown: list[float] = []
        self.breaker = Breaker("fake", after, 5.0, lambda: self.now)
        self.breaker.changed = self.shown.append
        self.raises: Exception | None = None
        self.calls = 0
        self.run = routed(pausing(self._run, self.breaker, lambda: self.now))

    async def _run(self, request: Any, candidate: Any) -> AsyncGenerator[Event, None]:
        self.calls += 1
        yield Progress(0.5)
        if self.raises:
            raise self.raises

    async def ask(self, raises: Exception | None = None, **facts: Any) -> CelesteError | None:
        self.raises = raises
        try:
            await collect(self.run, REQUEST, replace(CALL, **facts))
        except CelesteError as error:
            return error
        return None


DOWN = ProviderUnavailable("down")


async def test_after_some_failures_in_a_row_calls_are_refused_with_a_time_to_come_back() -> None:
    paused = Paused()
    for error in (DOWN, OutcomeUnknown("who knows"), DOWN):
        assert await paused.ask(error) is error
    paused.now += 2.0
    refused = await paused.ask()
    assert isinstance(refused, ProviderUnavailable)
    assert (refused.retry_after, refused.metadata["paused"]) == (3.0, "true")
    assert (paused.calls, paused.shown) == (3, [5.0])


async def test_one_call_tries_and_decides() -> None:
    paused = Paused()
    for _ in range(3):
        await paused.ask(DOWN)
    paused.now += 5.0
    trying = paused.run(REQUEST, CALL)
    await anext(trying)
    assert (await paused.ask()) is not None, "one is enough"
    await trying.aclose()  # its caller left
    assert await paused.ask(DOWN) is DOWN
    assert paused.shown == [5.0, 10.0]
    paused.now += 10.0
    assert await paused.ask() is None
    assert await paused.ask() is None
    assert paused.shown == [5.0, 10.0, 0.0]
    for _ in range(2):
        assert await paused.ask(DOWN) is DOWN, "it begins to count anew"
    assert await paused.ask() is None


@pytest.mark.parametrize("answer", [None, NotAnImage("no"), ProviderRateLimited("slowly")])
async def test_any_answer_of_the_provider_shows_that_it_works(answer: Exception | None) -> None:
    paused = Paused()
    for _ in range(3):
        await paused.ask(DOWN)
        await paused.ask(DOWN)
        assert await paused.ask(answer) is answer
    assert paused.shown == []


async def test_what_callers_cause_is_no_failure_of_the_provider() -> None:
    paused = Paused()
    for _ in range(9):
        await paused.ask(QueueFull("full"))
        await paused.ask(OutcomeUnknown("the deadline passed"), deadline=paused.now)
        await paused.ask(OutcomeUnknown("a timer was early"), deadline=paused.now + 0.001)
    assert await paused.ask() is None


async def test_a_call_with_a_ticket_is_let_through() -> None:
    paused = Paused()
    for _ in range(3):
        await paused.ask(DOWN)
    assert await paused.ask(ticket="job 7") is None


async def test_none_is_paused_if_the_operator_says_so() -> None:
    paused = Paused(after=0)
    for _ in range(20):
        assert await paused.ask(DOWN) is DOWN
