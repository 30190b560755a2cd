"""The port of the database on PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from celeste_image.database.base import Row, Rows, Unit, Value
from celeste_image.database.postgres_access import Access, failure, refusal, sqlstate
from celeste_image.database.postgres_schema import migrate_postgres

if TYPE_CHECKING:
    from asyncpg import Connection, Pool
    from asyncpg.pool import PoolConnectionProxy

__all__ = ["PostgresRecords"]

T = TypeVar("T")

CONNECTIONS = 10
"""Most connections of a server, beside that of its lock."""
TRIES = 8
"""Most tries of a unit whose transaction the database ended for the sake of another, or whose connection was lost."""
AGAIN = ("40001", "40P01", "0A000")
"""SQLSTATEs of a transaction that may succeed when it runs again: it conflicted with another, was part of a deadlock,
or a table was changed under a prepared statement."""
LOST = ("08", "57P01", "57P02", "57P05", "25P03")
"""SQLSTATEs of a session that has ended, so that its transaction is rolled back."""
PAUSE_SECONDS = 0.02
"""Longest pause before the second try; it doubles with each try."""


class PostgresRecords:
    """The rows of a database on PostgreSQL; see `Records`. Tables are made before the first work.

    Args:
        access: The database.
        connections: Most connections at a time. More work waits for one, as long as for a new connection.
        sleep: Waits for a number of seconds before a try.
    """

    def __init__(
        self,
        access: Access,
        connections: int = CONNECTIONS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._access, self._connections, self._sleep = access, connections, sleep
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()

    async def begin(self) -> None:
        """Connects and brings the tables to this version. Without it, the first work does that.

        Raises:
            ValueError: The database refuses the user, does not exist, or is of a later version of Celeste.
            StorageUnavailable: The database can't be reached.
        """
        try:
            await self._opened()
        except Exception as error:
            if why := refusal(error, self._access):
                raise ValueError(why) from error
            raise failure(error, "begin") from error

    async def close(self) -> None:
        """Closes all connections."""
        if self._pool:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._pool.close(), self._access.connect_seconds)
            self._pool.terminate()

    async def read(self, unit: Unit[T]) -> T:
        """Reads one state of the database, and refuses changes; see `Records.read`."""
        return await self._run(unit, isolation="repeatable_read", readonly=True)

    async def write(self, unit: Unit[T]) -> T:
        """Writes; see `Records.write`.

        Transactions are READ COMMITTED: a statement sees what others have committed before it, and a change waits for
        theirs of the same row and then looks at it again.
        """
        return await self._run(unit, isolation="read_committed")

    async def _run(self, unit: Unit[T], **kind: Any) -> T:
        for number in range(1, TRIES + 1):
            attempt = _Attempt()
            try:
                return await self._try(unit, attempt, kind)
            except Exception as error:
                if not attempt.failed:  # an error of the work itself
                    raise
                if number == TRIES or attempt.committing or not _may_succeed(error):
                    raise failure(error, "commit" if attempt.committing else "transaction") from error
            await self._sleep(random.uniform(0, PAUSE_SECONDS * 2 ** (number - 1)))  # noqa: S311  # no secret
        raise AssertionError("the last try returns or raises")

    async def _try(self, unit: Unit[T], attempt: "_Attempt", kind: dict[str, Any]) -> T:
        with attempt:
            pool = await self._opened()
        async with _borrowed(pool, self._access.connect_seconds, attempt) as connection:
            transaction = connection.transaction(**kind)
            with attempt:
                await transaction.start()
            try:
                result = await unit(_Transaction(connection, attempt))
                if attempt.failed:  # PostgreSQL would answer the commit with a rollback, and no error
                    raise RuntimeError("a unit went on after a statement that failed")
            except Exception as error:
                if not attempt.failed or sqlstate(error):
                    await _roll_back(transaction, connection)
                raise
            with attempt:
                attempt.committing = not kind.get("readonly")
                await transaction.commit()
            return result

    async def _opened(self) -> "Pool":
        """Returns the pool, after the tables were brought to this version."""
        if self._pool:
            return self._pool
        import asyncpg  # late: few servers have it

        await asyncio.wait_for(self._opening.acquire(), self._access.connect_seconds)
        try:
            if self._pool is None:
                connection = await self._access.connect()
                try:
                    await migrate_postgres(connection)
                finally:
                    connection.terminate()
                self._pool = await asyncpg.create_pool(
                    min_size=0, max_size=self._connections, connect=self._connect, reset=_leave
                )
        finally:
            self._opening.release()
        return self._pool

    async def _connect(self, *_: Any, **__: Any) -> "Connection":
        return await self._access.connect()


class _Attempt:
    """How far a try came. It is a context for each statement, since a failure there is no error of the work.

    Attributes:
        failed: Whether a statement or the connection failed.
        committing: Whether the commit was sent.
    """

    def __init__(self) -> None:
        self.failed = self.committing = False

    def __enter__(self) -> None:
        """Begins a statement."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Notes whether the statement failed."""
        self.failed |= kind is not None


class _Transaction:
    """A transaction on a connection of the pool."""

    def __init__(self, connection: "PoolConnectionProxy", attempt: _Attempt) -> None:
        self._connection, self._attempt = connection, attempt

    async def rows(self, statement: str, *values: Value) -> Rows:
        with self._attempt:
            return [tuple(row) for row in await self._connection.fetch(statement, *values)]

    async def row(self, statement: str, *values: Value) -> Row | None:
        with self._attempt:
            found = await self._connection.fetchrow(statement, *values)
        return None if found is None else tuple(found)

    async def change(self, statement: str, *values: Value) -> int:
        with self._attempt:
            status = await self._connection.execute(statement, *values)  # such as "INSERT 0 1" or "UPDATE 3"
        count = status.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0


@asynccontextmanager
async def _borrowed(pool: "Pool", seconds: float, attempt: _Attempt) -> AsyncIterator["PoolConnectionProxy"]:
    """Lends a connection. One with a statement that did not end is dropped: the database may never answer it."""
    with attempt:
        connection = await pool.acquire(timeout=seconds)
    try:
        yield connection
    except BaseException as error:
        if attempt.failed and not (isinstance(error, Exception) and sqlstate(error)):
            connection.terminate()
        raise
    finally:
        await pool.release(connection)


async def _roll_back(transaction: Any, connection: "PoolConnectionProxy") -> None:
    """Undoes a transaction, or drops its connection, with which the database undoes it too."""
    try:
        await transaction.rollback()
    except Exception:
        connection.terminate()


async def _leave(_: Any) -> None:
    """Leaves a connection as it is: a transaction changes no setting of its session."""


def _may_succeed(error: Exception) -> bool:
    """Returns whether a transaction that was not committed may succeed when it runs again at once."""
    import asyncpg

    state = sqlstate(error)
    # asyncpg has an internal error for a statement between the database's last word and the end of the connection.
    lost = isinstance(error, ConnectionError | asyncpg.InterfaceError | asyncpg.InternalClientError)
    lost = lost and not isinstance(error, ValueError)  # a value of the wrong type
    return state in AGAIN or state.startswith(LOST) or lost
