"""Blobs: bytes by their SHA-256, on any object store. What is acknowledged is safe, what is handed out is checked."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from pathlib import Path
from weakref import WeakValueDictionary

import structlog

from celeste_image.core.artifact import artifact_name, is_artifact_name
from celeste_image.core.errors import ArtifactDamaged, CelesteError, StorageUnavailable
from celeste_image.store.backend import ORPHAN_AGE, Backend

__all__ = ["CHUNK_BYTES", "Blobs", "digest_of"]

log = structlog.get_logger("celeste_image.store")

CHUNK_BYTES = 1 << 20
"""Bytes of a chunk at most, in reads here and in messages."""
NEAR_CHUNK_BYTES = 256 << 10
"""The same where a read is no round trip: a chunk is held for as long as its reader takes."""

HASH_INLINE_BYTES = 1 << 20
VERIFIED_ENTRIES = 10_000


class Blobs:
    """Bytes by digest.

    Writes, sweeps and quarantines of one digest take turns: what one of them found out must hold while it acts.

    Attributes:
        damaged: How many blobs were found damaged or lost since the start.
    """

    def __init__(self, place: Backend, now: Callable[[], datetime]) -> None:
        self._place = place
        self._objects = place.objects
        self._now = now
        self._verified: OrderedDict[str, str | None] = OrderedDict()  # path -> entity tag when its digest fitted
        self._doubtful: set[str] = set()  # a disk that failed to keep bytes fails once, then calls them kept
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.damaged = 0

    async def put(self, sha256: str, content: bytes | Path) -> None:
        """Stores bytes, or a file's, that have this digest; returns once they are safe.

        Known bytes are not written again, unless they are damaged or so old that a sweep may be about to take them.

        Raises:
            StorageFull: There is no room.
            StorageUnavailable: The store can't be written.
        """
        path = path_of(sha256)
        async with self._lock(sha256):
            known = path not in self._doubtful and await self._holds(path, sha256)
            self._doubtful.add(path)
            if known:  # a server that was killed may have written them and no more
                await self._place.sync(path)
            else:
                await self._place.put(path, content)
            self._doubtful.discard(path)

    async def get(self, sha256: str) -> bytes:
        """Returns all the bytes.

        Raises:
            FileNotFoundError: There are none.
            ArtifactDamaged: They no longer have the digest; they were put out of the way.
            StorageUnavailable: The store can't be read.
        """
        with self._place.failures():
            found = await self._objects.get_async(path_of(sha256))
            data = bytes(await found.bytes_async())
        if await digest_of(data) != sha256:
            raise await self._quarantine(sha256)
        return data

    async def holds(self, sha256: str, size_bytes: int) -> bool:
        """Tells whether there are so many bytes; they are not looked at. Raises StorageUnavailable."""
        try:
            with self._place.failures():
                return bool((await self._objects.head_async(path_of(sha256)))["size"] == size_bytes)
        except FileNotFoundError:
            return False

    async def check(self, sha256: str) -> int:
        """Returns the size of bytes that have their digest, read for it unless they are as they were when they did.

        Raises as `get` does.
        """
        path = path_of(sha256)
        with self._place.failures():
            meta = await self._objects.head_async(path)
            fits = await self._fits(path, sha256, meta["e_tag"])
        if not fits:
            raise await self._quarantine(sha256)
        return int(meta["size"])

    async def read(
        self, sha256: str, offset: int, end: int, size_bytes: int
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yields bytes that were checked, from `offset` up to `end`, as (offset, chunk).

        All of them are checked once more, for a disk that decays changes no tag: the last chunk comes only if they
        fit. Raises as `get` does.
        """
        digest = hashlib.sha256() if (offset, end) == (0, size_bytes) else None
        step = CHUNK_BYTES if self._place.far else NEAR_CHUNK_BYTES
        while offset < end:
            upto = min(end, offset + step)
            chunk = await self._part(path_of(sha256), offset, upto)
            if digest:
                await asyncio.to_thread(digest.update, chunk)
            if len(chunk) < upto - offset or (digest and upto == end and digest.hexdigest() != sha256):
                raise await self._quarantine(sha256)
            yield offset, chunk
            offset = upto

    async def sweep(self, owned: set[str], now: datetime) -> int:
        """Deletes the blobs that nobody owns and that are older than an hour; returns how many."""
        deleted = 0
        async for meta in self._place.list("sha256/"):
            path = str(meta["path"])
            sha256 = path.rpartition("/")[2]
            # What is not ours stays: somebody may keep notes beside the bytes.
            if not is_artifact_name(artifact_name(sha256)) or path != path_of(sha256) or sha256 in owned:
                continue
            if now - meta["last_modified"] > ORPHAN_AGE:
                async with self._lock(sha256):
                    changed = await self._place.changed(path)  # since it was listed
                    if changed and now - changed > ORPHAN_AGE:
                        await self._place.delete(path)
                        self._verified.pop(path, None)
                        deleted += 1
        return deleted

    def lost(self, sha256: str) -> ArtifactDamaged:
        """Counts bytes that ought to be there, and returns the error that tells of them."""
        name = artifact_name(sha256)
        self.damaged += 1
        log.error("lost", artifact=name)
        return ArtifactDamaged(f"the stored bytes of {name} are lost", resource=name)

    def _lock(self, sha256: str) -> asyncio.Lock:
        return self._locks.setdefault(sha256, asyncio.Lock())

    async def _holds(self, path: str, sha256: str) -> bool:
        try:
            with self._place.failures():
                meta = await self._objects.head_async(path)
                young = self._now() - meta["last_modified"] < ORPHAN_AGE / 2
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
        self._verified[path] = found.meta["e_tag"]
        if len(self._verified) > VERIFIED_ENTRIES:
            self._verified.popitem(last=False)
        return True

    async def _part(self, path: str, start: int, end: int) -> bytes:
        """Returns a range; it is shorter when the bytes end before."""
        try:
            with self._place.failures():
                return bytes(await self._objects.get_range_async(path, start=start, end=end))
        except StorageUnavailable:  # no store has an error of its own for a range behind the end
            with self._place.failures():
                if (await self._objects.head_async(path))["size"] <= start:
                    return b""
            raise

    async def _quarantine(self, sha256: str) -> CelesteError:
        """Moves damaged bytes out of the way, for somebody to look at, and returns the error that tells of them."""
        name, path = artifact_name(sha256), path_of(sha256)
        damaged = ArtifactDamaged(f"the stored bytes of {name} are damaged", resource=name)
        async with self._lock(sha256):
            self._verified.pop(path, None)
            try:
                with self._place.failures():
                    if await self._fits(path, sha256, None):  # somebody stored them anew
                        return StorageUnavailable(f"the bytes of {name} were changed meanwhile", retry_after=0)
                    self.damaged += 1
                    log.error("damaged", artifact=name)
                    await self._objects.rename_async(path, f"quarantine/{sha256}")
            except FileNotFoundError:  # somebody else was first
                return damaged
            except CelesteError as error:  # they stay where they are and are found again
                log.warning("not quarantined", artifact=name, error=type(error).__name__)
        return damaged


def path_of(sha256: str) -> str:
    """Returns where the bytes with this digest are."""
    return f"sha256/{sha256[:2]}/{sha256}"


async def digest_of(data: bytes) -> str:
    """Returns the SHA-256 of bytes as 64 hex digits."""
    # Hashing releases the GIL; below a megabyte the way to a thread costs more than the work.
    if len(data) < HASH_INLINE_BYTES:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
