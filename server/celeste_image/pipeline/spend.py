"""Spending: writes each call that may have to be paid into the ledger, before it is sent and after its end."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from celeste_image.core.call import Candidate
from celeste_image.core.errors import CelesteError, OutcomeUnknown, reason_of
from celeste_image.core.events import Billed, CandidateRun, Event, Saved, Submitted
from celeste_image.core.request import ImageRequest
from celeste_image.ledger import CallState, Ended, Ledger, PaidCall

__all__ = ["spending"]

OWED = {"true": True, "false": False}


def spending(run: CandidateRun, ledger: Ledger) -> CandidateRun:
    """Sends no paid call before its row is on the disk, and yields no job's ticket before that is.

    A call without an end that is known is uncertain: the caller left while it ran, or it may be owed and nobody knows.
    Models that cost nothing have no rows. Where it is not known whether a model costs money, it may.
    """

    async def spent(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        call, card = candidate.call, candidate.card
        name = await ledger.open(
            PaidCall(call.caller, call.request_id, card.provider, card.id, request.kind.value, candidate.ticket)
        )
        images, billed = 0, dict[str, float]()

        def ended(state: CallState, reason: str = "", owed: bool | None = None) -> Ended:
            return Ended(state, reason, owed, images, billed)

        try:
            async with aclosing(run(request, candidate)) as events:
                async for event in events:
                    if isinstance(event, Submitted):
                        await ledger.submitted(name, event.ticket)
                    elif isinstance(event, Saved):
                        images += 1
                    elif isinstance(event, Billed):
                        for unit, amount in event.quantities.items():
                            billed[unit] = billed.get(unit, 0.0) + amount
                    yield event
        except CelesteError as error:
            owed = error.metadata.get("owed", "")
            if isinstance(error, OutcomeUnknown) or owed == "unknown":
                await ledger.end(name, ended(CallState.UNCERTAIN, error.reason))
            else:
                await ledger.end(name, ended(CallState.SETTLED, error.reason, OWED.get(owed, bool(images))))
            raise
        except BaseException as error:  # the caller left, or a bug: this task may not wait for the disk
            ledger.end_soon(name, ended(CallState.UNCERTAIN, reason_of(error)))
            raise
        await ledger.end(name, ended(CallState.SETTLED, owed=card.is_paid))

    def free_or_spent(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        return (run if candidate.card.is_paid is False else spent)(request, candidate)

    return free_or_spent
