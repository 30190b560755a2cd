"""Spending: writes each call that may have to be paid into the ledger, before it is sent and after its end."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from celeste_image.core.call import Candidate
from celeste_image.core.card import ModelCard
from celeste_image.core.errors import CelesteError, reason_of
from celeste_image.core.events import CandidateRun, Charged, Event, Submitted
from celeste_image.core.money import Cost
from celeste_image.core.request import ImageRequest
from celeste_image.ledger import CallState, Ended, Ledger, PaidCall
from celeste_image.pipeline.pricing import Made, cost_of, expected_cost

__all__ = ["spending"]


def spending(run: CandidateRun, ledger: Ledger, cards: Mapping[str, ModelCard] | None = None) -> CandidateRun:
    """Sends no paid call before its row is on the disk, and yields no job's ticket before that is.

    A call without an end that is known is uncertain: the caller left while it ran, or it may be owed and nobody knows.
    Each call that ends yields Charged once its end is in its row. Models that cost nothing have no rows. Where it is
    not known whether a model costs money, it may.

    Args:
        run: The rest of the pipeline.
        ledger: Has the rows.
        cards: The models, by id, for quantities that a provider counted for another model than the one it was asked.
    """

    async def spent(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        call, card, made = candidate.call, candidate.card, Made()
        name = await ledger.open(
            PaidCall(call.caller, call.request_id, card.provider, card.id, request.kind.value, candidate.ticket),
            expected_cost(card, request),
        )

        def ended(state: CallState, reason: str, owed: bool | None, cost: Cost) -> Ended:
            return Ended(state, reason, owed, len(made.images), made.billed, cost)

        try:
            async with aclosing(run(request, candidate)) as events:
                async for event in events:
                    made.add(event)
                    if isinstance(event, Submitted):
                        await ledger.submitted(name, event.ticket)
                    yield event
        except CelesteError as error:
            owed = made.owed(error)
            cost = cost_of(card, request, made, owed, cards)
            state = CallState.UNCERTAIN if owed is None else CallState.SETTLED
            await ledger.end(name, ended(state, error.reason, owed, cost))
            yield Charged(cost)
            raise
        except BaseException as error:  # the caller left, or a bug: this task may not wait for the disk
            cost = cost_of(card, request, made, None, cards)
            ledger.end_soon(name, ended(CallState.UNCERTAIN, reason_of(error), None, cost))
            raise
        cost = cost_of(card, request, made, owed=True, cards=cards)
        await ledger.end(name, ended(CallState.SETTLED, "", card.is_paid, cost))
        yield Charged(cost)

    def free_or_spent(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        return (run if candidate.card.is_paid is False else spent)(request, candidate)

    return free_or_spent
