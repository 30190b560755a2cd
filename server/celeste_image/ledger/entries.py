"""Entries: lists the calls of a tenant that may have to be paid, with what they cost."""

from celeste_image.core.usage import CallState, EntryFilter, SpendEntry
from celeste_image.database import Records, Row, Value
from celeste_image.database.times import from_micros
from celeste_image.ledger.costs import BASIS_RANKS, CostSum, billed_of
from celeste_image.ledger.ids import first_id
from celeste_image.ledger.usage import kind_of

__all__ = ["list_entries"]

COLUMNS = (
    "id, request_id, caller, model, operation, ticket, state, reason, started, ended, images, billed, "
    "currency, settled, uncertain, basis"
)


async def list_entries(
    records: Records, tenant: str, wanted: EntryFilter, *, before: str = "", limit: int = 100
) -> list[SpendEntry]:
    """Returns the entries of a tenant, newest first.

    Args:
        records: The database.
        tenant: The tenant.
        wanted: The filters.
        before: Only entries with ids below this one: the last of the page before. Empty means from the newest on.
        limit: Most entries.

    Raises:
        StorageUnavailable: The database can't be read.
    """
    values: list[Value] = []

    def value(given: Value) -> str:
        values.append(given)
        return f"${len(values)}"

    where = [f"tenant = {value(tenant)}"]
    if wanted.start:
        where.append(f"id >= {value(first_id(wanted.start))}")
    if wanted.end:
        where.append(f"id < {value(first_id(wanted.end))}")
    if wanted.states:
        where.append(f"state IN ({', '.join(value(state.value) for state in wanted.states)})")
    if wanted.request_id:
        where.append(f"request_id = {value(wanted.request_id)}")
    if before:
        where.append(f"id < {value(before)}")
    query = f"SELECT {COLUMNS} FROM calls WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT {value(limit)}"  # noqa: S608
    return [_entry(row) for row in await records.read(lambda db: db.rows(query, *values))]


def _entry(row: Row) -> SpendEntry:
    name, request_id, caller, model, operation, ticket, state, reason = row[:8]
    started, ended, images, billed, currency, settled, uncertain, basis = row[8:]
    is_settled = state == CallState.SETTLED
    rank = next((rank for rank, known in enumerate(BASIS_RANKS) if known.value == basis), 0) if is_settled else 0
    unpriced = int((settled if is_settled else uncertain) is None)
    cost = CostSum(currency, settled, uncertain, rank, int(is_settled), int(not is_settled), unpriced).cost()
    return SpendEntry(
        id=name,
        request_id=request_id,
        caller=caller,
        model=model,
        operation=kind_of(operation),
        provider_job=ticket or "",
        state=CallState(state),
        reason=reason,
        start=from_micros(started),
        end=None if ended is None else from_micros(ended),
        images=images,
        billed=billed_of(billed),
        cost=None if state == CallState.OPEN else cost,
    )
