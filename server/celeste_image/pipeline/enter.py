"""Entering: refuses a request whose providers have no room, before its images are loaded and decoded."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from celeste_image.admission import Slots, asker
from celeste_image.core.call import Call
from celeste_image.core.errors import CelesteError, QueueFull
from celeste_image.core.events import Event, Run
from celeste_image.core.request import ImageRequest
from celeste_image.pipeline.route import cards_for
from celeste_image.providers.registry import Registry

__all__ = ["entering"]


def entering(run: Run, registry: Registry, slots: Mapping[str, Slots], *, knows_deadlines: bool = True) -> Run:
    """Refuses a request with images if none of its models would take it now. The call joins no queue yet."""

    def enter(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        has_images = next(request.images(), None) is not None
        return entered(request, call) if has_images and call.ticket is None else run(request, call)

    async def entered(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        check(request, call)
        async with aclosing(run(request, call)) as events:
            async for event in events:
                yield event

    def check(request: ImageRequest, call: Call) -> None:
        try:
            cards = cards_for(request, registry)
        except CelesteError:
            return  # routing says so
        refusal: QueueFull | None = None
        for card in cards:
            try:
                slots[card.provider].check(who=asker.get(), deadline=call.deadline if knows_deadlines else None)
            except QueueFull as error:
                refusal = refusal or error
            else:
                return
        if refusal:
            raise refusal

    return enter
