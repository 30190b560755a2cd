"""retrying: again when nothing was done, never when something may have been paid."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_provider import CALL, PAINTER, REQUEST, saved

from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import (
    ERRORS,
    CelesteError,
    InternalError,
    OutcomeUnknown,
    ProviderFailed,
    ProviderRateLimited,
    ProviderUnavailable,
    StorageFull,
)
from celeste_image.core.events import Event, Progress, Retrying, Submitted
from celeste_image.core.request import ImageRequest
from celeste_image.pipeline.retry import RetryPolicy, retrying
from celeste_image.providers.base import ProviderSettings

DOWN = ProviderUnavailable("down")
BUSY = ProviderRateLimited("busy")
Try = list[Event | Exception]


class Tries:
    """A run that does another thing each time, the last for ever; the clock moves with each pause."""

    def __init__(self, *tries: Try, jitter: float = 0.5, policy: RetryPolicy | None = None) -> None:
        self._tries = list(tries)
        self.calls: list[Candidate] = []
        self.pauses: list[float] = []
        self.longest: list[float] = []
        self.now = 1000.0
        self.closed = 0
        self._jitter = jitter
        self.run = retrying(self._run, policy, sleep=self._sleep, clock=lambda: self.now, jitter=self._drawn)

    async def _run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        assert request is REQUEST
        self.calls.append(candidate)
        script = self._tries.pop(0) if len(self._tries) > 1 else self._tries[0]
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.closed += 1

    async def _sleep(self, seconds: float) -> None:
        assert self.closed == len(self.calls), "no slot is held while waiting"
        self.pauses.append(seconds)
        self.now += seconds

    def _drawn(self, most: float) -> float:
        self.longest.append(most)
        return most * self._jitter

    async def outcome(
        self, deadline: float | None = None, *, has_fallback: bool = False
    ) -> tuple[list[Event], CelesteError | None]:
        seen: list[Event] = []
        try:
            candidate = Candidate(Call("a-call", deadline=deadline), PAINTER, has_fallback)
            async with aclosing(self.run(REQUEST, candidate)) as events:
                async for event in events:
                    seen.append(event)
        except CelesteError as error:
            return seen, error
        return seen, None


async def test_what_works_is_done_once() -> None:
    tries = Tries([Progress(0.5), saved()])
    assert await tries.outcome() == ([Progress(0.5), saved()], None)
    assert (len(tries.calls), tries.pauses) == (1, [])


async def test_a_failure_that_did_nothing_is_tried_again_and_told() -> None:
    tries = Tries([DOWN], [BUSY], [saved()])
    events, error = await tries.outcome()
    assert error is None
    assert events == [
        Retrying("PROVIDER_UNAVAILABLE", 0.25, 2),
        Retrying("PROVIDER_RATE_LIMITED", 0.5, 3),
        saved(),
    ]
    assert tries.pauses == [0.25, 0.5]


@pytest.mark.parametrize(("error", "tries"), [(BUSY, 5), (DOWN, 4), (StorageFull("full"), 1)])
async def test_tries_are_counted_by_reason(error: CelesteError, tries: int) -> None:
    run = Tries([error])
    _, raised = await run.outcome()
    assert raised is error
    assert len(run.calls) == tries


@pytest.mark.parametrize(("error", "given", "tries"), [(BUSY, None, 5), (DOWN, None, 4), (BUSY, 2, 2), (DOWN, 1, 1)])
async def test_the_operator_says_how_often(error: CelesteError, given: int | None, tries: int) -> None:
    run = Tries([error], policy=RetryPolicy.of(ProviderSettings(tries=given)))
    _, raised = await run.outcome()
    assert (raised, len(run.calls)) == (error, tries)


async def test_the_operator_says_how_long() -> None:
    policy = RetryPolicy.of(ProviderSettings(patience_seconds=2))
    run = Tries([ProviderRateLimited("busy", retry_after=2.5)], policy=policy)
    assert ((await run.outcome())[0], run.pauses) == ([], [])
    run = Tries([BUSY], policy=policy, jitter=1.0)
    await run.outcome()
    assert run.longest == [0.5, 1, 2, 2]
    run = Tries([BUSY], policy=RetryPolicy.of(ProviderSettings(patience_seconds=0)))
    await run.outcome()
    assert run.pauses == [0] * 4


async def test_pauses_double_up_to_the_longest_and_are_drawn_from_all_of_it() -> None:
    policy = RetryPolicy(tries={"PROVIDER_UNAVAILABLE": 9}, first_seconds=1, longest_seconds=20)
    tries = Tries([DOWN], policy=policy, jitter=1.0)
    await tries.outcome()
    assert tries.longest == [1, 2, 4, 8, 16, 20, 20, 20]
    tries = Tries([DOWN], policy=policy, jitter=0.0)
    await tries.outcome()
    assert tries.pauses == [0] * 8


@pytest.mark.parametrize("error", [cls("x") for cls in ERRORS.values() if not cls.retryable])
async def test_what_is_not_retryable_is_never_tried_again(error: CelesteError) -> None:
    tries = Tries([error], [saved()], policy=RetryPolicy(tries={error.reason: 9}, other_tries=9))
    events, raised = await tries.outcome()
    assert (events, raised, len(tries.calls)) == ([], error, 1)


async def test_what_may_have_been_paid_is_never_sent_again() -> None:
    error = OutcomeUnknown("?", retry_after=1.0)
    tries = Tries([Submitted("t-1"), error], [saved()])
    _, raised = await tries.outcome()
    assert raised is error and len(tries.calls) == 1


async def test_after_something_was_saved_nothing_is_tried_again() -> None:
    tries = Tries([saved(), DOWN], [saved()])
    events, raised = await tries.outcome()
    assert (events, raised, len(tries.calls)) == ([saved()], DOWN, 1)


async def test_bugs_pass() -> None:
    tries = Tries([ValueError("a bug")])
    with pytest.raises(ValueError, match="a bug"):
        await tries.outcome()
    assert len(tries.calls) == 1


async def test_a_ticket_goes_to_every_later_try() -> None:
    tries = Tries([DOWN], [Submitted("t-1"), Progress(0.3), DOWN], [DOWN], [saved()])
    _, error = await tries.outcome()
    assert error is None
    assert [call.ticket for call in tries.calls] == [None, None, "t-1", "t-1"]


async def test_a_callers_ticket_goes_to_the_first_try() -> None:
    tries = Tries([DOWN], [saved()])
    async with aclosing(tries.run(REQUEST, Candidate(CALL, PAINTER, ticket="t-0"))) as events:
        _ = [event async for event in events]
    assert [call.ticket for call in tries.calls] == ["t-0", "t-0"]


async def test_progress_does_not_fall_from_one_try_to_the_next() -> None:
    tries = Tries([Progress(0.6), DOWN], [Progress(0.1), Progress(0.6), Progress(0.9), saved()])
    events, _ = await tries.outcome()
    assert [event.fraction for event in events if isinstance(event, Progress)] == [0.6, 0.6, 0.9]


# What the vendor says about when


@pytest.mark.parametrize(
    ("after", "pause"), [(None, 0.25), (0.0, 0.25), (-5.0, 0.25), (0.001, 0.251), (7.0, 7.25), (60.0, 60.25)]
)
async def test_retry_after_is_the_least_that_is_waited(after: float | None, pause: float) -> None:
    tries = Tries([ProviderRateLimited("busy", retry_after=after)], [saved()])
    await tries.outcome()
    assert tries.pauses == [pause]


@pytest.mark.parametrize("after", [60.1, 3600.0, 864_000.0])
async def test_a_retry_after_beyond_all_patience_is_told_to_the_caller(after: float) -> None:
    tries = Tries([ProviderRateLimited("busy", retry_after=after)])
    events, error = await tries.outcome()
    assert events == [] and tries.pauses == []
    assert isinstance(error, ProviderRateLimited) and error.retry_after == after


async def test_while_another_model_waits_no_pause_is_long() -> None:
    tries = Tries([ProviderRateLimited("busy", retry_after=5.0)], [saved()])
    events, error = await tries.outcome(has_fallback=True)
    assert (events, type(error), tries.pauses) == ([], ProviderRateLimited, [])
    tries = Tries([ProviderRateLimited("busy", retry_after=1.0)], [saved()])
    _, error = await tries.outcome(has_fallback=True)
    assert (error, tries.pauses) == (None, [1.25])


# Deadlines


async def test_no_pause_goes_beyond_the_deadline() -> None:
    tries = Tries([DOWN])
    events, error = await tries.outcome(deadline=1000.7)
    assert error is DOWN
    assert tries.pauses == [0.25], "the next would be to 1000.75"
    assert len(events) == 1


@settings(max_examples=60)
@given(st.floats(0, 30), st.floats(0, 1), st.one_of(st.none(), st.floats(-10, 100)))
async def test_whatever_happens_the_deadline_is_met(seconds: float, jitter: float, after: float | None) -> None:
    tries = Tries([ProviderRateLimited("busy", retry_after=after)], jitter=jitter)
    _, error = await tries.outcome(deadline=1000.0 + seconds)
    assert error is not None
    assert tries.now <= 1000.0 + seconds
    assert len(tries.calls) <= 5


# Leaving


async def test_leaving_while_it_waits_ends_it() -> None:
    tries = Tries([DOWN], [saved()])
    async with aclosing(tries.run(REQUEST, Candidate(CALL, PAINTER))) as events:
        assert isinstance(await anext(events), Retrying)
    assert (len(tries.calls), tries.pauses) == (1, [])


async def test_leaving_closes_the_try() -> None:
    tries = Tries([Progress(0.1), saved()])
    async with aclosing(tries.run(REQUEST, Candidate(CALL, PAINTER))) as events:
        await anext(events)
    assert tries.closed == 1


def test_only_failures_that_did_nothing_have_tries() -> None:
    policy = RetryPolicy()
    assert all(ERRORS[reason].retryable for reason in policy.tries)
    assert policy.other_tries == 1
    assert not any(cls.retryable for cls in (OutcomeUnknown, ProviderFailed, InternalError))
