"""Polling profile of a vendor's jobs, as data: paths, state words, intervals, and where its answers hold each value."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from celeste_image.providers.kit.answers import Pointer, at

__all__ = ["Polling", "State"]


class State(StrEnum):
    """The meaning of a vendor's word for a job's state. MISSING: the vendor does not know the job."""

    QUEUED = "queued"
    RUNNING = "running"
    READY = "ready"
    MODERATED = "moderated"
    CANCELLED = "cancelled"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """The jobs of one vendor. A Pointer says where an answer has a value; an empty one means that it never has.

    Attributes:
        states: The state for each of the vendor's words. The HTTP status of an answer counts as a word, `"202"`. Any
            other word at `status` means RUNNING.
        stages: For each word that means MODERATED, which part was refused: `prompt`, `input` or `output`.
        status: Where an answer may have the word for the state; the first known word counts.
        id: Where the answer to the submit has the job's id.
        poll_url: Where the answer to the submit has the URL to poll. The ticket is this URL, or else the id.
        poll: Path to poll below the API's URL, with `{id}`; used if the answer has no URL.
        result: Path of the result of a job that is ready, with `{id}`; empty if the polls have the result.
        results: Where the images may be; the first one found counts. An image is a URL, a base64 text, an object with
            a `url`, or a list of these.
        seed: Where the answer has the seed.
        progress: Where the answer has the progress, a number from 0 to `progress_whole`.
        progress_whole: The progress of a finished job, 1 or 100.
        previews: Where the answer may have a preview, as base64 or URL; the first one found counts.
        headers: Headers of the polls.
        cancel: Method and path of a cancel, with `{id}`; None if jobs can't be cancelled.
        interval_seconds: Shortest pause between polls.
        longest_seconds: Longest time for a job, from its submit; then it is given up.
        tell_seconds: How long before the caller's deadline a job is given up. The time is for the cancel, and for the
            caller to learn whether the job must be paid for before gRPC ends the call.
        answer_seconds: Timeout of one poll, up to the end of its answer.
    """

    states: Mapping[str, State]
    stages: Mapping[str, str] = field(default_factory=dict)
    status: tuple[Pointer, ...] = (("status",),)
    id: Pointer = ("id",)
    poll_url: Pointer = ()
    poll: str = ""
    result: str = ""
    results: tuple[Pointer, ...] = ()
    seed: Pointer = ("seed",)
    progress: Pointer = ("progress",)
    progress_whole: float = 1.0
    previews: tuple[Pointer, ...] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: {"accept": "application/json"})
    cancel: tuple[str, str] | None = None
    interval_seconds: float = 1.0
    longest_seconds: float = 600.0
    tell_seconds: float = 0.5
    answer_seconds: float = 20.0

    def __post_init__(self) -> None:
        if self.poll_url and (self.cancel or self.result):
            raise ValueError("a job that is polled at a URL can't have a cancel or a result path with its id")

    def word_in(self, status: int, answer: Any, said: Callable[[Any], str]) -> str:
        """Returns the word for a job's state; empty if the answer has none. `said` cleans a text of the vendor."""
        words = [word for path in self.status if (word := said(at(answer, *path)))]
        return next((word for word in (*words, str(status)) if word in self.states), words[0] if words else "")

    def pictures_in(self, answer: Any) -> list[str]:
        """Returns the URLs or base64 texts of the images; empty if one of them has another type."""
        found: Any = next((value for path in self.results if (value := at(answer, *path))), [])
        listed = [item for item in (found if isinstance(found, list) else [found]) if item]
        texts: list[Any] = [item.get("url") if isinstance(item, dict) else item for item in listed]
        return texts if all(isinstance(text, str) for text in texts) else []

    def seed_in(self, answer: Any) -> int | None:
        """Returns the seed, from 0 to 2**64 - 1; None if the answer has none."""
        seed = at(answer, *self.seed)
        return seed if isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 1 << 64 else None

    def fraction_in(self, answer: Any) -> float | None:
        """Returns the progress from 0 to 1; None if the answer has none."""
        told = at(answer, *self.progress)
        if not isinstance(told, int | float) or isinstance(told, bool) or not math.isfinite(told):
            return None
        return min(1.0, max(0.0, told / self.progress_whole))

    def preview_in(self, answer: Any) -> str:
        """Returns the URL or base64 text of a preview; empty if the answer has none."""
        values = (at(answer, *path) for path in self.previews)
        return next((value for value in values if isinstance(value, str) and value), "")
