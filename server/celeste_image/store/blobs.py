"""Blobs: bytes by SHA-256. Acknowledged writes are durable, and every read is checked.

Large ones are objects. A folder has small ones in its database, where `DatabaseIndex` puts them with their entries.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import suppress
from weakref import WeakValueDictionary

import structlog

from celeste_image.core.artifact import artifact_name, is_artifact_name
from celeste_image.core.errors import ArtifactDamaged, CelesteError, StorageUnavailable
from celeste_image.off_loop import sha256_of
from celeste_image.store.ages import Ages
from celeste_image.store.backend import ORPHAN_AGE, Backend, Content
from celeste_image.store.database_index import SmallBlobs
from celeste_image.store.reader import Data, Reader

__all__ = ["CHUNK_BYTES", "Blobs"]

log = structlog.get_logger("celeste_image.store")

CHUNK_BYTES = 1 << 20
"""Largest chunk in a message, and bytes per read of a remote store, where each is a round trip."""
NEAR_PIECE_BYTES = 512 << 10
"""Bytes per read of a local store. Memory holds two pieces: one until its caller has read it, and the next."""

VERIFIED_ENTRIES = 10_000


class Blobs:
    """Bytes by digest.

    Writes, sweeps and quarantines of a digest hold its lock, so that what each has checked stays true while it acts.

    Attributes:
        damaged: How many blobs were found damaged or lost since the server started.
    """

    def __init__(self, backend: Backend, ages: Ages) -> None:
        self._backend = backend
        self._objects = backend.objects
        self._small = SmallBlobs(backend) if backend.database else None
        self._ages = ages
        self._verified: OrderedDict[str, str | None] = OrderedDict()  # path -> entity tag at its last good check
        self._doubtful: set[str] = set()  # Linux reports a failed fsync only once, so these are written again
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.damaged = 0

    async def put(self, sha256: str, content: Content) -> None:
        """Stores the bytes of this digest durably.

        Stored bytes are written again only if they are damaged, or old enough for a sweep to delete them.

        Raises:
            StorageFull: The store has no room.
            StorageUnavailable: The store can't be written.
        """
        path = path_of(sha256)
        async with self._lock(sha256):
            known = path not in self._doubtful and await self._holds(path, sha256)
            self._doubtful.add(path)
            if known:  # a killed server may have written them without a flush
                await self._backend.sync(path)
            else:
                await self._backend.put(path, content)
                if not isinstance(content, bytes):  # large, and hashed as it arrived: a download need not read it twice
                    with suppress(CelesteError, FileNotFoundError), self._backend.failures():
                        self._note_good(path, (await self._objects.head_async(path))["e_tag"])
            self._doubtful.discard(path)

    async def get(self, sha256: str) -> bytes:
        """Returns the bytes of a digest.

        Raises:
            FileNotFoundError: The bytes are absent.
            ArtifactDamaged: The bytes no longer match the digest; they were quarantined.
            StorageUnavailable: The store can't be read.
        """
        small = await self.small(sha256)
        if small is not None:
            return small
        with self._backend.failures():
            found = await self._objects.get_async(path_of(sha256))
            data = bytes(await found.bytes_async())
        if await sha256_of(data) != sha256:
            raise await self._quarantine(sha256)
        return data

    async def small(self, sha256: str) -> bytes | None:
        """Returns the bytes of a digest if they are in the database, else None. Raises as `get` does."""
        data = await self._small.get(sha256) if self._small else None
        if data is not None and await sha256_of(data) != sha256:
            raise await self._quarantine_small(sha256, data)
        return data

    async def holds(self, sha256: str, size_bytes: int) -> bool:
        """Returns whether bytes of this size are stored, without reading them. Raises StorageUnavailable."""
        size = await self._small.size(sha256) if self._small else None
        if size is not None:
            return size == size_bytes
        try:
            with self._backend.failures():
                return bool((await self._objects.head_async(path_of(sha256)))["size"] == size_bytes)
        except FileNotFoundError:
            return False

    async def check(self, sha256: str) -> int:
        """Returns the size of the bytes after checking their digest.

        The bytes are read only if their entity tag has changed since the last check. Raises as `get` does.
        """
        small = await self.small(sha256)
        if small is not None:
            return len(small)
        path = path_of(sha256)
        with self._backend.failures():
            meta = await self._objects.head_async(path)
            fits = await self._fits(path, sha256, meta["e_tag"])
        if not fits:
            raise await self._quarantine(sha256)
        return int(meta["size"])

    async def read(self, sha256: str, offset: int, end: int, size_bytes: int) -> AsyncGenerator[tuple[int, Data], None]:
        """Yields checked bytes from `offset` up to `end`, as (offset, piece). Each is read ahead of its consumer.

        A read of all bytes checks the digest again, since a decaying disk changes no entity tag. The last piece is
        withheld if the digest does not match. Raises as `get` does.
        """
        digest = hashlib.sha256() if (offset, end) == (0, size_bytes) else None
        step = CHUNK_BYTES if self._backend.far else NEAR_PIECE_BYTES
        reader = Reader(self._backend, path_of(sha256))
        reading: asyncio.Task[Data] | None = None
        try:
            while offset < end:
                upto = min(end, offset + step)
                piece = await (reading or reader.read(offset, upto, digest))
                if len(piece) < upto - offset or (digest and upto == end and digest.hexdigest() != sha256):
                    raise await self._quarantine(sha256)
                if upto < end:
                    reading = asyncio.create_task(reader.read(upto, min(end, upto + step), digest))
                yield offset, piece
                offset = upto
        finally:
            if reading:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            reader.close()

    async def sweep(self, owned: set[str]) -> int:
        """Deletes blobs without an owner that are older than an hour; returns how many. Raises StorageUnavailable."""
        deleted = 0
        async for meta in self._backend.list("sha256/"):
            path = str(meta["path"])
            sha256 = path.rpartition("/")[2]
            # Foreign objects stay: an operator may keep notes beside the bytes.
            if not is_artifact_name(artifact_name(sha256)) or path != path_of(sha256) or sha256 in owned:
                continue
            if self._ages.is_old(path, meta["last_modified"], ORPHAN_AGE):
                async with self._lock(sha256):
                    if await self._backend.changed(path) == meta["last_modified"]:  # not since it was listed
                        await self._backend.delete(path)
                        self._verified.pop(path, None)
                        deleted += 1
        return deleted

    def lost(self, sha256: str) -> ArtifactDamaged:
        """Counts and logs lost bytes, and returns their error."""
        name = artifact_name(sha256)
        self.damaged += 1
        log.error("artifact lost", artifact=name)
        return ArtifactDamaged(f"the stored bytes of {name} are lost", resource=name)

    def _lock(self, sha256: str) -> asyncio.Lock:
        return self._locks.setdefault(sha256, asyncio.Lock())

    async def _holds(self, path: str, sha256: str) -> bool:
        try:
            with self._backend.failures():
                meta = await self._objects.head_async(path)
                young = meta["last_modified"] > self._ages.horizon(ORPHAN_AGE / 2)
                return young and await self._fits(path, sha256, meta["e_tag"])
        except FileNotFoundError:
            return False

    async def _fits(self, path: str, sha256: str, tag: str | None) -> bool:
        if tag is not None and self._verified.get(path) == tag:
            self._verified.move_to_end(path)
            return True
        digest = hashlib.sha256()
        found = await self._objects.get_async(path)
        async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
            await asyncio.to_thread(digest.update, chunk)
        if digest.hexdigest() != sha256:
            return False
        self._note_good(path, found.meta["e_tag"])
        return True

    def _note_good(self, path: str, tag: str | None) -> None:
        """Notes that the bytes at a path match their digest, until their entity tag changes."""
        self._verified[path] = tag
        if len(self._verified) > VERIFIED_ENTRIES:
            self._verified.popitem(last=False)

    async def _quarantine(self, sha256: str) -> CelesteError:
        """Moves damaged bytes to `quarantine/` for the operator to examine, and returns their error."""
        name, path = artifact_name(sha256), path_of(sha256)
        damaged = _damaged(name)
        async with self._lock(sha256):
            self._verified.pop(path, None)
            try:
                with self._backend.failures():
                    if await self._fits(path, sha256, None):  # another caller stored them again
                        return _replaced(name)
                    self.damaged += 1
                    log.error("artifact damaged", artifact=name)
                    await self._objects.rename_async(path, f"quarantine/{sha256}")
            except FileNotFoundError:  # another caller moved them first
                return damaged
            except CelesteError as error:  # they stay and are found again
                log.warning("not quarantined", artifact=name, error=type(error).__name__)
        return damaged

    async def _quarantine_small(self, sha256: str, data: bytes) -> CelesteError:
        """Moves damaged bytes out of the database; see `_quarantine`."""
        name = artifact_name(sha256)
        try:
            assert self._small
            if not await self._small.remove(sha256, data):  # another caller stored them again, or found them damaged
                return _replaced(name)
            self.damaged += 1
            log.error("artifact damaged", artifact=name)
            await self._backend.put(f"quarantine/{sha256}", data)
        except CelesteError as error:
            log.warning("not quarantined", artifact=name, error=type(error).__name__)
        return _damaged(name)


def _damaged(name: str) -> ArtifactDamaged:
    return ArtifactDamaged(f"the stored bytes of {name} are damaged", resource=name)


def _replaced(name: str) -> StorageUnavailable:
    return StorageUnavailable(f"the bytes of {name} were replaced during the read", retry_after=0)


def path_of(sha256: str) -> str:
    """Returns the path of the bytes of a digest."""
    return f"sha256/{sha256[:2]}/{sha256}"
