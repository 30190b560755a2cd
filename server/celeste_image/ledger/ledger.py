"""Ledger: writes each paid call before it is sent and after its end, and finds those whose end nobody wrote."""

import asyncio
import json
import secrets
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

import structlog

from celeste_image.core.caller import Caller
from celeste_image.core.errors import Cancelled, CelesteError
from celeste_image.core.money import Cost, CostBasis, Money, Quantity, quantities
from celeste_image.database import Records, Row, Transaction
from celeste_image.database.times import from_micros, to_micros
from celeste_image.ledger.behind import Behind
from celeste_image.ledger.entry import CallState, Ended, LedgerEntry, PaidCall
from celeste_image.ledger.owner import Owner

__all__ = ["Ledger"]

log = structlog.get_logger("celeste_image.ledger")

LOST = "SERVER_UNAVAILABLE"
"""Reason of a call whose server ended before the call did."""

COLUMNS = (
    "id, tenant, caller, request_id, provider, model, operation, ticket, "
    "started, ended, state, reason, owed, images, billed, currency, settled, uncertain, basis"
)
INSERT = f"""
    INSERT INTO calls (server, first, count, {COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULL, 'open', '', NULL, 0, '[]', $13, NULL, $14, '')
"""  # noqa: S608  # no value is in it
FIND = "SELECT id, state FROM calls WHERE tenant = $1 AND provider = $2 AND ticket = $3 ORDER BY id DESC LIMIT 1"
RESUME = """
    UPDATE calls
    SET server = $1, state = 'open', reason = '', owed = NULL, ended = NULL,
        currency = $2, settled = NULL, uncertain = $3, basis = ''
    WHERE id = $4
"""
SUBMITTED = "UPDATE calls SET ticket = $1 WHERE id = $2"
END = """
    UPDATE calls SET ended = $1, state = $2, reason = $3, owed = $4, images = images + $5, billed = $6,
        currency = $7, settled = $8, uncertain = $9, basis = $10, receipt = $11
    WHERE id = $12 AND server = $13 AND state = 'open'
"""
SERVERS = "SELECT DISTINCT server FROM calls WHERE state = 'open'"
LOSE = "UPDATE calls SET state = 'uncertain', reason = $1, ended = $2 WHERE state = 'open' AND server = $3"
UNCERTAIN = "SELECT COUNT(*) FROM calls WHERE state = 'uncertain'"


