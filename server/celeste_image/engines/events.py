"""Converts the messages of image engines to core events. All engines use the same message kinds and fields."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from celeste_image.core.events import Event, Picture, Preview, Progress
from celeste_image.core.media import IMAGE_TYPES, media_type
from celeste_image.sandbox.frames import Frame

__all__ = ["event_of"]


class _Step(BaseModel):
    """Fields of a message `progress`."""

    model_config = ConfigDict(strict=True)

    fraction: Annotated[float, Field(ge=0, le=1)]
    phase: Annotated[str, Field(max_length=100)]


class _Made(BaseModel):
    """Fields of the messages `preview` and `picture`, besides the media type, which the bytes tell."""

    model_config = ConfigDict(strict=True)

    width: Annotated[int, Field(ge=1, lt=1 << 31)]
    height: Annotated[int, Field(ge=1, lt=1 << 31)]
    seed: Annotated[int, Field(ge=0, lt=1 << 64)] | None = None
    trained: bool | None = None


def event_of(frame: Frame) -> Event:
    """Returns the event for an engine's message.

    Raises ValueError for an unknown kind, for fields of other types or ranges, and for a file that is no image.
    """
    fields = frame.fields
    match frame.kind:
        case "progress":
            step = _Step.model_validate(fields)
            return Progress(step.fraction, step.phase)
        case "preview":
            made = _Made.model_validate(fields)
            return Preview(frame.payload, _type_of(frame), made.width, made.height)
        case "picture":
            made = _Made.model_validate(fields)
            size = (made.width, made.height)
            return Picture(frame.payload, _type_of(frame), *size, seed=made.seed, trained=made.trained)
        case other:
            raise ValueError(f"an engine sent a message of unknown kind {other!r}")


def _type_of(frame: Frame) -> str:
    """Returns the media type of an image, by its bytes. Raises ValueError if they are no image, or another type."""
    found = media_type(frame.payload[:16])
    if found not in IMAGE_TYPES or found != frame.fields["media_type"]:
        raise ValueError(f"an engine sent {found} as an image")
    return found
