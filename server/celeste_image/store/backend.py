"""Backend: what is under the artifacts (a folder, memory or S3), its errors and its free space."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from celeste_image.core.errors import CelesteError, StorageUnavailable
from celeste_image.database import Database, Work, probe
from celeste_image.store.ages import Ages
from celeste_image.store.files import (
    check_room,
    failed,
    file_failures,
    free_bytes,
    free_share,
    full,
    in_thread,
    staged,
    sync,
    write,
)
from celeste_image.store.memory import Growing, MemoryObjects

if TYPE_CHECKING:
    from obstore import ObjectMeta

__all__ = ["AT_ONCE", "ORPHAN_AGE", "Backend", "Content"]

Read = TypeVar("Read")
T = TypeVar("T")
Content = bytes | Path | Growing
"""What is stored: bytes, those of a file, or those of an upload to a store in memory."""

ORPHAN_AGE = timedelta(hours=1)
"""How long bytes without an owner are kept: their writer may be about to add the index entry."""

AT_ONCE = 16
"""Objects that all callers together read concurrently when they look at many: on S3 each read is a round trip."""
PART_BYTES = 5 << 20
"""Part of a multipart upload: S3's minimum. One part at a time limits the memory of a put."""
PROBE = bytes(4096)


@dataclass(slots=True)
class Backend:
    """Where a store keeps its bytes.

    Attributes:
        objects: obstore's client, or objects in memory.
        folder: The store's folder on this machine; None for memory and S3.
        database: The index of a folder, and its small artifacts; None for memory and S3.
        far: Whether each read is a round trip over a network.
        failing: Whether an operation has failed since the last successful write.
    """

    objects: ObjectStore | MemoryObjects
    folder: Path | None = None
    database: Database | None = None
    far: bool = False
    failing: bool = False
    _reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def free_bytes(self) -> int | None:
        """Returns the free bytes of the folder's disk, or of a store in memory; None if they are not known."""
        if self.folder:
            return free_bytes(self.folder)
        return self.objects.free_bytes if isinstance(self.objects, MemoryObjects) else None

    def free_share(self) -> float | None:
        """Returns the free part of the disk or of a store in memory, 0.0 to 1.0; None if it is not known."""
        if self.folder:
            return free_share(self.folder)
        return self.objects.free_bytes / self.objects.most_bytes if isinstance(self.objects, MemoryObjects) else None

    async def check_room(self, reserve_bytes: int, *, by_writing: bool = False) -> None:
        """Raises StorageFull or StorageUnavailable when nothing can be stored.

        Costs a few microseconds. After a failure it also writes a small object, to find out whether the store has
        recovered; with `by_writing` always, unless the store is in memory.
        """
        if self.folder:
            check_room(self.folder, reserve_bytes)
        if isinstance(self.objects, MemoryObjects) and self.objects.free_bytes < reserve_bytes:
            raise full()
        if self.failing or (by_writing and not isinstance(self.objects, MemoryObjects)):
            if self.database:
                await self.write_rows(probe)
            await self.put("probe", PROBE)

    async def put(self, path: str, content: Content) -> None:
        """Stores an object durably. A failed put leaves the earlier object.

        A file must not change afterwards: a folder on the same disk has no copy. Others stream it.

        Raises:
            StorageFull: The store has no room.
            StorageUnavailable: The store can't be written.
        """
        with self.writing():
            if self.folder:  # obstore renames a file before it is on the disk
                await in_thread(write, self.folder, self.folder / path, content)
            else:
                part = {"chunk_size": PART_BYTES, "max_concurrency": 1}
                await self.objects.put_async(path, content, **part)  # type: ignore[arg-type]  # Growing: of memory only
        self.failing = False

    async def sync(self, path: str) -> None:
        """Flushes an object to the disk if the store is a folder. Raises as `put` does."""
        if self.folder:
            with self.writing():
                await in_thread(sync, self.folder, self.folder / path)

    async def delete(self, path: str) -> bool:
        """Deletes an object; returns False if the store reports that it was absent. Raises StorageUnavailable."""
        try:
            with self.failures():
                await self.objects.delete_async(path)
        except FileNotFoundError:
            return False
        return True

    async def list(self, prefix: str, offset: str | None = None) -> AsyncGenerator["ObjectMeta", None]:
        """Yields the objects below a prefix, after `offset`, in the store's own order. Raises StorageUnavailable."""
        with self.failures():
            async for page in self.objects.list(prefix, offset=offset):
                for meta in page:
                    yield meta

    async def in_turn(self, read: Callable[..., Awaitable[Read]], *arguments: object) -> Read:
        """Reads an object, at most AT_ONCE of them at a time."""
        async with self._reading:
            return await read(*arguments)

    async def read_rows(self, work: Work[T]) -> T:
        """Reads the database; see `Database.read`. Raises StorageUnavailable."""
        assert self.database
        with self.failures():
            return await self.database.read(work)

    async def write_rows(self, work: Work[T]) -> T:
        """Writes the database durably; see `Database.write`. Raises StorageFull or StorageUnavailable."""
        assert self.database and self.folder
        try:
            with self.writing():
                result = await self.database.write(work)
        except StorageUnavailable:
            with self.writing():  # SQLite does not tell a full quota from a broken disk
                await in_thread(write, self.folder, self.folder / "probe", PROBE)
            raise
        self.failing = False
        return result

    async def close(self) -> None:
        """Closes the database."""
        if self.database:
            await in_thread(self.database.close)

    async def changed(self, path: str) -> datetime | None:
        """Returns when an object was last written; None when it is absent. Raises StorageUnavailable."""
        try:
            with self.failures():
                return (await self.objects.head_async(path))["last_modified"]
        except FileNotFoundError:
            return None

    async def sweep(self, ages: Ages) -> int:
        """Deletes unfinished files of killed servers; returns how many. Raises StorageUnavailable."""
        if self.folder is None:
            return 0
        deleted = 0
        with self.failures():
            for path, changed in await in_thread(staged, self.folder):
                if ages.is_old(str(path), changed, ORPHAN_AGE):
                    path.unlink(missing_ok=True)
                    deleted += 1
        return deleted

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Translates the store's errors into ours.

        Raises:
            StorageFull: The store has no room.
            StorageUnavailable: The store can't be read or written.
            FileNotFoundError: The object is absent.
        """
        try:
            with file_failures():
                yield
        except CelesteError:
            self.failing = True
            raise
        except (BaseError, sqlite3.Error) as error:
            self.failing = True
            raise failed(error) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Translates a write's errors into ours; FileNotFoundError means a missing store."""
        try:
            with self.failures():
                yield
        except FileNotFoundError as error:
            raise failed(error) from error
