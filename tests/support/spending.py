"""Rows of the ledger for tests: calls with any cost, and the database that has them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from celeste_image.database import Records, SqliteRecords, Transaction, Value
from celeste_image.ledger.ids import new_id
from celeste_image.store.open import open_backend

__all__ = ["CallRow", "insert_call", "insert_calls", "open_records"]

INSERT = """
    INSERT INTO calls (id, server, tenant, caller, request_id, provider, model, operation, ticket, started, ended,
        state, reason, owed, images, billed, currency, settled, uncertain, basis)
    VALUES ($1, 'a server', $2, $3, $4, 'a provider', $5, $6, NULL, $7, $8, $9, $10, NULL, $11, $12, $13, $14, $15, $16)
"""


@dataclass(frozen=True)
class CallRow:
    """A call that may have to be paid, as its row has it; times are microseconds since 1970."""

    tenant: str
    caller: str = "anonymous"
    request_id: str = "a-request"
    model: str = "bfl/flux-pro"
    operation: str = "generate"
    started: int = 0
    state: str = "settled"
    reason: str = ""
    images: int = 1
    billed: str = "[]"
    currency: str = "USD"
    settled: int | None = None
    uncertain: int | None = None
    basis: str = ""


async def insert_call(records: Records, call: CallRow) -> str:
    """Writes a row, and returns its id."""
    (name,) = await insert_calls(records, [call])
    return name


async def insert_calls(records: Records, calls: Sequence[CallRow]) -> list[str]:
    """Writes rows in one transaction, and returns their ids."""
    rows = [_row(call) for call in calls]

    async def unit(db: Transaction) -> None:
        for row in rows:
            await db.change(INSERT, *row)

    await records.write(unit)
    return [str(row[0]) for row in rows]


def _row(call: CallRow) -> tuple[Value, ...]:
    ended = None if call.state == "open" else call.started + 1
    first = (call.tenant, call.caller, call.request_id, call.model, call.operation, call.started, ended)
    of_cost = (call.currency, call.settled, call.uncertain, call.basis)
    return (new_id(call.started), *first, call.state, call.reason, call.images, call.billed, *of_cost)


@asynccontextmanager
async def open_records(folder: Path) -> AsyncIterator[Records]:
    """Opens the database of a store in a folder."""
    backend = open_backend(folder.as_uri(), {})
    try:
        yield SqliteRecords(backend)
    finally:
        await backend.close()