class Ledger:
    """The paid calls of all tenants.

    Args:
        records: The database.
        owner: This server, which the open rows of its calls belong to.
        now: The time in UTC.

    Attributes:
        records: The database.
        owner: This server.
        uncertain: Rows whose outcome is not known, of all servers; true after `recover`.
        look_seconds: How often to call `recover` while the server runs.
    """

    def __init__(self, records: Records, owner: Owner, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.records, self.owner, self._now = records, owner, now
        self._behind = Behind()
        self.uncertain = 0
        self.look_seconds = owner.look_seconds
        self._counts = self._last_count = 0

    async def begin(self) -> None:
        """Shows the other servers that this one lives; calls can be opened from then on."""
        await self.owner.begin()

    async def open(self, call: PaidCall, expected: Cost | None = None) -> str:
        """Writes a row before its call is sent, and returns its id once the row is on the disk.

        A call with a ticket goes on with the row of the try that submitted it.

        Args:
            call: The call.
            expected: What it costs if it succeeds, as the `uncertain` amount; None if that is unknown. A call whose end
                nobody writes keeps this amount.

        Raises:
            StorageFull: The row can't be written: the call must not be sent.
            StorageUnavailable: Likewise, or the other servers may take this one for a dead one.
        """
        self.owner.check()
        started = to_micros(self._now())
        new = f"{started:014x}{secrets.token_hex(9)}"
        who, owner = call.caller, self.owner.name
        currency, _, uncertain, _ = _columns(expected)

        async def unit(db: Transaction) -> tuple[str, bool]:
            if call.ticket and (found := await db.row(FIND, who.tenant, call.provider, call.ticket)):
                await db.change(RESUME, owner, currency, uncertain, found[0])
                return found[0], found[1] == CallState.UNCERTAIN
            told = (who.tenant, who.name, call.request_id, call.provider, call.model, call.operation, call.ticket)
            images = (call.images.start, len(call.images))
            await db.change(INSERT, owner, *images, new, *told, started, currency, uncertain)
            return new, False

        writing = asyncio.ensure_future(self.records.write(unit))
        try:
            name, was_uncertain = await asyncio.shield(writing)
        except asyncio.CancelledError:  # the row may be written all the same, and nothing is sent
            self._behind.soon(self._unsend(writing, new, expected))
            raise
        if was_uncertain:
            await self._count()
        return name

    async def _unsend(self, writing: asyncio.Future[tuple[str, bool]], new: str, expected: Cost | None) -> None:
        """Ends a row whose call was cancelled before it was sent. A job of an earlier try is as uncertain as before."""
        try:
            name, _ = await writing
        except CelesteError:
            return
        if name != new:
            await self.end(name, Ended(CallState.UNCERTAIN, Cancelled.reason, cost=expected))
            return
        nothing = Cost(Money((expected or Cost()).currency_code or "USD", 0), basis=CostBasis.CALCULATED)
        await self.end(name, Ended(CallState.SETTLED, Cancelled.reason, owed=False, cost=nothing))

    async def submitted(self, name: str, ticket: str) -> None:
        """Writes the provider's name for the job of a call. Raises StorageFull or StorageUnavailable."""
        await self.records.write(lambda db: db.change(SUBMITTED, ticket, name))

    async def end(self, name: str, outcome: Ended) -> None:
        """Writes how a call ended. If that fails, the row stays open, and counts as uncertain after the next start.

        A row that is not open any more, or that another server took over, stays as it is.
        """
        billed = json.dumps([(each.unit, each.amount, each.model) for each in outcome.billed])
        owed = None if outcome.owed is None else int(outcome.owed)
        made = (outcome.reason, owed, outcome.images, billed)
        told = (to_micros(self._now()), outcome.state.value, *made, *_columns(outcome.cost), outcome.receipt)
        try:
            changed = await self.records.write(lambda db: db.change(END, *told, name, self.owner.name))
        except CelesteError as error:
            log.error("ledger not written", entry=name, state=outcome.state.value, reason=error.reason)
            return
        if changed and outcome.state is CallState.UNCERTAIN:
            await self._count()

    def end_soon(self, name: str, outcome: Ended) -> None:
        """Writes how a call ended whose task is being cancelled. `close` waits for it."""
        self._behind.soon(self.end(name, outcome))

    async def recover(self) -> int:
        """Makes the open rows of servers that are gone uncertain, and returns how many. None of the calls is repeated.

        Raises:
            OSError: The other servers can't be looked for.
            StorageFull: The rows can't be written.
            StorageUnavailable: They can't be read or written.
        """
        servers = [name for (name,) in await self.records.read(lambda db: db.rows(SERVERS))]
        gone = await self.owner.gone(servers)
        ended = to_micros(self._now())

        async def unit(db: Transaction) -> int:
            return sum([await db.change(LOSE, LOST, ended, name) for name in gone])

        lost = await self.records.write(unit) if gone else 0
        if lost:
            log.warning("paid calls of a server that ended", uncertain=lost)
        await self._count(is_needed=True)
        return lost

    async def _count(self, *, is_needed: bool = False) -> None:
        """Counts the uncertain rows. Of counts that run side by side, the one that began last is the right one."""
        self._counts += 1
        number = self._counts
        try:
            (found,) = await self.records.read(lambda db: db.rows(UNCERTAIN))
        except CelesteError:
            if is_needed:
                raise
            return  # the next look counts again
        if number > self._last_count:
            self._last_count, self.uncertain = number, found[0]

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
        values: list[str | int] = [tenant]

        def number(value: str | int) -> str:
            values.append(value)
            return f"${len(values)}"

        where = ["tenant = $1"]
        if states:
            where.append(f"state IN ({', '.join(number(state.value) for state in states)})")
        if request_id:
            where.append(f"request_id = {number(request_id)}")
        if before:
            where.append(f"id < {number(before)}")
        query = f"SELECT {COLUMNS} FROM calls WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT {number(limit)}"  # noqa: S608
        return [_entry(row) for row in await self.records.read(lambda db: db.rows(query, *values))]

    async def close(self) -> None:
        """Waits for the rows that are being written, and ends the life of this server."""
        await self._behind.close()
        await self.owner.close()


def _entry(row: Row) -> LedgerEntry:
    name, tenant, caller, request_id, provider, model, operation, ticket = row[:8]
    started, ended, state, reason, owed, images, billed = row[8:15]
    return LedgerEntry(
        name,
        PaidCall(Caller(tenant, caller), request_id, provider, model, operation, ticket),
        from_micros(started),
        None if ended is None else from_micros(ended),
        Ended(
            CallState(state),
            reason,
            None if owed is None else bool(owed),
            images,
            _billed(json.loads(billed)),
            _cost(*row[15:]),
        ),
    )


def _billed(found: Any) -> tuple[Quantity, ...]:
    """Returns quantities of a list, or of the object of amounts by unit that earlier versions wrote."""
    return quantities(found) if isinstance(found, dict) else tuple(Quantity(*each) for each in found)


def _columns(cost: Cost | None) -> tuple[str, int | None, int | None, str]:
    """Returns `currency`, `settled`, `uncertain` and `basis` of a row."""
    cost = cost or Cost()
    settled, uncertain = (each.nanos if each else None for each in (cost.settled, cost.uncertain))
    return cost.currency_code, settled, uncertain, "" if cost.basis is CostBasis.UNSPECIFIED else cost.basis.value


def _cost(currency: str, settled: int | None, uncertain: int | None, basis: str) -> Cost:
    """Returns the cost in a row. A call without an amount has no known price."""
    return Cost(
        None if settled is None else Money(currency, settled),
        None if uncertain is None else Money(currency, uncertain),
        CostBasis(basis) if basis else CostBasis.UNSPECIFIED,
        unpriced_calls=int(settled is None and uncertain is None),
    )
