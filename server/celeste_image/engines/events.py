"""Converts the messages of image engines to core events. All engines use the same message kinds and fields."""

from celeste_image.core.events import Event, Picture, Preview, Progress
from celeste_image.sandbox.frames import Frame

__all__ = ["event_of"]


def event_of(frame: Frame) -> Event:
    """Returns the event for an engine's message. Raises ValueError for an unknown kind."""
    fields = frame.fields
    match frame.kind:
        case "progress":
            return Progress(fields["fraction"], fields["phase"])
        case "preview":
            return Preview(frame.payload, fields["media_type"], fields["width"], fields["height"])
        case "picture":
            made = (fields["media_type"], fields["width"], fields["height"])
            return Picture(frame.payload, *made, seed=fields.get("seed"), trained=fields.get("trained"))
        case other:
            raise ValueError(f"an engine sent a message of unknown kind {other!r}")
