"""Charging: tells whether a refusal of the provider has to be paid, by the model's card."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from celeste_image.core.call import Candidate
from celeste_image.core.card import ModelCard, RefusalCharge
from celeste_image.core.errors import CelesteError, SafetyBlocked
from celeste_image.core.events import CandidateRun, Event, ImageFailed
from celeste_image.core.request import ImageRequest

__all__ = ["charging_refusals"]

BEFORE = ("prompt", "input")
"""Stages at which a safety system refuses before anything is made."""


def charging_refusals(run: CandidateRun) -> CandidateRun:
    """Sets metadata `owed` of the provider's refusals, as the card's `refusal_charge` says.

    `true` and `false` stay: the provider's file sets them where the vendor says so about this very refusal. If the card
    does not know it, `owed` is `unknown`, unless the refused part is the prompt or the input: nothing was made then.
    """

    async def run_with_refusals(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        card = candidate.card
        try:
            async with aclosing(run(request, candidate)) as events:
                async for event in events:
                    if isinstance(event, ImageFailed):
                        _charge(event.error, card)
                    yield event
        except SafetyBlocked as error:
            _charge(error, card)
            raise

    return run_with_refusals


def _charge(error: CelesteError, card: ModelCard) -> None:
    told = error.metadata.get("owed")
    if not isinstance(error, SafetyBlocked) or told in ("true", "false") or card.is_paid is False:
        return
    if owed := {RefusalCharge.CHARGED: "true", RefusalCharge.FREE: "false"}.get(card.refusal_charge):
        error.metadata["owed"] = owed
    elif error.metadata.get("stage") not in BEFORE:
        error.metadata["owed"] = "unknown"
