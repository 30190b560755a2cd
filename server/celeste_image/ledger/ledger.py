"""Ledger: writes each paid call before it is sent and after its end, and finds those whose end nobody wrote."""

import asyncio
import json
import secrets
import sqlite3
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

import structlog

from celeste_image.core.caller import Caller
from celeste_image.core.errors import CelesteError
from celeste_image.database import Work
from celeste_image.ledger.entry import CallState, Ended, LedgerEntry, PaidCall
from celeste_image.ledger.owner import Owner

__all__ = ["Ledger", "Rows"]

log = structlog.get_logger("celeste_image.ledger")

T = TypeVar("T")
Row = tuple[str, str, str, str, str, str, str, str | None, int, int | None, str, str, int | None, int, str]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LOST = "SERVER_UNAVAILABLE"
"""Reason of a call whose server ended before the call did."""

TOLD = "tenant, caller, request_id, provider, model, operation, ticket"
COLUMNS = f"id, {TOLD}, started, ended, state, reason, owed, images, billed"
INSERT = f"INSERT INTO calls (server, {COLUMNS}) VALUES ({', '.join('?' * 16)})"  # noqa: S608  # no value is in it
RESUME = """
    UPDATE calls SET server = ?, state = 'open', reason = '', owed = NULL, ended = NULL
    WHERE id = (SELECT id FROM calls WHERE tenant = ? AND provider = ? AND ticket = ? ORDER BY id DESC LIMIT 1)
    RETURNING id
"""
SUBMITTED = "UPDATE calls SET ticket = ? WHERE id = ?"
END = """
    UPDATE calls SET ended = ?, state = ?, reason = ?, owed = ?, images = images + ?, billed = ?
    WHERE id = ? AND server = ? AND state = 'open'
"""
LOSE = "UPDATE calls SET state = 'uncertain', reason = ?, ended = ? WHERE state = 'open' AND server = ?"


class Rows(Protocol):
    """Reads and writes the rows of a database; see `Database`, and `Backend` for the errors."""

    async def read_rows(self, work: Work[T]) -> T:
        """Reads. Raises StorageUnavailable."""
        ...

    async def write_rows(self, work: Work[T]) -> T:
        """Writes durably. Raises StorageFull or StorageUnavailable."""
        ...


