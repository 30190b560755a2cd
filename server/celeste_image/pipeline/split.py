"""Splitting: makes `count` images in calls of as many as the model makes at once, and reports those that failed."""

from collections.abc import AsyncGenerator, Callable, Iterator
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
from celeste_image.pipeline.side_by_side import side_by_side

__all__ = ["splitting"]


def splitting(run: CandidateRun, places: Callable[[ImageRequest], int] = lambda _: 1) -> CandidateRun:
    """Makes the images in calls that run side by side. A call that fails does not stop the others.

    If no image was saved, the operation fails: with the first error after which no other model may be tried, else with
    the first error. Images beyond those asked for are paid for like the others and kept; their indexes come last.

    Args:
        run: The rest of the pipeline.
        places: Returns the most calls of a request that run at a time.

    Raises:
        ProviderFailed: The provider made nothing and raised no error.
    """

    def split(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        if isinstance(request, Generate | Edit):
            return _several(run, request, candidate, places(request))
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


async def _several(
    run: CandidateRun, request: Generate | Edit, candidate: Candidate, places: int
) -> AsyncGenerator[Event, None]:
    """Makes `count` images in one call or more, `places` calls at a time."""
    card, count = candidate.card, max(1, request.count)
    parts = [range(start, min(start + card.max_count, count)) for start in range(0, count, card.max_count)]
    tally, left = _Tally(count), iter(parts)
    calls = [_calls(run, request, candidate, left, tally) for _ in parts[:places]]
    async with aclosing(calls[0] if len(calls) == 1 else side_by_side(calls)) as events:
        async for event in events:
            yield event
    if not tally.saved:
        raise tally.error()
    for index, failure in sorted(tally.failures.items()):
        yield ImageFailed(index, failure)
    made = len(tally.saved)
    yield Fidelity(FidelityLine.found("count", made, problem="" if made == count else f"{made} were made"))


async def _calls(
    run: CandidateRun, request: Generate | Edit, candidate: Candidate, parts: Iterator[range], tally: "_Tally"
) -> AsyncGenerator[Event, None]:
    """Makes calls one after another, each for the next of the parts that are left."""
    for part in parts:
        error: CelesteError | None = None
        tally.begin(part)
        try:
            of_part = candidate if candidate.images == part else replace(candidate, images=part)
            async with aclosing(run(tally.request_for(part, request), of_part)) as events:
                async for event in events:
                    if (placed := tally.place(event, part)) is not None:
                        yield placed
        except CelesteError as raised:
            if tally.count == 1 or isinstance(raised, Cancelled | DeadlineExceeded):
                if owed := tally.owed(part, candidate.card):
                    raised.metadata.setdefault("owed", owed)
                raise
            error = raised
        tally.end(part, error, candidate.card)


class _Tally:
    """Numbers the images of one request across its provider calls, and moves each event to its number.

    Attributes:
        count: Images of the request.
        saved: Indexes of the saved images.
        failures: Errors of the failed images, by index.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.saved: set[int] = set()
        self.failures: dict[int, CelesteError] = {}
        self._at_work: set[int] = set()
        self._done: dict[int, float] = {}
        """The share of each call, by its first index: 0 to its number of images."""
        self._refused: dict[int, CelesteError] = {}
        self._beyond: dict[tuple[int, int], int] = {}

    def request_for(self, part: range, request: Generate | Edit) -> Generate | Edit:
        """Returns the request of the call that makes the images with the indexes of `part`."""
        if self.count == 1:
            return request
        seed = None if request.seed is None else (request.seed + part.start) % (1 << 64)
        return replace(request, count=len(part), seed=seed)

    def begin(self, part: range) -> None:
        """Begins a call."""
        self._at_work.add(part.start)

    def place(self, event: Event, part: range) -> Event | None:
        """Returns an event of a call as an event of the operation; None for a failure, which is reported at the end."""
        match event:
            case Progress(fraction=fraction):
                self._done[part.start] = fraction * len(part)
                return replace(event, fraction=min(1.0, sum(self._done.values()) / self.count))
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
                return event if index == image.index else replace(event, image=replace(image, index=index))
            case _:
                return event

    def end(self, part: range, error: CelesteError | None, card: ModelCard) -> None:
        """Ends a call: those of its images that were not saved failed, with the call's error if there was one."""
        self._at_work.remove(part.start)
        self._done[part.start] = len(part)
        missing = [index for index in part if index not in self.saved]
        short = error or _failed(card, f"made {len(part) - len(missing)} of {len(part)} images")
        self.failures |= {index: self._refused.get(index, short) for index in missing}

    def owed(self, part: range, card: ModelCard) -> str:
        """Returns metadata `owed` of an error that ends the operation in the call of `part`; empty if nothing was made.

        Other calls at work are stopped, so nobody can say what they have made.
        """
        if self.saved:
            return card.owed
        if self._at_work == {part.start}:
            return ""
        return "unknown" if card.is_paid else card.owed

    def error(self) -> CelesteError:
        """Returns the error of the operation if no image was saved.

        An error after which no other model may be tried comes before the others: something may be paid for.
        """
        errors = [self.failures[index] for index in sorted(self.failures)]
        return next((error for error in errors if not may_try_another(error)), errors[0])

    def _index(self, index: int, part: range) -> int:
        """Returns the index of a call's image among all; one beyond the call's size comes after all asked for."""
        if index < len(part):
            return part[index]
        return self._beyond.setdefault((part.start, index), self.count + len(self._beyond))


def _failed(card: ModelCard, text: str) -> ProviderFailed:
    return ProviderFailed(f"{card.provider}: it {text}", metadata={"provider": card.provider})
