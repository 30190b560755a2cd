"""How one vendor's jobs are asked for, and where its answers say what: facts of an API, written down as data."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from celeste_image.providers.kit.answers import Pointer, at

__all__ = ["Polling", "State"]


class State(StrEnum):
    """What a vendor's words for a job come to. MISSING is a job that the vendor does not know."""

    QUEUED = "queued"
    RUNNING = "running"
    READY = "ready"
    MODERATED = "moderated"
    CANCELLED = "cancelled"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """The jobs of one vendor. A Pointer is where an answer has a value; an empty one is nowhere.

    Attributes:
        states: What its words mean; the HTTP status of an answer is a word too, `"202"`. A word of `status` that is not
            here is one for a job that runs on.
        stages: What was refused, `prompt`, `input` or `output`, by the words for MODERATED.
        status: Where an answer has words for the state: the first that is known counts.
        id: Where the submit's answer has the job's id.
        poll_url: Where it has the URL to ask at, if it has one. Then that is the ticket, else the id is.
        poll: The path to ask at, with `{id}`, below the API's URL; used where there is no URL.
        result: The path to ask for what a job that is ready made, with `{id}`, if the polls don't say.
        results: Where pictures are, the first that is there: a URL, base64, an object with a `url`, or a list of these.
        seed: Where it has the seed.
        progress: Where it has the share done; `progress_whole` is all of it, 1 or 100.
        previews: Where a first look may be, as base64 or a URL: the first that is there.
        headers: What polls send along.
        cancel: Verb and path, with `{id}`; None where jobs can't be cancelled.
        interval_seconds: Between polls, at least.
        longest_seconds: After that long a job is given up.
        tell_seconds: So long before a caller's deadline a job is given up: for the cancel, and for the caller to learn
            what is owed before gRPC ends the call.
        answer_seconds: A poll that is not answered by then, with all that is in it, is lost.
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
            raise ValueError("a job that is known by its URL can't be cancelled, or its result had, by its id")

    def word_in(self, status: int, answer: Any, said: Callable[[Any], str]) -> str:
        """Returns the word for the state of a job; empty when the answer says nothing of it."""
        words = [word for path in self.status if (word := said(at(answer, *path)))]
        return next((word for word in (*words, str(status)) if word in self.states), words[0] if words else "")

    def pictures_in(self, answer: Any) -> list[str]:
        """Returns URLs and base64 of the pictures; none when one of them is of another type."""
        found: Any = next((value for path in self.results if (value := at(answer, *path))), [])
        listed = [item for item in (found if isinstance(found, list) else [found]) if item]
        texts: list[Any] = [item.get("url") if isinstance(item, dict) else item for item in listed]
        return texts if all(isinstance(text, str) for text in texts) else []

    def seed_in(self, answer: Any) -> int | None:
        """Returns the seed that was drawn, of 64 bits; None if there is none."""
        seed = at(answer, *self.seed)
        return seed if isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 1 << 64 else None

    def fraction_in(self, answer: Any) -> float | None:
        """Returns the share done that the vendor tells of; None if it does not."""
        told = at(answer, *self.progress)
        if not isinstance(told, int | float) or isinstance(told, bool) or not math.isfinite(told):
            return None
        return min(1.0, max(0.0, told / self.progress_whole))

    def preview_in(self, answer: Any) -> str:
        """Returns the URL or base64 of a first look; empty if there is none."""
        values = (at(answer, *path) for path in self.previews)
        return next((value for value in values if isinstance(value, str) and value), "")
