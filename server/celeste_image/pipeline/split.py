"""splitting: `count` images become calls of what the model makes at once."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from celeste_image.core.card import ModelCard
from celeste_image.core.errors import Cancelled, CelesteError, DeadlineExceeded
from celeste_image.core.events import Event, ImageOutput, Missed, Preview, Progress, Run, Saved
from celeste_image.core.request import Call, Edit, Generate, ImageRequest

__all__ = ["splitting"]


def splitting(run: Run, cards: Sequence[ModelCard]) -> Run:
    """Makes the images one call after another; what fails is missed while others are made.

    When no call made an image, the first failure is the operation's.
    """
    most = {card.id: card.max_count for card in cards}

    async def split(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        if not isinstance(request, Generate | Edit) or request.count <= 1:
            async with aclosing(run(request, call)) as events:
                async for event in events:
                    yield event
            return
        missed: list[Missed] = []
        saved: set[int] = set()
        for start in range(0, request.count, most[request.model]):
            part = replace(
                request,
                count=min(most[request.model], request.count - start),
                seed=None if request.seed is None else (request.seed + start) % (1 << 64),
            )
            try:
                async with aclosing(run(part, call)) as events:
                    async for event in events:
                        moved = _moved(event, start, part.count, request.count)
                        if isinstance(moved, Saved):
                            saved.add(moved.image.index)
                        yield moved
            except (Cancelled, DeadlineExceeded):
                raise
            except CelesteError as error:
                missed += [Missed(i, error) for i in range(start, start + part.count) if i not in saved]
        if not saved:
            raise missed[0].error
        for event in missed:
            yield event

    return split


def _moved(event: Event, start: int, count: int, total: int) -> Event:
    """Returns an event of one call as an event of the whole: its image's index, its share of the progress."""
    match event:
        case Progress():
            return replace(event, fraction=min(1.0, (start + event.fraction * count) / total))
        case Preview():
            return replace(event, index=start + event.index)
        case Saved(ImageOutput() as image):
            return Saved(replace(image, index=start + image.index))
        case _:
            return event
