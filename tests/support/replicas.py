"""Servers that share a store and a database, each with its own cached results, for tests without processes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from tests.support.postgres import Postgres

from celeste_image.core.errors import StorageUnavailable
from celeste_image.database import Access, PostgresRecords, Records, SqliteRecords, Unit
from celeste_image.ledger import FileOwner, LockOwner, Owner, Results
from celeste_image.store import ArtifactStore, open_store

T = TypeVar("T")
BEGAN = datetime(2026, 12, 1, tzinfo=UTC)


class Replica:
    """One server: its store, its life and its cached results.

    Attributes:
        is_away: Whether its database can't be reached.
    """

    def __init__(self, replicas: "Replicas", **settings: Any) -> None:
        self.store: ArtifactStore = open_store(replicas.folder.as_uri(), replicas.folder / "uploads")
        self.is_away = False
        self.owner: Owner = FileOwner(replicas.folder / "servers")
        rows: Records = SqliteRecords(self.store.backend)
        if access := replicas.access:
            self.owner, rows = LockOwner(access, calm_seconds=0), PostgresRecords(access)
        self._rows = rows
        self.records: Records = _Breakable(rows, self)
        given: dict[str, Any] = {"lifetime": timedelta(hours=1), "most_bytes": 1 << 20, "memory_bytes": 1 << 20}
        self.results = Results(self.records, self.owner, now=lambda: replicas.now, **given | settings)

    async def die(self) -> None:
        """Ends the server as its kernel would: nothing that it left open is put in order."""
        await self.owner.close()

    async def close(self) -> None:
        self.is_away = False
        await self.results.close()
        with suppress(OSError):  # it has died
            await self.owner.close()
        if isinstance(self._rows, PostgresRecords):
            await self._rows.close()
        await self.store.close()


class Replicas:
    """Servers with one folder for the artifacts, one database and one clock.

    Args:
        folder: Has the artifacts, and the database if there is no `access`.
        access: A database on PostgreSQL.
    """

    def __init__(self, folder: Path, access: Access | None = None) -> None:
        self.folder, self.access = folder / "store", access
        self.now = BEGAN
        self._made: list[Replica] = []

    async def start(self, **settings: Any) -> Replica:
        made = Replica(self, **settings)
        self._made.append(made)
        await made.owner.begin()
        return made

    async def close(self) -> None:
        for replica in self._made:
            await replica.close()


@asynccontextmanager
async def replicas_on(kind: str, folder: Path, postgres: Callable[[], Postgres]) -> AsyncIterator[Replicas]:
    """Makes servers without results.

    Args:
        kind: `sqlite` or `postgres`.
        folder: Has the artifacts.
        postgres: Returns the PostgreSQL, if it is asked for.
    """
    if kind == "sqlite":
        made = Replicas(folder)
        yield made
        await made.close()
        return
    async with postgres().database() as name:
        made = Replicas(folder, postgres().access(name))
        yield made
        await made.close()


class _Breakable:
    """A database that may be away."""

    def __init__(self, records: Records, replica: Replica) -> None:
        self._records, self._replica = records, replica

    async def read(self, unit: Unit[T]) -> T:
        return await self._run(self._records.read, unit)

    async def write(self, unit: Unit[T]) -> T:
        return await self._run(self._records.write, unit)

    async def _run(self, run: Callable[[Unit[T]], Awaitable[T]], unit: Unit[T]) -> T:
        if self._replica.is_away:
            raise StorageUnavailable("the database is away")
        return await run(unit)
