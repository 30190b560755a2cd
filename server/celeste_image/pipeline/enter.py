"""Entering: refuses a request whose providers have no room, before anything is done for it."""

from collections.abc import AsyncGenerator, Mapping

from celeste_image.admission import Slots, asker
from celeste_image.core.call import Call
from celeste_image.core.errors import CelesteError, QueueFull
from celeste_image.core.events import Event, Run
from celeste_image.core.request import ImageRequest
from celeste_image.pipeline.route import cards_for
from celeste_image.providers.registry import Registry

__all__ = ["entering"]


def entering(run: Run, registry: Registry, slots: Mapping[str, Slots], *, knows_deadlines: bool = True) -> Run:
    """Refuses a request if none of its models would take it now. The call joins no queue yet.

    So its images are not loaded in vain, and under overload a refusal costs little.
    """

    def enter(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        if call.ticket is None and any(each.is_full for each in slots.values()):
            check(request, call)
        return run(request, call)

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
