"""Helper of the steps that treat each image on its way from the provider to the store, and pass other events on."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from celeste_image.core.events import Event, Picture

__all__ = ["per_image"]


async def per_image(
    events: AsyncGenerator[Event, None],
    handle: Callable[[Picture], AsyncGenerator[Event, None]],
    first: Iterable[Event] = (),
) -> AsyncGenerator[Event, None]:
    """Yields `first` and then `events`, each picture replaced with the events of `handle(picture)`."""
    for event in first:
        yield event
    async with aclosing(events):
        async for event in events:
            if not isinstance(event, Picture):
                yield event
                continue
            async with aclosing(handle(event)) as handled:
                async for each in handled:
                    yield each
