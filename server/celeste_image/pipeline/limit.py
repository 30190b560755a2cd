"""Limiting: lets a limited number of calls run at a provider; the others wait in order of arrival."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from celeste_image.admission import Slots
from celeste_image.core.call import Candidate
from celeste_image.core.events import CandidateRun, Event, Queued
from celeste_image.core.request import ImageRequest
from celeste_image.providers.base import Provider, SortsWork

__all__ = ["limiting", "slots_of"]


def slots_of(provider: Provider) -> Slots:
    """Returns the slots of a provider, all of them free."""
    settings = provider.settings
    return Slots(
        settings.concurrency, settings.queue, provider.small_concurrency if isinstance(provider, SortsWork) else 0
    )


def limiting(run: CandidateRun, slots: Slots, is_small: Callable[[ImageRequest], bool] | None = None) -> CandidateRun:
    """Waits for a slot and reports the position in the queue. The slot is free again when the work has stopped.

    `is_small` returns whether a call may take a slot of small work; None means that no work is small.
    """

    async def limited(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        turn = slots.enter(candidate.operation, small=is_small is not None and is_small(request))
        try:
            while position := await turn.news():
                yield Queued(position)
            async with aclosing(run(request, candidate)) as events:
                async for event in events:
                    yield event
        finally:
            slots.leave(turn)

    return limited
