"""Helper of the steps that treat each image on its way from the provider to the store, and pass other events on."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from celeste_image.core.card import ModelCard
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Event, Picture

__all__ = ["per_image"]


async def per_image(
    events: AsyncGenerator[Event, None],
    handle: Callable[[Picture], AsyncGenerator[Event, None]],
    card: ModelCard,
    first: Iterable[Event] = (),
) -> AsyncGenerator[Event, None]:
    """Yields `first` and then `events`, each picture replaced with the events of `handle(picture)`.

    An error of `handle` loses an image that was made: its metadata `owed` says whether `card` has to be paid.
    """
    for event in first:
        yield event
    async with aclosing(events):
        async for event in events:
            if not isinstance(event, Picture):
                yield event
                continue
            async with aclosing(handle(event)) as handled:
                try:
                    async for each in handled:
                        yield each
                except CelesteError as error:
                    error.metadata.setdefault("owed", card.owed)
                    raise
