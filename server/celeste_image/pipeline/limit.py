"""Limiting: lets a limited number of calls run at a provider; the others wait, in turn, while there is time."""

import time
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing

from celeste_image.admission import Slots, asker
from celeste_image.core.call import Candidate
from celeste_image.core.events import CandidateRun, Event, Queued
from celeste_image.core.request import Analyze, Edit, ImageRequest, PaintRequest, Upscale
from celeste_image.providers.base import Provider, SortsWork

__all__ = ["limiting", "slots_of", "work_of"]


def slots_of(provider: Provider) -> Slots:
    """Returns the slots of a provider, all of them free."""
    settings = provider.settings
    return Slots(
        settings.concurrency, settings.queue, provider.small_concurrency if isinstance(provider, SortsWork) else 0
    )


def limiting(
    run: CandidateRun,
    slots: Slots,
    is_small: Callable[[ImageRequest], bool] | None = None,
    *,
    knows_deadlines: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> CandidateRun:
    """Waits for a slot and reports the position in the queue. The slot is free again when the work has stopped.

    A call with a ticket is never refused for its deadline: its work is begun and may be paid for.

    Args:
        run: The rest of the pipeline.
        slots: The slots of the provider.
        is_small: Returns whether a call may take a slot of small work; None means that no work is small.
        knows_deadlines: Whether calls are refused that can't end in time.
        clock: The time in seconds that deadlines count by.
    """

    async def limited(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        deadline = candidate.call.deadline if knows_deadlines and candidate.ticket is None else None
        turn = slots.enter(
            candidate.operation,
            small=is_small is not None and is_small(request),
            who=asker.get(),
            work=work_of(request, candidate),
            deadline=deadline,
            is_watched=candidate.call.is_watched,
        )
        spent, began, is_working = 0.0, 0.0, False
        took: float | None = None
        try:
            while position := await turn.news():
                yield Queued(position)
            began, is_working = clock(), True
            async with aclosing(run(request, candidate)) as events:
                async for event in events:
                    spent, is_working = spent + clock() - began, False
                    yield event  # the time in which the caller reads is not the provider's
                    began, is_working = clock(), True
            took = spent + clock() - began
        finally:
            now = clock()
            if took is None and is_working and candidate.call.ended_by_deadline(now):
                took = spent + now - began
            slots.leave(turn, took=took if candidate.ticket is None else None)

    return limited


def work_of(request: ImageRequest, candidate: Candidate) -> Hashable:
    """Returns the kind of work of a call: what calls have in common that take about as long.

    Sizes of images count by powers of two.
    """
    facts: list[object] = []
    match request:
        case PaintRequest(count=count, size=size, quality=quality):
            facts = [count, (size.width * size.height).bit_length(), quality]
        case Upscale(factor=factor, size=size, mode=mode):
            facts = [factor, (size.width * size.height).bit_length(), mode]
        case Analyze(kinds=kinds):
            facts = [kinds]
    if isinstance(request, Edit):
        facts.append(request.edit.field)
    pixels = sum(image.facts.width * image.facts.height for _, image in request.images() if image.facts)
    options = repr(request.options.provider_options) if request.options.provider_options else ""
    return candidate.card.id, request.kind, pixels.bit_length(), options, *facts
