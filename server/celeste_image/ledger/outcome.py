"""Outcome: what an operation came to, in the form in which it is stored and given again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import orjson
from pydantic import TypeAdapter

from celeste_image.core.errors import ERRORS, Attempt, CelesteError, InternalError, Violation
from celeste_image.core.events import (
    Analyzed,
    Billed,
    Charged,
    ComputeUsed,
    Event,
    Fidelity,
    ImageFailed,
    SafetyJudged,
    Saved,
    Started,
    Warned,
)

__all__ = ["Outcome", "plain"]

KEPT = (Started, Fidelity, Warned, Saved, Analyzed, SafetyJudged, ComputeUsed, Billed, Charged)
"""Events that make up a result, beside ImageFailed. The others tell how far the work was."""
BY_NAME = {cls.__name__: cls for cls in KEPT}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The events of an operation, or of one call for it, that tell what was made, and the error that ended it.

    Attributes:
        events: The events in order, without the bytes of images.
        error: The error; None after a success.
    """

    events: Sequence[Event] = ()
    error: CelesteError | None = None

    @staticmethod
    def keeps(event: Event) -> bool:
        """Returns whether an event belongs to an outcome."""
        return isinstance(event, (*KEPT, ImageFailed))

    def encode(self) -> bytes:
        """Returns the outcome as JSON."""
        told = [_told(event) for event in self.events if self.keeps(event)]
        return orjson.dumps({"events": told, "error": self.error and _fields(self.error)}, default=plain)

    @classmethod
    def decode(cls, data: bytes) -> "Outcome":
        """Returns the outcome of some JSON. Raises ValueError if a later version wrote it, or the disk damaged it."""
        try:
            found = orjson.loads(data)
            events = [_event(kind, values) for kind, values in found["events"]]
            return cls(tuple(events), _error(found["error"]) if found["error"] else None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an outcome: {type(error).__name__}") from error


def _told(event: Event) -> tuple[str, object]:
    match event:
        case Saved():
            return "Saved", replace(event, data=b"", image=replace(event.image, data=b""))
        case ImageFailed(index, error):
            return "ImageFailed", {"index": index, "error": _fields(error)}
    return type(event).__name__, event


def _event(kind: str, values: Any) -> Event:
    if kind == "ImageFailed":
        return ImageFailed(int(values["index"]), _error(values["error"]))
    event: Event = _adapter(BY_NAME[kind]).validate_python(values, extra="forbid")
    return event


def _fields(error: CelesteError) -> dict[str, object]:
    return {
        "reason": error.reason,
        "message": error.message,
        "metadata": dict(error.metadata),
        "violations": error.violations,
        "resource": error.resource,
        "retry_after": error.retry_after,
        "attempts": error.attempts,
    }


def _error(fields: dict[str, Any]) -> CelesteError:
    return ERRORS.get(fields["reason"], InternalError)(
        fields["message"],
        metadata=fields["metadata"],
        violations=[Violation(**each) for each in fields["violations"]],
        resource=fields["resource"],
        retry_after=fields["retry_after"],
        attempts=[Attempt(**each) for each in fields["attempts"]],
    )


def plain(value: object) -> object:
    """Returns what orjson can write of a value that it can't. Raises TypeError for bytes, which belong elsewhere."""
    if isinstance(value, Mapping):
        return dict(value)
    if value == b"":
        return ""
    raise TypeError(f"{type(value).__name__} is not part of an outcome")


@cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(cls)
