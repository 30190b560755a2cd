"""Charging: tells the cost of each call, and whether a refusal of the provider has to be paid.

charging_refusals   next to the provider: `owed` of its refusals, by the model's card
charging            above saving, on a store without a ledger: the cost of the call, whether it succeeds or fails.
With a ledger, spend.py tells it.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from celeste_image.core.call import Candidate
from celeste_image.core.card import ModelCard, RefusalCharge
from celeste_image.core.errors import CelesteError, SafetyBlocked
from celeste_image.core.events import CandidateRun, Charged, Event, ImageFailed
from celeste_image.core.request import ImageRequest
from celeste_image.pipeline.pricing import Made, cost_of

__all__ = ["charging", "charging_refusals"]

BEFORE = ("prompt", "input")
"""Stages at which a safety system refuses before anything is made."""


def charging(run: CandidateRun, cards: Mapping[str, ModelCard] | None = None) -> CandidateRun:
    """Ends each call that may have to be paid with Charged, before its error if it fails.

    A call that its caller leaves, or that a bug ends, has no Charged: nobody would read it. Models that cost nothing
    have none either.

    Args:
        run: The rest of the pipeline.
        cards: The models, by id, for quantities that a provider counted for another model than the one it was asked.
    """

    async def charged(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        card, made = candidate.card, Made()
        try:
            async with aclosing(run(request, candidate)) as events:
                async for event in events:
                    made.add(event)
                    yield event
        except CelesteError as error:
            yield Charged(cost_of(card, request, made, made.owed(error), cards))
            raise
        yield Charged(cost_of(card, request, made, owed=True, cards=cards))

    def free_or_charged(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        return (run if candidate.card.is_paid is False else charged)(request, candidate)

    return free_or_charged


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
