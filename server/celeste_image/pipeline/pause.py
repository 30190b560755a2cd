"""Pausing: refuses calls to a provider for a while after several failed in a row."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from celeste_image.admission import Breaker
from celeste_image.core.call import Candidate
from celeste_image.core.errors import (
    Cancelled,
    CelesteError,
    DeadlineExceeded,
    OutcomeUnknown,
    ProviderUnavailable,
    QueueFull,
)
from celeste_image.core.events import CandidateRun, Event
from celeste_image.core.request import ImageRequest

__all__ = ["pausing"]

DOWN = (ProviderUnavailable, OutcomeUnknown)
"""Errors of a provider that does not answer. With any other, it did."""
OURS = (QueueFull, DeadlineExceeded, Cancelled)
"""Errors that say nothing about the provider."""


def pausing(run: CandidateRun, breaker: Breaker, clock: Callable[[], float] = time.monotonic) -> CandidateRun:
    """Refuses calls while the provider is paused, and tells the breaker how each call ends, after its last try.

    A call with a ticket goes through: its work is begun and may be paid for. A failure at the deadline is no failure of
    the provider: callers choose deadlines.
    """

    async def paused(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        is_first, is_told = candidate.ticket is None and breaker.enter(), False
        try:
            async with aclosing(run(request, candidate)) as events:
                async for event in events:
                    yield event
            breaker.succeed()
            is_told = True
        except CelesteError as error:
            if isinstance(error, DOWN):
                if is_told := not candidate.call.ended_by_deadline(clock()):
                    breaker.fail(is_first)
            elif not isinstance(error, OURS):
                breaker.succeed()
                is_told = True
            raise
        finally:
            if not is_told:
                breaker.give_up(is_first)

    return paused
