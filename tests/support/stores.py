"""Artifact stores under test, with the backend and the folder that they stand on."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from celeste_image.core.artifact import artifact_name
from celeste_image.store.ages import Ages
from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.backend import Backend
from celeste_image.store.database_index import SMALL_BYTES
from celeste_image.store.file_uploads import FileUploads
from celeste_image.store.memory import MemoryObjects
from celeste_image.store.memory_uploads import MemoryUploads
from celeste_image.store.open import DATABASE, open_store
from celeste_image.store.uploads import Uploads

OWNER, OTHER = "ann", "ben"
LARGE_BYTES = SMALL_BYTES + 1
"""Size of an artifact whose bytes are an object on every kind of store; a folder has small ones in its database."""


def name_of(data: bytes) -> str:
    return artifact_name(hashlib.sha256(data).hexdigest())


def path_of(name: str) -> str:
    sha256 = name.rpartition("-")[2]
    return f"sha256/{sha256[:2]}/{sha256}"


@dataclass
class Clock:
    """The real time, plus the time by which a test is ahead, plus the error of the wall clock."""

    ahead: timedelta = field(default_factory=timedelta)
    error: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead + self.error

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead.total_seconds()

    def ages(self) -> Ages:
        """Returns what a new server makes of the clocks."""
        return Ages(self, self.monotonic)


@dataclass
class StoreSetup:
    """A store, its backend and its folder; `again` opens the store as a restarted server would.

    Attributes:
        spool: The folder of the uploads, unless they are in memory.
        memory: The uploads to a store in memory; like its objects, they survive `again`.
    """

    backend: Backend
    spool: Path
    memory: MemoryUploads | None
    clock: Clock
    store: ArtifactStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.again()

    def again(self, retention_hours: float = 0) -> ArtifactStore:
        return ArtifactStore(self.backend, self.uploads(), retention_hours * 3600, 0, self.clock.ages())

    async def paths(self, prefix: str = "") -> list[str]:
        """Returns the paths of the objects, without the database's files."""
        paths = [str(meta["path"]) async for meta in self.backend.list(prefix)]
        return sorted(path for path in paths if not path.startswith(DATABASE))

    async def blobs(self) -> list[str]:
        """Returns the names of all bytes, with and without an owner, in objects and in the database."""
        digests = [path.rpartition("/")[2] for path in await self.paths("sha256/")]
        if self.backend.database:
            rows = await self.rows("SELECT sha256 FROM small_blobs")
            digests += [digest.hex() for (digest,) in rows]
        return sorted(map(artifact_name, digests))

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Runs a query on the database of a folder."""
        return await self.backend.write_rows(lambda db: db.execute(query, values).fetchall())

    async def write(self, path: str, data: bytes) -> None:
        await self.backend.objects.put_async(path, data)

    async def overwrite(self, name: str, data: bytes) -> None:
        """Puts other bytes in the place of an artifact's, behind the store's back."""
        digest = bytes.fromhex(name.rpartition("-")[2])
        query = "UPDATE small_blobs SET data = ? WHERE sha256 = ? RETURNING 1"
        if not (self.backend.database and await self.rows(query, data, digest)):
            await self.write(path_of(name), data)

    async def lose(self, name: str) -> None:
        """Deletes bytes behind the store's back, wherever they are."""
        digest = bytes.fromhex(name.rpartition("-")[2])
        if self.backend.database and await self.rows("DELETE FROM small_blobs WHERE sha256 = ? RETURNING 1", digest):
            return
        await self.backend.objects.delete_async(path_of(name))

    async def change_entry(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """Changes what is written in OWNER's entry of an artifact: its JSON object, or the lineages in its row."""
        sha256 = name.rpartition("-")[2]
        if self.backend.database:
            where = "WHERE owner = ? AND sha256 = ?"
            key = (OWNER, bytes.fromhex(sha256))
            ((lineages,),) = await self.rows(f"SELECT lineages FROM entries {where}", *key)
            await self.rows(f"UPDATE entries SET lineages = ? {where}", change(lineages.encode()), *key)
        else:
            path = f"records/{OWNER}/{sha256}.json"
            found = await self.backend.objects.get_async(path)
            await self.write(path, change(bytes(await found.bytes_async())))

    def close(self) -> None:
        if self.backend.database:
            self.backend.database.close()

    def uploads(self) -> Uploads[Any]:
        """Returns what a server makes of the uploads."""
        return self.memory or FileUploads(self.spool, 0)

    def parts(self) -> list[Path]:
        """Returns the unfinished uploads."""
        return list(map(Path, self.memory._open)) if self.memory else list(self.spool.iterdir())


def setup_at(backend: Backend, spool: Path, in_files: bool = False) -> StoreSetup:
    """Returns an empty store.

    Args:
        backend: Where it is.
        spool: Folder of the uploads.
        in_files: Whether the uploads to a store in memory are there, too.
    """
    spool.mkdir()
    objects = backend.objects
    memory = MemoryUploads(objects, 0) if isinstance(objects, MemoryObjects) and not in_files else None
    return StoreSetup(backend, spool, memory, Clock())


async def swept(store: ArtifactStore) -> tuple[int, int, int]:
    """Returns what three sweeps in a row remove: the first finds, the second deletes, the third deletes the bytes."""
    sweeps = [await store.sweep() for _ in range(3)]
    entries, blobs, uploads = (sum(column) for column in zip(*sweeps, strict=True))
    return entries, blobs, uploads


def memory() -> ArtifactStore:
    """Returns an empty store in memory, without uploads."""
    return open_store("memory:///", None)
