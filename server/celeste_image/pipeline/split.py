"""splitting: `count` images become calls of what the model makes at once, and are counted when they come."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from celeste_image.core.call import Candidate
from celeste_image.core.card import ModelCard
from celeste_image.core.errors import Cancelled, CelesteError, DeadlineExceeded, ProviderFailed
from celeste_image.core.events import (
    Analyzed,
    CandidateRun,
    Event,
    ImageFailed,
    Measured,
    Preview,
    Progress,
    SafetyJudged,
    Saved,
)
from celeste_image.core.request import Edit, Generate, ImageRequest
from celeste_image.core.result import ImageOutput
from celeste_image.pipeline.attempts import may_go_on

__all__ = ["splitting"]


def splitting(run: CandidateRun) -> CandidateRun:
    """Makes the images one call after another; what fails, or does not come, is missed while others are made.

    When no call made an image, the first failure after which nothing else may be asked is the operation's, else the
    first. Images beyond those that a call was asked for are paid for like the others, and kept: their indexes come
    after all that were asked for.

    Raises:
        ProviderFailed: Nothing was made, and nothing failed.
    """

    async def whole(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        made, missed = False, list[ImageFailed]()
        try:
            async with aclosing(run(request, candidate)) as events:
                async for event in events:
                    made |= isinstance(event, Saved | Analyzed)
                    if isinstance(event, ImageFailed):
                        missed.append(event)
                    else:
                        yield event
        except CelesteError as error:
            if missed and not made:  # it was made, so no other model is to make it again
                raise missed[0].error from error
            raise
        if not made:
            raise missed[0].error if missed else _failed(candidate.card, "made nothing")
        for refused in missed:
            yield refused

    async def split(request: Generate | Edit, candidate: Candidate) -> AsyncGenerator[Event, None]:
        card, count = candidate.card, max(1, request.count)
        places = Places(count)
        missed: list[ImageFailed] = []
        saved: set[int] = set()
        refused: dict[int, CelesteError] = {}
        for start in range(0, count, card.max_count):
            size = min(card.max_count, count - start)
            seed = None if request.seed is None else (request.seed + start) % (1 << 64)
            part = request if count == 1 else replace(request, count=size, seed=seed)
            before = len(saved)
            try:
                async with aclosing(run(part, candidate)) as events:
                    async for event in events:
                        moved = places.moved(event, start, size)
                        if isinstance(moved, ImageFailed):
                            refused[moved.index] = moved.error
                            continue
                        if isinstance(moved, Saved):
                            saved.add(moved.image.index)
                        yield moved
            except (Cancelled, DeadlineExceeded):
                raise
            except CelesteError as error:
                if count == 1:
                    raise
                short = error
            else:
                short = _failed(card, f"made {len(saved) - before} of {size} images")
            missed += [ImageFailed(i, refused.get(i, short)) for i in range(start, start + size) if i not in saved]
        if not saved:
            # A call that may have done something says more than one that did nothing: another model may do it then.
            raise next((event.error for event in missed if not may_go_on(event.error)), missed[0].error)
        for event in missed:
            yield event
        text = "" if len(saved) == count else f"{len(saved)} were made"
        yield Measured("count", len(saved), text)

    def chosen(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        return split(request, candidate) if isinstance(request, Generate | Edit) else whole(request, candidate)

    return chosen


class Places:
    """Where the images of each call go among `count`; those beyond what a call was asked for go after the last."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._beyond: dict[tuple[int, int], int] = {}

    def moved(self, event: Event, start: int, size: int) -> Event:
        """Returns an event of the call for `size` images from `start` as an event of the whole."""
        match event:
            case Progress():
                return replace(event, fraction=min(1.0, (start + event.fraction * size) / self._count))
            case Preview() | Measured(index=int()):
                return replace(event, index=self._place(event.index or 0, start, size))
            case ImageFailed():
                return replace(event, index=self._place(event.index, start, size))
            case SafetyJudged(verdict) if verdict.image_index is not None:
                return SafetyJudged(replace(verdict, image_index=self._place(verdict.image_index, start, size)))
            case Saved(ImageOutput() as image):
                return Saved(replace(image, index=self._place(image.index, start, size)))
            case _:
                return event

    def _place(self, index: int, start: int, size: int) -> int:
        if index < size:
            return start + index
        return self._beyond.setdefault((start, index), self._count + len(self._beyond))


def _failed(card: ModelCard, text: str) -> ProviderFailed:
    return ProviderFailed(f"{card.provider}: it {text}", metadata={"provider": card.provider})
