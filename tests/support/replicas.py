"""Servers that share a folder store, each with its own ledger of results, for tests without processes."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from celeste_image.core.errors import StorageUnavailable
from celeste_image.database import Records, SqliteRecords, Unit
from celeste_image.ledger import Owner, Results
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
        self.owner = Owner(replicas.folder / "servers")
        self.is_away = False
        self.records: Records = _Breakable(SqliteRecords(self.store.backend), self)
        given: dict[str, Any] = {"lifetime": timedelta(hours=1), "most_bytes": 1 << 20, "memory_bytes": 1 << 20}
        self.results = Results(self.records, self.owner, now=lambda: replicas.now, **given | settings)

    def die(self) -> None:
        """Ends the server as its kernel would: nothing that it left open is put in order."""
        self.owner.close()


class Replicas:
    """Servers with one folder and one clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self.now = BEGAN
        self._made: list[Replica] = []

    def start(self, **settings: Any) -> Replica:
        self._made.append(Replica(self, **settings))
        return self._made[-1]

    async def close(self) -> None:
        for replica in self._made:
            replica.is_away = False
            await replica.results.close()
            await replica.store.close()


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
