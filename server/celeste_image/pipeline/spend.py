"""Spending: writes each call that may have to be paid into the ledger, before it is sent and after its end."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from celeste_image.core.call import Candidate, EarlierCall
from celeste_image.core.errors import CelesteError, OutcomeUnknown, ProviderFailed, SafetyBlocked, reason_of
from celeste_image.core.events import Billed, CandidateRun, Event, Saved, Submitted
from celeste_image.core.request import ImageRequest
from celeste_image.ledger import CallState, Ended, Ledger, Outcome, PaidCall

__all__ = ["spending"]

OWED = {"true": True, "false": False}
LAST = (SafetyBlocked, ProviderFailed)
"""Errors that are the provider's last word on a job."""


def spending(run: CandidateRun, ledger: Ledger) -> CandidateRun:
    """Sends no paid call before its row is on the disk, and yields no job's ticket before that is.

    A call without an end that is known is uncertain: the caller left while it ran, or it may be owed and nobody knows.
    Models that cost nothing have no rows. Where it is not known whether a model costs money, it may.

    A call that an earlier run of the request made is not made again: what it came to is given again, its job is
    resumed, or it is OutcomeUnknown.
    """

    async def spent(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        call, card = candidate.call, candidate.card
        if earlier := _earlier(candidate):
            if earlier.ticket is None or _is_known(earlier):
                for event in _again(earlier):
                    yield event
                return
            candidate = replace(candidate, ticket=earlier.ticket)
        told = (card.provider, card.id, request.kind.value, candidate.ticket, candidate.images)
        name = await ledger.open(PaidCall(call.caller, call.request_id, *told))
        made, images, billed = list[Event](), 0, dict[str, float]()

        def ended(state: CallState, error: CelesteError | None = None, owed: bool | None = None) -> Ended:
            receipt = Outcome(made, error).encode() if state is CallState.SETTLED else None
            return Ended(state, error.reason if error else "", owed, images, billed, receipt)

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
                    if Outcome.keeps(event):
                        made.append(replace(event, data=b"") if isinstance(event, Saved) else event)
                    yield event
        except CelesteError as error:
            owed = error.metadata.get("owed", "")
            if isinstance(error, OutcomeUnknown) or owed == "unknown":
                error.metadata.setdefault("ledger_entry", name)
                await ledger.end(name, ended(CallState.UNCERTAIN, error))
            else:
                await ledger.end(name, ended(CallState.SETTLED, error, OWED.get(owed, bool(images))))
            raise
        except BaseException as error:  # the caller left, or a bug: this task may not wait for the disk
            ledger.end_soon(name, Ended(CallState.UNCERTAIN, reason_of(error), None, images, billed))
            raise
        await ledger.end(name, ended(CallState.SETTLED, owed=card.is_paid))

    def free_or_spent(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        return (run if candidate.card.is_paid is False else spent)(request, candidate)

    return free_or_spent


def _earlier(candidate: Candidate) -> EarlierCall | None:
    """Returns the last call of an earlier run for the same images, unless it did nothing.

    Raises:
        OutcomeUnknown: An earlier call made some of these images and others: the model's card has changed since.
    """
    for call in reversed(candidate.call.earlier):
        if call.model != candidate.card.id or call.did_nothing:
            continue
        if call.images == candidate.images:
            return call
        if set(call.images) & set(candidate.images):
            raise _unknown(call)
    return None


def _is_known(call: EarlierCall) -> bool:
    """Returns whether what an earlier call came to is all that its provider can say of it."""
    return call.is_settled and call.has_receipt and (call.error is None or isinstance(call.error, LAST))


def _again(call: EarlierCall) -> list[Event]:
    """Returns what an earlier call made. Raises the error that it ended with, or OutcomeUnknown."""
    if not (call.is_settled and call.has_receipt):
        raise _unknown(call)
    if call.error:
        raise call.error
    return list(call.events)


def _unknown(call: EarlierCall) -> OutcomeUnknown:
    text = (
        f"an earlier call for this request may have been done, and {call.model.partition('/')[0]} can't be asked; "
        "see celeste ledger, and use a new request id to pay again"
    )
    return OutcomeUnknown(text, metadata={"final": "true", "owed": "unknown", "ledger_entry": call.id})
