"""Splitting: makes `count` images in calls of as many as the model makes at once, and reports those that failed."""

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
    Fidelity,
    ImageFailed,
    Preview,
    Progress,
    SafetyJudged,
    Saved,
)
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.request import Edit, Generate, ImageRequest
from celeste_image.pipeline.attempts import may_try_another

__all__ = ["splitting"]


def splitting(run: CandidateRun) -> CandidateRun:
    """Makes the images one call after another. A call that fails does not stop the others.

    If no image was saved, the operation fails: with the first error after which no other model may be tried, else with
    the first error. Images beyond those asked for are paid for like the others and kept; their indexes come last.

    Raises:
        ProviderFailed: The provider made nothing and raised no error.
    """

    def split(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        if isinstance(request, Generate | Edit):
            return _several(run, request, candidate)
        return _single(run, request, candidate)

    return split


async def _single(run: CandidateRun, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
    """Runs an operation that is one call: an upscale or an analysis."""
    is_made, failures = False, list[ImageFailed]()
    try:
        async with aclosing(run(request, candidate)) as events:
            async for event in events:
                is_made |= isinstance(event, Saved | Analyzed)
                if isinstance(event, ImageFailed):
                    failures.append(event)
                else:
                    yield event
    except CelesteError as error:
        if is_made:
            error.metadata.setdefault("owed", candidate.card.owed)
        if failures and not is_made:  # a refused image was made and paid for, so no other model may make it again
            raise failures[0].error from error
        raise
    if not is_made:
        raise failures[0].error if failures else _failed(candidate.card, "made nothing")
    for failure in failures:
        yield failure


async def _several(run: CandidateRun, request: Generate | Edit, candidate: Candidate) -> AsyncGenerator[Event, None]:
    """Makes `count` images in one call or more."""
    card, count = candidate.card, max(1, request.count)
    tally = _Tally(count)
    for start in range(0, count, card.max_count):
        part = range(start, min(start + card.max_count, count))
        error: CelesteError | None = None
        try:
            async with aclosing(run(_request_for(part, count, request), candidate)) as events:
                async for event in events:
                    if (placed := tally.place(event, part)) is not None:
                        yield placed
        except CelesteError as raised:
            if count == 1 or isinstance(raised, Cancelled | DeadlineExceeded):
                if tally.saved:
                    raised.metadata.setdefault("owed", card.owed)
                raise
            error = raised
        tally.end(part, error, card)
    if not tally.saved:
        raise tally.error()
    for index, failure in tally.failures.items():
        yield ImageFailed(index, failure)
    made = len(tally.saved)
    yield Fidelity(FidelityLine.found("count", made, problem="" if made == count else f"{made} were made"))


def _request_for(part: range, count: int, request: Generate | Edit) -> Generate | Edit:
    """Returns the request of the call that makes the images with the indexes of `part`."""
    if count == 1:
        return request
    seed = None if request.seed is None else (request.seed + part.start) % (1 << 64)
    return replace(request, count=len(part), seed=seed)


class _Tally:
    """Numbers the images of one request across its provider calls, and moves each event to its number.

    Attributes:
        saved: Indexes of the saved images.
        failures: Errors of the failed images, by index.
    """

    def __init__(self, count: int) -> None:
        self.saved: set[int] = set()
        self.failures: dict[int, CelesteError] = {}
        self._count = count
        self._refused: dict[int, CelesteError] = {}
        self._beyond: dict[tuple[int, int], int] = {}

    def place(self, event: Event, part: range) -> Event | None:
        """Returns an event of a call as an event of the operation; None for a failure, which is reported at the end."""
        match event:
            case Progress(fraction=fraction):
                return replace(event, fraction=min(1.0, (part.start + fraction * len(part)) / self._count))
            case Preview(index=index):
                return replace(event, index=self._index(index, part))
            case Fidelity(FidelityLine(image_index=int(index)) as line):
                return Fidelity(replace(line, image_index=self._index(index, part)))
            case SafetyJudged(verdict) if verdict.image_index is not None:
                return SafetyJudged(replace(verdict, image_index=self._index(verdict.image_index, part)))
            case ImageFailed(index, error):
                self._refused[self._index(index, part)] = error
                return None
            case Saved(image):
                index = self._index(image.index, part)
                self.saved.add(index)
                return replace(event, image=replace(image, index=index))
            case _:
                return event

    def end(self, part: range, error: CelesteError | None, card: ModelCard) -> None:
        """Ends a call: those of its images that were not saved failed, with the call's error if there was one."""
        missing = [index for index in part if index not in self.saved]
        short = error or _failed(card, f"made {len(part) - len(missing)} of {len(part)} images")
        self.failures |= {index: self._refused.get(index, short) for index in missing}

    def error(self) -> CelesteError:
        """Returns the error of the operation if no image was saved.

        An error after which no other model may be tried comes before the others: something may be paid for.
        """
        errors = list(self.failures.values())
        return next((error for error in errors if not may_try_another(error)), errors[0])

    def _index(self, index: int, part: range) -> int:
        """Returns the index of a call's image among all; one beyond the call's size comes after all asked for."""
        if index < len(part):
            return part[index]
        return self._beyond.setdefault((part.start, index), self._count + len(self._beyond))


def _failed(card: ModelCard, text: str) -> ProviderFailed:
    return ProviderFailed(f"{card.provider}: it {text}", metadata={"provider": card.provider})
