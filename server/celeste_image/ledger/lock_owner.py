"""LockOwner: a running server, by an advisory lock of its session on PostgreSQL. For servers of many machines."""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import TYPE_CHECKING

import structlog

from celeste_image.core.errors import StorageUnavailable
from celeste_image.database.postgres_access import Access, failure, sqlstate

if TYPE_CHECKING:
    from celeste_image.database.postgres_access import Connection

__all__ = ["LockOwner"]

log = structlog.get_logger("celeste_image.ledger")

LOOK_SECONDS = 5.0
PING_SECONDS = 2.0
CALM_SECONDS = 10.0
AGAIN_SECONDS = 0.5
SESSION = {
    # The database ends the session of a machine that vanished 5 + 3 * 2 s after its last packet. That frees the lock.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "idle_session_timeout": "0",
}
LOCK = "SELECT pg_advisory_lock($1)"
"""Waits: where a session of this server that it gave up still has the lock, the lock goes to the new one directly."""
UP_SECONDS = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8"
FREE = (
    "SELECT number FROM unnest($1::bigint[]) WITH ORDINALITY AS of (key, number) WHERE pg_try_advisory_xact_lock(key)"
)
"""Numbers, from 1, of the locks that nobody holds. They are free again at the statement's end."""


class LockOwner:
    """A running server; see `Owner`. The database frees its lock when its connection ends, however.

    No clock is compared and there is no heartbeat: a server that stands still keeps its connection. The connection must
    lead to the database itself, or through a pooler that gives it a session of its own.

    Args:
        access: The database.
        ping_seconds: How often to ask the database for an answer, to see that the connection still leads to it.
        calm_seconds: How long after a reconnect nobody is declared gone: the database may have restarted, and other
            servers need that time to lock again. After the first connect, it is what is left of that time since the
            database started.
        clock: Returns seconds.
    """

    look_seconds = LOOK_SECONDS

    def __init__(
        self,
        access: Access,
        *,
        ping_seconds: float = PING_SECONDS,
        calm_seconds: float = CALM_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = secrets.token_hex(16)
        self._access, self._ping_seconds, self._calm_seconds, self._clock = access, ping_seconds, calm_seconds, clock
        self._session: Connection | None = None
        self._turn = asyncio.Lock()
        self._tried = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._calm_until = 0.0

    async def begin(self) -> None:
        """Locks, and keeps the lock until `close`. Returns after the first try; see `Owner.begin`."""
        self._keeper = self._keeper or asyncio.create_task(self._keep())
        await self._tried.wait()

    def check(self) -> None:
        """Raises StorageUnavailable while the lock is not held."""
        self._held()

    def _held(self) -> "Connection":
        if self._session is None or self._session.is_closed():
            text = "this server has lost its connection to the database of the ledger"
            raise StorageUnavailable(text, retry_after=self._ping_seconds)
        return self._session

    async def gone(self, names: Collection[str]) -> list[str]:
        """Returns which servers have ended; none for some time after a reconnect. See `Owner.gone`.

        The question goes over the connection of the lock. So it has an answer only while the lock is held, and not from
        a database that has restarted.
        """
        others = [name for name in names if name != self.name]
        session = self._held()
        if not others or self._clock() < self._calm_until:
            return []
        async with self._turn:
            try:
                free = await session.fetch(FREE, [_key(name) for name in others])
            except Exception as error:
                session.terminate()
                raise failure(error, "look") from error
        return [others[number - 1] for (number,) in free]

    async def close(self) -> None:
        """Frees the lock; see `Owner.close`."""
        if session := self._session:
            self._session = None
            async with self._turn:
                with contextlib.suppress(Exception):  # a lost connection has freed it
                    await session.execute("SELECT pg_advisory_unlock_all()")
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self) -> None:
        """Holds the lock, and locks again whenever the connection is lost."""
        is_told, is_first = False, True
        while True:
            try:
                async with self._locked(is_first=is_first) as session:
                    is_first = False
                    if is_told:
                        log.info("paid calls taken again")
                        is_told = False
                    self._session = session
                    self._tried.set()
                    await self._watch(session)
            except Exception as error:
                if not is_told:
                    log.warning("paid calls refused", error=type(error).__name__, sqlstate=sqlstate(error))
                    is_told = True
            finally:
                self._session = None
            self._tried.set()
            await asyncio.sleep(AGAIN_SECONDS)

    @contextlib.asynccontextmanager
    async def _locked(self, *, is_first: bool) -> AsyncIterator["Connection"]:
        session = await self._access.connect(**SESSION)
        try:
            await session.fetchval(LOCK, _key(self.name))
            up_seconds = await session.fetchval(UP_SECONDS) if is_first else 0.0
            self._calm_until = self._clock() + max(0.0, self._calm_seconds - up_seconds)
            yield session
        finally:
            session.terminate()

    async def _watch(self, session: "Connection") -> None:
        """Raises once the connection is lost."""
        lost = asyncio.Event()
        session.add_termination_listener(lambda _: lost.set())
        while not session.is_closed():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lost.wait(), self._ping_seconds)
                break
            async with self._turn:
                await session.fetchval("SELECT 1")
        raise ConnectionResetError("the database ended the connection")


def _key(name: str) -> int:
    """Returns the number of a server's lock, of 64 bits."""
    return int.from_bytes(hashlib.sha256(b"celeste server " + name.encode()).digest()[:8], signed=True)
