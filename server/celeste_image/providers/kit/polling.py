"""Polling profile of a vendor's jobs, as data: paths, state words, intervals, and where its answers hold each value."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from celeste_image.outbound.exchange import Reply
from celeste_image.providers.kit.answers import Pointer, at
from celeste_image.providers.kit.failures import is_refusal, word_of
from celeste_image.providers.kit.images import Found, is_image, seed_in

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


ENDS: Final = frozenset(
    {
        *("error", "failed", "failure", "fatal", "rejected", "expired", "timeout", "timed_out", "aborted"),
        *("cancelled", "canceled", "terminated"),
    }
)
"""Words, as `word_of` has them, for a job that failed, also with vendors that do not document them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """The jobs of one vendor. A Pointer says where an answer has a value; an empty one means that it never has.

    Attributes:
        states: The state for each of the vendor's words, in any case. Without a word, the HTTP status of an answer
            counts as one, `"202"`. Another word that names a refusal or a failure has that meaning.
        unknown: The state for any other word. It is never READY, because the word may be that of a refusal.
        stages: For each word that means MODERATED, which part was refused: `prompt`, `input` or `output`. An empty word
            stands for all others.
        charges: For words that mean MODERATED, whether the vendor says that it charges: `true` or `false`.
        status: Where an answer may have the word for the state. Of several words, one that ends the job without an
            image counts first, then the first known one.
        headers_read: Headers of an answer that count as fields, by the field's name.
        reasons: Where the answer of a refused job has the reasons: a text, or a list of texts.
        id: Where the answer to the submit has the job's id.
        poll_url: Where the answer to the submit has the URL to poll. The ticket is this URL, or else the id.
        poll: Path to poll below the API's URL, with `{id}`; used if the answer has no URL.
        result: Path of the result of a job that is ready, with `{id}`; empty if the polls have the result.
        results: Where the images may be; the first one found counts. An image is a URL, a base64 text, an object with
            a `url`, or a list of these. An answer that is an image itself is read as the first place.
        seed: Where the answer has the seed.
        cost: Where an answer, also that to the submit, has the vendor's charge for the job, by its unit.
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
    unknown: State = State.RUNNING
    stages: Mapping[str, str] = field(default_factory=dict)
    charges: Mapping[str, str] = field(default_factory=dict)
    status: tuple[Pointer, ...] = (("status",),)
    headers_read: Mapping[str, str] = field(default_factory=dict)
    reasons: tuple[Pointer, ...] = ()
    id: Pointer = ("id",)
    poll_url: Pointer = ()
    poll: str = ""
    result: str = ""
    results: tuple[Pointer, ...] = ()
    seed: Pointer = ("seed",)
    cost: Mapping[str, Pointer] = field(default_factory=dict)
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

        if self.unknown is State.READY:
            raise ValueError("an unknown word can't mean that a job is ready")

    def value_of(self, reply: Reply) -> Any:
        """Returns the JSON value of an answer, with the headers that count as fields.

        An answer may be the image itself, though JSON was asked for.

        Raises:
            ExchangeFailed: The answer is neither JSON nor an image.
        """
        return self.with_headers(reply, reply.body if _is_image(reply) else reply.json())

    def with_headers(self, reply: Reply, value: Any) -> Any:
        """Returns the value of an answer with the headers that count as fields; bytes become the field of an image."""
        if isinstance(value, bytes) and self.results:
            for step in reversed(self.results[0]):
                value = {step: value}
        if isinstance(value, dict):
            value = {self.headers_read[name]: reply.headers.get(name, "") for name in self.headers_read} | value
        return value

    def word_in(self, status: int, answer: Any) -> str:
        """Returns the word for a job's state, as the vendor writes it; empty if the answer has none."""
        words = [word.strip() for path in self.status if isinstance(word := at(answer, *path), str) and word.strip()]
        words = words or [str(status)] * (str(status) in self.states)
        ended = (State.MODERATED, State.FAILED, State.CANCELLED)
        first = [word for word in words if self.state_of(word) in ended]
        return [*first, *(word for word in words if self.knows(word)), *words, ""][0]

    def state_of(self, word: str) -> State:
        """Returns the state that a word means."""
        state = {word_of(name): state for name, state in self.states.items()}.get(word_of(word))
        if state is not None:
            return state
        if is_refusal(word):
            return State.MODERATED
        return State.FAILED if word_of(word) in ENDS else self.unknown

    def knows(self, word: str) -> bool:
        """Returns whether the vendor's documents have a word."""
        return word_of(word) in {word_of(name) for name in self.states}

    def refusal_by(self, word: str) -> Mapping[str, str]:
        """Returns metadata of a refusal: `stage`, which is `unknown` without an entry, and `owed` if there is one."""
        stages = {word_of(name): stage for name, stage in self.stages.items()}
        owed = [owed for name, owed in self.charges.items() if word_of(name) == word_of(word)]
        return {"stage": stages.get(word_of(word)) or stages.get("", "unknown"), **({"owed": owed[0]} if owed else {})}

    def found_in(self, answer: Any) -> list[Found]:
        """Returns the images, each at a URL, as base64 text or as bytes, with the seed if there is only one."""
        held: Any = next((value for path in self.results if (value := at(answer, *path))), [])
        listed = [item for item in (held if isinstance(held, list) else [held]) if item]
        places = [item.get("url") if isinstance(item, dict) else item for item in listed]
        found = [place for place in places if isinstance(place, str | bytes) and place]
        seed = seed_in(at(answer, *self.seed)) if len(found) == 1 else None
        return [Found((place,), seed=seed) for place in found]

    def reasons_in(self, answer: Any) -> str:
        """Returns the reasons for a refusal as one text, not cleaned; empty if the answer has none."""
        return ", ".join(dict.fromkeys(text for path in self.reasons for text in _texts(at(answer, *path))))

    def cost_in(self, answer: Any) -> Mapping[str, float]:
        """Returns the vendor's charge by unit; empty if the answer names none."""
        found = {unit: at(answer, *path) for unit, path in self.cost.items()}
        return {unit: float(amount) for unit, amount in found.items() if _is_amount(amount)}

    def fraction_in(self, answer: Any) -> float | None:
        """Returns the progress from 0 to 1; None if the answer has none."""
        told = at(answer, *self.progress)
        if not isinstance(told, int | float) or isinstance(told, bool) or not math.isfinite(told):
            return None
        return min(1.0, max(0.0, told / self.progress_whole))

    def preview_in(self, answer: Any) -> str | bytes:
        """Returns the URL, the base64 text or the bytes of a preview; empty if the answer has none."""
        values = (at(answer, *path) for path in self.previews)
        return next((value for value in values if isinstance(value, str | bytes) and value), "")


def _is_image(reply: Reply) -> bool:
    return reply.media_type.startswith("image/") or is_image(reply.body)


def _texts(value: Any) -> Iterator[str]:
    """Yields the texts in a value: itself, those of a list, or the names in an object whose values are not false."""
    match value:
        case str() if value.strip():
            yield value.strip()
        case list():
            for item in value[:16]:
                yield from _texts(item)
        case dict():
            for name, item in list(value.items())[:16]:
                if item:
                    yield name
                    yield from _texts(item)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