class Ledger:
    """The paid calls of all tenants.

    Args:
        rows: The database.
        owner: This server, which the open rows of its calls belong to.
        now: The time in UTC.

    Attributes:
        uncertain: Rows whose outcome is not known, of all servers; true after `recover`.
    """

    def __init__(self, rows: Rows, owner: Owner, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._rows, self._owner, self._now = rows, owner, now
        self._ending: set[asyncio.Task[None]] = set()
        self.uncertain = 0

    async def open(self, call: PaidCall) -> str:
        """Writes a row before its call is sent, and returns its id once the row is on the disk.

        A call with a ticket goes on with the row of the try that submitted it.

        Raises:
            StorageFull: The row can't be written: the call must not be sent.
            StorageUnavailable: Likewise.
        """
        started = _micros(self._now())
        new = f"{started:014x}{secrets.token_hex(9)}"
        who, owner = call.caller, self._owner.name

        def work(db: sqlite3.Connection) -> tuple[str, bool]:
            if call.ticket:
                before = db.execute(
                    "SELECT state FROM calls WHERE tenant = ? AND provider = ? AND ticket = ? ORDER BY id DESC LIMIT 1",
                    (who.tenant, call.provider, call.ticket),
                ).fetchone()
                if before:
                    (found,) = db.execute(RESUME, (owner, who.tenant, call.provider, call.ticket)).fetchone()
                    return str(found), before[0] == CallState.UNCERTAIN
            told = (who.tenant, who.name, call.request_id, call.provider, call.model, call.operation, call.ticket)
            db.execute(INSERT, (owner, new, *told, started, None, CallState.OPEN.value, "", None, 0, "{}"))
            return new, False

        name, was_uncertain = await self._rows.write_rows(work)
        self.uncertain -= was_uncertain
        return name

    async def submitted(self, name: str, ticket: str) -> None:
        """Writes the provider's name for the job of a call. Raises StorageFull or StorageUnavailable."""
        await self._rows.write_rows(lambda db: db.execute(SUBMITTED, (ticket, name)))

    async def end(self, name: str, outcome: Ended) -> None:
        """Writes how a call ended. If that fails, the row stays open, and counts as uncertain after the next start.

        A row that is not open any more, or that another server took over, stays as it is.
        """
        billed = json.dumps(dict(outcome.billed))
        told = (_micros(self._now()), outcome.state.value, outcome.reason, outcome.owed, outcome.images, billed)
        try:
            changed = await self._rows.write_rows(lambda db: db.execute(END, (*told, name, self._owner.name)).rowcount)
        except CelesteError as error:
            log.error("ledger not written", entry=name, state=outcome.state.value, reason=error.reason)
            return
        self.uncertain += changed if outcome.state is CallState.UNCERTAIN else 0

    def end_soon(self, name: str, outcome: Ended) -> None:
        """Writes how a call ended whose task is being cancelled. `close` waits for it."""
        task = asyncio.ensure_future(self.end(name, outcome))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def recover(self) -> int:
        """Makes the open rows of servers that are gone uncertain, and returns how many. None of the calls is repeated.

        Raises:
            StorageFull: The rows can't be written.
            StorageUnavailable: They can't be read or written.
        """
        servers = await self._rows.read_rows(
            lambda db: [name for (name,) in db.execute("SELECT DISTINCT server FROM calls WHERE state = 'open'")]
        )
        gone = [name for name in servers if self._owner.is_gone(name)]
        self._owner.sweep()
        ended = _micros(self._now())

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            lost = sum(db.execute(LOSE, (LOST, ended, name)).rowcount for name in gone)
            (all_,) = db.execute("SELECT COUNT(*) FROM calls WHERE state = 'uncertain'").fetchone()
            return lost, int(all_)

        lost, self.uncertain = await (self._rows.write_rows(work) if gone else self._rows.read_rows(work))
        if lost:
            log.warning("paid calls of a server that ended", uncertain=lost)
        return lost

    async def entries(
        self,
        tenant: str,
        *,
        states: Collection[CallState] = (),
        request_id: str = "",
        before: str = "",
        limit: int = 100,
    ) -> list[LedgerEntry]:
        """Returns the entries of a tenant, newest first.

        Args:
            tenant: The tenant.
            states: Only entries in one of these states; empty means all.
            request_id: Only entries of this request; empty means all.
            before: Only entries with ids below this one: the last of the page before. Empty means from the newest on.
            limit: Most entries.

        Raises:
            StorageUnavailable: The database can't be read.
        """
        where, values = ["tenant = ?"], [tenant]
        if states:
            where.append(f"state IN ({', '.join('?' * len(states))})")
            values += [state.value for state in states]
        if request_id:
            where.append("request_id = ?")
            values.append(request_id)
        if before:
            where.append("id < ?")
            values.append(before)
        query = f"SELECT {COLUMNS} FROM calls WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"  # noqa: S608
        found = await self._rows.read_rows(lambda db: db.execute(query, (*values, limit)).fetchall())
        return [_entry(row) for row in found]

    async def close(self) -> None:
        """Waits for the rows that are being written, and ends the life of this server."""
        while self._ending:
            await asyncio.wait(self._ending)
        self._owner.close()


def _entry(row: Row) -> LedgerEntry:
    name, tenant, caller, request_id, provider, model, operation, ticket = row[:8]
    started, ended, state, reason, owed, images, billed = row[8:]
    return LedgerEntry(
        name,
        PaidCall(Caller(tenant, caller), request_id, provider, model, operation, ticket),
        EPOCH + started * MICROSECOND,
        None if ended is None else EPOCH + ended * MICROSECOND,
        Ended(CallState(state), reason, None if owed is None else bool(owed), images, json.loads(billed)),
    )


def _micros(time: datetime) -> int:
    return (time - EPOCH) // MICROSECOND
