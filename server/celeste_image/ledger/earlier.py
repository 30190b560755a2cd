"""Finds the calls that earlier runs of a request have made."""

from celeste_image.core.call import EarlierCall
from celeste_image.database import Row, Transaction
from celeste_image.ledger.entry import CallState
from celeste_image.ledger.outcome import Outcome

__all__ = ["earlier_calls"]

FIND = """
    SELECT id, model, first, count, ticket, state, owed, receipt FROM calls
    WHERE tenant = $1 AND request_id = $2 AND started > $3 ORDER BY id
"""


async def earlier_calls(db: Transaction, tenant: str, request_id: str, since: int) -> tuple[EarlierCall, ...]:
    """Returns the calls of a request after a time that may have to be paid, the first one first.

    Nobody else may work on the request: a call that is open has lost its server or its caller.
    """
    return tuple(_earlier(row) for row in await db.rows(FIND, tenant, request_id, since))


def _earlier(row: Row) -> EarlierCall:
    name, model, first, count, ticket, state, owed, receipt = row
    outcome = None
    if state == CallState.SETTLED and receipt is not None:
        try:
            outcome = Outcome.decode(receipt)
        except ValueError:
            outcome = None  # then it can't be given again
    return EarlierCall(
        id=name,
        model=model,
        images=range(first, first + count),
        ticket=ticket,
        is_settled=state == CallState.SETTLED,
        is_owed=None if owed is None else bool(owed),
        events=tuple(outcome.events) if outcome else (),
        error=outcome.error if outcome else None,
        has_receipt=outcome is not None,
    )
