"""Spending: writes each call that may have to be paid into the ledger, before it is sent and after its end."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

from celeste_image.core.call import Candidate, EarlierCall
from celeste_image.core.card import ModelCard
from celeste_image.core.errors import CelesteError, OutcomeUnknown, ProviderFailed, SafetyBlocked, reason_of
from celeste_image.core.events import CandidateRun, Charged, Event, Saved, Submitted
from celeste_image.core.money import Cost
from celeste_image.core.request import ImageRequest
from celeste_image.ledger import CallState, Ended, Ledger, Outcome, PaidCall
from celeste_image.pipeline.pricing import Made, cost_of, expected_cost

__all__ = ["spending"]

LAST = (SafetyBlocked, ProviderFailed)
"""Errors that are the provider's last word on a job."""


def spending(run: CandidateRun, ledger: Ledger, cards: Mapping[str, ModelCard] | None = None) -> CandidateRun:
    """Sends no paid call before its row is on the disk, and yields no job's ticket before that is.

    A call without an end that is known is uncertain: the caller left while it ran, or it may be owed and nobody knows.
    Each call that ends yields Charged once its end is in its row. Models that cost nothing have no rows. Where it is
    not known whether a model costs money, it may.

    A call that an earlier run of the request made is not made again: what it came to is given again, its job is
    resumed, or it is OutcomeUnknown.

    Args:
        run: The rest of the pipeline.
        ledger: Has the rows.
        cards: The models, by id, for quantities that a provider counted for another model than the one it was asked.
    """

    async def spent(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        call, card, made = candidate.call, candidate.card, Made()
        if earlier := _earlier(candidate):
            if earlier.ticket is None or _is_known(earlier):
                for event in _again(earlier):
                    yield event
                return
            candidate = replace(candidate, ticket=earlier.ticket)
        told = (card.provider, card.id, request.kind.value, candidate.ticket, candidate.images)
        name = await ledger.open(PaidCall(call.caller, call.request_id, *told), expected_cost(card, request))
        kept = list[Event]()

        def ended(cost: Cost, owed: bool | None, error: CelesteError | None = None) -> Ended:
            state = CallState.UNCERTAIN if error and owed is None else CallState.SETTLED
            receipt = Outcome([*kept, Charged(cost)], error).encode() if state is CallState.SETTLED else None
            return Ended(state, error.reason if error else "", owed, len(made.images), made.billed, cost, receipt)

        try:
            async with aclosing(run(request, candidate)) as events:
                async for event in events:
                    made.add(event)
                    if isinstance(event, Submitted):
                        await ledger.submitted(name, event.ticket)
                    if Outcome.keeps(event):
                        kept.append(replace(event, data=b"") if isinstance(event, Saved) else event)
                    yield event
        except CelesteError as error:
            owed = made.owed(error)
            if owed is None:
                error.metadata.setdefault("ledger_entry", name)
            cost = cost_of(card, request, made, owed, cards)
            await ledger.end(name, ended(cost, owed, error))
            yield Charged(cost)
            raise
        except BaseException as error:  # the caller left, or a bug: this task may not wait for the disk
            cost = cost_of(card, request, made, None, cards)
            lost = Ended(CallState.UNCERTAIN, reason_of(error), None, len(made.images), made.billed, cost)
            ledger.end_soon(name, lost)
            raise
        cost = cost_of(card, request, made, owed=True, cards=cards)
        await ledger.end(name, ended(cost, card.is_paid))
        yield Charged(cost)

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
