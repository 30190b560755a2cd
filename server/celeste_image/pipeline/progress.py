"""Progress: what a caller is told never falls, however often the work begins anew."""

from celeste_image.core.events import Event, Progress

__all__ = ["Rising"]


class Rising:
    """Lets through what a caller may be told of one request, over all its tries and models."""

    def __init__(self) -> None:
        self._fraction = 0.0

    def passes(self, event: Event) -> bool:
        """Tells whether an event may go on: every one but a Progress below the highest so far."""
        if not isinstance(event, Progress):
            return True
        rises = event.fraction >= self._fraction
        self._fraction = max(self._fraction, event.fraction)
        return rises
