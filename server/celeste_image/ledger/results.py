"""Results: the cache of results, as rows of the database. A few are in memory as well.

A row has what was made, without the bytes of images, which are artifacts. A hit in memory asks the database for the
version of its row, so that nobody gets a result that another server or a command has cleared.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from cachetools import TTLCache

from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Event
from celeste_image.database import Records, Transaction
from celeste_image.database.times import MICROSECOND, to_micros
from celeste_image.ledger.behind import Behind
from celeste_image.ledger.outcome import Outcome
from celeste_image.ledger.owner import Owner
from celeste_image.telemetry.instruments import CACHE_EVICTED, CACHE_STORED

__all__ = ["CachedResult", "Found", "Results"]

log = structlog.get_logger("celeste_image.cache")

USED_EVERY = timedelta(minutes=1) // MICROSECOND
"""How exactly it is known when a result was last used. Each use would else be a write."""
LOOK_SECONDS = 60.0
"""How often the rows of all servers are added up."""
ROOM_PARTS = 20
"""A full cache is emptied by one part in so many, so that not each new result has to evict another."""
EVICTED_TOGETHER = 200
RELEASE_SECONDS = 1.0
"""Pause before a flight that could not be ended is ended again."""
DECODED = 3
"""Size in memory of decoded events, in sizes of their JSON; measured: 1.9 to 2.7, of four images and of an analysis."""

FIND = """
    SELECT version, used, CASE WHEN version = $3 THEN NULL ELSE outcome END FROM results
    WHERE tenant = $1 AND key = $2 AND expires > $4
"""
USE = "UPDATE results SET used = $1 WHERE tenant = $2 AND key = $3 AND used <= $4"
BYTES = "SELECT bytes FROM results WHERE tenant = $1 AND key = $2"
PUT = """
    INSERT INTO results
        (tenant, key, version, outcome, model, provider, request_id, tags, bytes, created, expires, used)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $10)
    ON CONFLICT (tenant, key) DO UPDATE SET
        version = excluded.version, outcome = excluded.outcome, model = excluded.model, provider = excluded.provider,
        request_id = excluded.request_id, tags = excluded.tags, bytes = excluded.bytes, created = excluded.created,
        expires = excluded.expires, used = excluded.used
"""
DROP = "DELETE FROM results WHERE tenant = $1 AND key = $2 AND version = $3"
EXPIRE = "DELETE FROM results WHERE expires <= $1"
TOTAL = "SELECT COALESCE(SUM(bytes), 0) FROM results"
LEAST_USED = "SELECT tenant, key, version, bytes FROM results ORDER BY used, bytes LIMIT $1"

CLAIM = """
    INSERT INTO flights (tenant, key, id, server, started) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant, key) DO UPDATE SET
        id = excluded.id, server = excluded.server, started = excluded.started
    WHERE flights.server = $4 OR flights.server = $6
"""
"""A row of this server is a leftover: all its callers of a key share one flight."""
MAKER = "SELECT server FROM flights WHERE tenant = $1 AND key = $2"
EXISTS = "SELECT 1 FROM results WHERE tenant = $1 AND key = $2 AND expires > $3"
RELEASE = "DELETE FROM flights WHERE tenant = $1 AND key = $2 AND id = $3"
MAKERS = "SELECT DISTINCT server FROM flights"
RELEASE_ALL = "DELETE FROM flights WHERE server = $1"


@dataclass(frozen=True, slots=True)
class CachedResult:
    """A result on its way into the cache.

    Attributes:
        events: What was made, without the bytes of images.
        model: Id of the model that made it.
        provider: Name of the provider.
        request_id: The request that it was made for.
        image_bytes: Size of its images together.
        tags: The caller's labels.
    """

    events: Sequence[Event]
    model: str
    provider: str
    request_id: str
    image_bytes: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A cached result: its events, the version of its row, and its size in memory."""

    events: Sequence[Event]
    version: str
    size_bytes: int


