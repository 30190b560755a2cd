"""Requests: which ids have been used for which bodies, by which server, and with what outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from celeste_image.core.call import EarlierCall
from celeste_image.core.caller import Caller
from celeste_image.core.errors import CelesteError
from celeste_image.core.request import ImageRequest
from celeste_image.database import Records, Transaction
from celeste_image.database.times import MICROSECOND, from_micros, to_micros
from celeste_image.ledger.behind import Behind
from celeste_image.ledger.body import request_from_json
from celeste_image.ledger.earlier import earlier_calls
from celeste_image.ledger.outcome import Outcome
from celeste_image.ledger.owner import Owner

__all__ = ["Claim", "LostRequest", "Requests"]

log = structlog.get_logger("celeste_image.ledger")

NOBODY = ""
"""Server of a request that nobody works on and that has no outcome: a repeat begins it again."""

CLAIM = """
    INSERT INTO requests (tenant, id, caller, fingerprint, server, started, expires, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (tenant, id) DO UPDATE SET
        caller = excluded.caller, fingerprint = excluded.fingerprint, server = excluded.server,
        started = excluded.started, expires = excluded.expires, body = excluded.body, outcome = NULL
    WHERE requests.expires <= $6
"""
FIND = "SELECT fingerprint, server, started, outcome FROM requests WHERE tenant = $1 AND id = $2"
TAKE_OVER = """
    UPDATE requests SET server = $1 WHERE tenant = $2 AND id = $3 AND server = $4 AND outcome IS NULL
"""
FINISH = """
    UPDATE requests SET outcome = $1, expires = $2, body = NULL
    WHERE tenant = $3 AND id = $4 AND server = $5 AND outcome IS NULL
"""
LOST = """
    SELECT tenant, id, caller, server, body FROM requests
    WHERE outcome IS NULL AND body IS NOT NULL AND expires > $1 AND EXISTS (
        SELECT 1 FROM calls
        WHERE calls.tenant = requests.tenant AND calls.request_id = requests.id
            AND calls.state = 'uncertain' AND calls.ticket IS NOT NULL
    )
"""
SWEEP = "DELETE FROM requests WHERE expires <= $1"


@dataclass(frozen=True, slots=True)
class Claim:
    """What was found of a request id.

    Attributes:
        is_ours: Whether this server works on the request from now on.
        fingerprint: Digest of the body that the id was first used with.
        started: When that was.
        server: The server that works on the request, if it is another one.
        outcome: The outcome, if there is one.
        earlier: Calls for the request whose run has ended without an outcome; empty unless the request is ours.
    """

    is_ours: bool
    fingerprint: bytes
    started: datetime
    server: str = ""
    outcome: bytes | None = None
    earlier: tuple[EarlierCall, ...] = ()


@dataclass(frozen=True, slots=True)
class LostRequest:
    """A request that nobody works on, and for which a provider has a job.

    Attributes:
        caller: Who asked.
        id: Its id.
        request: Its body.
    """

    caller: Caller
    id: str
    request: ImageRequest


class Requests:
    """The requests of all tenants, for as long as a repeat gets their outcome.

    Args:
        records: The database.
        owner: This server.
        window: How long an outcome is kept, from its end.
        now: The time in UTC.
    """

    def __init__(
        self,
        records: Records,
        owner: Owner,
        window: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._records, self._owner, self._now = records, owner, now
        self._behind = Behind()
        self.window = window

    async def claim(self, caller: Caller, request_id: str, fingerprint: bytes, body: bytes | None = None) -> Claim:
        """Makes a request ours if nobody works on it and it has no outcome, and returns what was found.

        Args:
            caller: Who asks.
            request_id: The id of the request.
            fingerprint: Digest of its body.
            body: Its body, as JSON; None if only the caller can go on with it.

        Raises:
            StorageFull: The request can't be written down: it must not begin.
            StorageUnavailable: Likewise.
        """
        tenant, now, server = caller.tenant, to_micros(self._now()), self._owner.name
        window = self.window // MICROSECOND
        expires, forgotten = now + window, now - window  # an id that is free again had its calls before that

        async def unit(db: Transaction) -> Claim:
            if await db.change(CLAIM, tenant, request_id, caller.name, fingerprint, server, now, expires, body):
                earlier = await earlier_calls(db, tenant, request_id, forgotten)
                return Claim(True, fingerprint, from_micros(now), earlier=earlier)
            row = await db.row(FIND, tenant, request_id)
            assert row
            known, owner, started, outcome = row
            if outcome is None and known == fingerprint and owner in (NOBODY, server):
                await db.change(TAKE_OVER, server, tenant, request_id, owner)
                earlier = await earlier_calls(db, tenant, request_id, min(started, forgotten))
                return Claim(True, known, from_micros(started), earlier=earlier)
            return Claim(False, known, from_micros(started), owner, outcome)

        return await self._records.write(unit)

    async def release_dead(self, tenant: str, request_id: str, server: str) -> bool:
        """Releases a request whose server is gone; returns whether it is.

        Raises:
            StorageFull: The database can't be written.
            StorageUnavailable: Likewise.
        """
        if not await self._owner.gone([server]):
            return False
        await self._records.write(lambda db: db.change(TAKE_OVER, NOBODY, tenant, request_id, server))
        return True

    async def finish(self, tenant: str, request_id: str, outcome: Outcome) -> None:
        """Writes the outcome of a request of ours, also if this task is cancelled meanwhile.

        If that fails, a repeat finds its calls in the ledger.
        """
        expires = to_micros(self._now()) + self.window // MICROSECOND
        values = (outcome.encode(), expires, tenant, request_id, self._owner.name)
        await self._behind.surely(self._write_or_log(request_id, FINISH, *values))

    def release_soon(self, tenant: str, request_id: str) -> None:
        """Gives a request of ours back that has no outcome: a repeat with the same body begins it again."""
        self._behind.soon(self._write_or_log(request_id, TAKE_OVER, NOBODY, tenant, request_id, self._owner.name))

    async def lost(self) -> list[LostRequest]:
        """Returns the requests whose server is gone while a provider has a job for them that can be asked for.

        Raises:
            StorageUnavailable: The database can't be read.
        """
        now = to_micros(self._now())
        rows = await self._records.read(lambda db: db.rows(LOST, now))
        gone = {NOBODY, *await self._owner.gone({row[3] for row in rows} - {NOBODY, self._owner.name})}
        found = []
        for tenant, id_, caller, server, body in rows:
            if server in gone:
                try:
                    found.append(LostRequest(Caller(tenant, caller), id_, request_from_json(body)))
                except ValueError as error:
                    log.error("request not readable", request_id=id_, error=str(error))
        return found

    async def sweep(self) -> int:
        """Deletes the requests whose time is over, and returns how many.

        Raises:
            StorageFull: The database can't be written.
            StorageUnavailable: Likewise.
        """
        now = to_micros(self._now())
        return await self._records.write(lambda db: db.change(SWEEP, now))

    async def close(self) -> None:
        """Waits for what is being written."""
        await self._behind.close()

    async def _write_or_log(self, request_id: str, statement: str, *values: str | int | bytes) -> None:
        try:
            await self._records.write(lambda db: db.change(statement, *values))
        except CelesteError as error:
            log.error("request not written", request_id=request_id, reason=error.reason)
