"""What engines that make pictures tell of, as events: they all use the same words for the same things."""

from celeste_image.core.events import Event, Picture, Preview, Progress
from celeste_image.sandbox.frames import Frame

__all__ = ["event_of"]


def event_of(frame: Frame) -> Event:
    """Returns the event that an engine's message stands for. Raises ValueError for another word."""
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
            raise ValueError(f"an engine sent {other!r}")