class Results:
    """The cached results of all tenants.

    Args:
        records: The database.
        owner: This server.
        lifetime: How long a result is kept.
        most_bytes: Most bytes of the images of all results together, and of their rows.
        memory_bytes: Most bytes of the results in memory; 0 keeps none there.
        now: The time in UTC.
        monotonic: A clock without steps, in seconds.
        new_id: Returns a text that no other call returns.
        sleep: Waits for a number of seconds.

    Attributes:
        size_bytes: Bytes of all results, as far as this server knows; at most a minute old while results are stored.
    """

    def __init__(
        self,
        records: Records,
        owner: Owner,
        *,
        lifetime: timedelta,
        most_bytes: int,
        memory_bytes: int = 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: secrets.token_hex(12),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._records, self._owner = records, owner
        self._lifetime, self._most_bytes = lifetime // MICROSECOND, most_bytes
        self._now, self._monotonic, self._new_id, self._sleep = now, monotonic, new_id, sleep
        self._is_closing = False
        self._memory: TTLCache[tuple[str, bytes], Found] = TTLCache(
            memory_bytes, lifetime.total_seconds(), timer=monotonic, getsizeof=lambda found: found.size_bytes
        )
        self._behind = Behind()
        self._look_at = -1.0
        self.size_bytes = 0

    @property
    def memory_bytes(self) -> int:
        """Bytes of the results in memory."""
        return int(self._memory.currsize)

    async def find(self, tenant: str, key: bytes) -> Found | None:
        """Returns the result of a key; None without one. Raises StorageUnavailable."""
        now, held = to_micros(self._now()), self._memory.get((tenant, key))
        known = held.version if held else ""
        row = await self._records.read(lambda db: db.row(FIND, tenant, key, known, now))
        if row is None:
            self._memory.pop((tenant, key), None)
            return None
        version, used, outcome = row
        if used <= now - USED_EVERY:
            self._behind.soon(self._use(tenant, key, now))
        if outcome is None:
            return held
        try:
            found = Found(tuple(Outcome.decode(outcome).events), version, DECODED * len(outcome))
        except ValueError as error:
            log.error("cached result damaged", error=str(error))
            await self.drop(tenant, key, version)
            return None
        self._remember(tenant, key, found)
        return found

    async def put(self, tenant: str, key: bytes, result: CachedResult, flight: str = "") -> None:
        """Stores a result in the place of an earlier one, and ends the flight that made it.

        A result above the budget is not stored.

        Raises:
            OSError: It is stored, but no room was made.
            StorageFull: The row can't be written.
            StorageUnavailable: Likewise.
        """
        outcome = Outcome(result.events).encode()
        size = result.image_bytes + len(outcome)
        if size > self._most_bytes:
            if flight:
                await self.release(tenant, key, flight)
            return
        now, version = to_micros(self._now()), self._new_id()
        tags = json.dumps(dict(result.tags), sort_keys=True, separators=(",", ":"))
        facts = (outcome, result.model, result.provider, result.request_id, tags, size, now, now + self._lifetime)

        async def unit(db: Transaction) -> int:
            replaced = await db.row(BYTES, tenant, key)
            await db.change(PUT, tenant, key, version, *facts)
            if flight:
                await db.change(RELEASE, tenant, key, flight)
            return replaced[0] if replaced else 0

        self.size_bytes += size - await self._records.write(unit)
        CACHE_STORED.add(1)
        self._remember(tenant, key, Found(tuple(result.events), version, DECODED * len(outcome)))
        if self.size_bytes > self._most_bytes or self._monotonic() >= self._look_at:
            await self.make_room()

    async def drop(self, tenant: str, key: bytes, version: str) -> None:
        """Removes a result whose images are gone, unless another one has replaced it.

        Raises:
            StorageFull: The database can't be written.
            StorageUnavailable: Likewise.
        """
        self._memory.pop((tenant, key), None)
        if await self._records.write(lambda db: db.change(DROP, tenant, key, version)):
            CACHE_EVICTED.add(1, "incomplete")

    async def make_room(self) -> None:
        """Removes the results whose time is over, the least recently used ones above the budget, and lost flights.

        Raises:
            OSError: The other servers can't be looked for.
            StorageFull: The database can't be written.
            StorageUnavailable: Likewise.
        """
        self._look_at = self._monotonic() + LOOK_SECONDS
        now, most = to_micros(self._now()), self._most_bytes
        makers = [name for (name,) in await self._records.read(lambda db: db.rows(MAKERS))]
        gone = await self._owner.gone(makers) if makers else []

        async def unit(db: Transaction) -> tuple[int, int, int]:
            for name in gone:
                await db.change(RELEASE_ALL, name)
            expired, evicted = await db.change(EXPIRE, now), 0
            row = await db.row(TOTAL)
            total = int(row[0]) if row else 0  # PostgreSQL's sums are decimal numbers
            least = most - most // ROOM_PARTS if total > most else most
            while total > least:
                for tenant, key, version, size in await db.rows(LEAST_USED, EVICTED_TOGETHER):
                    await db.change(DROP, tenant, key, version)
                    total, evicted = total - size, evicted + 1
                    if total <= least:
                        break
            return expired, evicted, total

        expired, evicted, self.size_bytes = await self._records.write(unit)
        for number, reason in ((expired, "expired"), (evicted, "budget")):
            if number:
                CACHE_EVICTED.add(number, reason)

    async def claim(self, tenant: str, key: bytes) -> str:
        """Returns the id of a flight: this server makes the result now, and no other one.

        Empty if the result is there by now, or if another server that has not ended makes it.

        Raises:
            OSError: The other servers can't be looked for.
            StorageFull: The database can't be written.
            StorageUnavailable: Likewise, or the others may take this server for a dead one.
        """
        self._owner.check()
        id_, maker = await self._claim(tenant, key, "")
        if maker and await self._owner.gone([maker]):
            id_, _ = await self._claim(tenant, key, maker)
        return id_

    async def _claim(self, tenant: str, key: bytes, gone: str) -> tuple[str, str]:
        """Returns the id of a flight of ours, or the server of another's; both are empty if the result is there."""
        id_, own, now = self._new_id(), self._owner.name, to_micros(self._now())
        is_known = False

        async def unit(db: Transaction) -> tuple[str, str]:
            if not await db.change(CLAIM, tenant, key, id_, own, now, gone):
                row = await db.row(MAKER, tenant, key)
                return "", row[0] if row else ""
            if await db.row(EXISTS, tenant, key, now):  # it was stored since we looked
                await db.change(RELEASE, tenant, key, id_)
                return "", ""
            return id_, ""

        try:
            claimed = await self._records.write(unit)
            is_known = True
        finally:
            if not is_known:  # the row may be there: the caller left, or the connection was lost at the commit
                self.release_soon(tenant, key, id_)
        return claimed

    async def release(self, tenant: str, key: bytes, flight: str) -> None:
        """Ends a flight without a result: another server may begin.

        Raises:
            StorageFull: The database can't be written.
            StorageUnavailable: Likewise.
        """
        await self._records.write(lambda db: db.change(RELEASE, tenant, key, flight))

    def release_soon(self, tenant: str, key: bytes, flight: str) -> None:
        """Ends a flight behind the answer. If the database is away, it is tried again: other servers wait for this."""
        self._behind.soon(self._release_surely(tenant, key, flight))

    async def close(self) -> None:
        """Waits for what is being written. Flights that can't be ended now end with this server."""
        self._is_closing = True
        await self._behind.close()

    def _remember(self, tenant: str, key: bytes, found: Found) -> None:
        if found.size_bytes <= self._memory.maxsize:
            self._memory[tenant, key] = found
        else:
            self._memory.pop((tenant, key), None)

    async def _release_surely(self, tenant: str, key: bytes, flight: str) -> None:
        while True:
            try:
                return await self.release(tenant, key, flight)
            except CelesteError as error:
                log.warning("cache not written", reason=error.reason)
                if self._is_closing:
                    return None
            await self._sleep(RELEASE_SECONDS)

    async def _use(self, tenant: str, key: bytes, now: int) -> None:
        try:
            await self._records.write(lambda db: db.change(USE, now, tenant, key, now - USED_EVERY))
        except CelesteError as error:
            log.warning("cache not written", reason=error.reason)
