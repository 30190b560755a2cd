"""Blobs: bytes by their SHA-256, on any object store. What is acknowledged is safe, what is handed out is checked."""

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from obstore.exceptions import BaseError

from celeste_image.core.artifact import artifact_name
from celeste_image.core.errors import ArtifactDamaged
from celeste_image.store.places import Place

__all__ = ["CHUNK_BYTES", "Blobs", "digest_of"]

log = structlog.get_logger("celeste_image.store")

CHUNK_BYTES = 1 << 20
"""Bytes of a chunk at most, in reads here and in messages."""

HASH_INLINE_BYTES = 1 << 20
VERIFIED_ENTRIES = 10_000
ORPHAN_AGE = timedelta(hours=1)
"""How long a blob without an owner is kept: whoever wrote it may be about to record it."""


class Blobs:
    """Bytes by digest.

    Attributes:
        damaged: How many blobs were found damaged or lost since the start.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._objects = place.objects
        self._verified: OrderedDict[str, str | None] = OrderedDict()  # path -> entity tag when its digest fitted
        self.damaged = 0

    async def put(self, sha256: str, content: bytes | Path) -> None:
        """Stores bytes, or a file's, that have this digest; returns once they are safe.

        Known bytes are not written again, unless they are damaged or so old that a sweep may be about to take them.

        Raises:
            StorageFull: There is no room.
            StorageUnavailable: The store can't be written.
        """
        path = path_of(sha256)
        with self._place.failures():
            if not await self._holds(path, sha256):
                await self._objects.put_async(path, content)
            if self._place.folder:  # also for bytes of a put that is itself still on its way to the disk
                await asyncio.to_thread(_sync, self._place.folder, self._place.folder / path)

    async def get(self, sha256: str) -> bytes:
        """Returns all the bytes. Raises ArtifactDamaged when they are not what they were, or StorageUnavailable."""
        try:
            with self._place.failures():
                found = await self._objects.get_async(path_of(sha256))
                data = bytes(await found.bytes_async())
        except FileNotFoundError as error:
            raise self._lost(sha256) from error
        if await digest_of(data) != sha256:
            raise await self._quarantine(sha256)
        return data

    async def check(self, sha256: str) -> int:
        """Returns the size of bytes that have their digest, read for it unless they are as they were when they did.

        Raises as `get` does.
        """
        path = path_of(sha256)
        try:
            with self._place.failures():
                meta = await self._objects.head_async(path)
                fits = await self._fits(path, sha256, meta["e_tag"])
        except FileNotFoundError as error:
            raise self._lost(sha256) from error
        if not fits:
            raise await self._quarantine(sha256)
        return int(meta["size"])

    async def read(self, sha256: str, offset: int, end: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yields checked bytes from `offset` up to `end`, as (offset, chunk). Raises as `get` does."""
        path = path_of(sha256)
        while offset < end:
            try:
                with self._place.failures():
                    chunk = bytes(
                        await self._objects.get_range_async(path, start=offset, end=min(end, offset + CHUNK_BYTES))
                    )
            except FileNotFoundError as error:
                raise self._lost(sha256) from error
            except BaseError as error:  # it became shorter since it was checked
                raise await self._quarantine(sha256) from error
            yield offset, chunk
            offset += len(chunk)

    async def sweep(self, owned: set[str], now: datetime) -> int:
        """Deletes the blobs that nobody owns and that are older than an hour; returns how many."""
        deleted = 0
        async for page in self._objects.list("sha256/"):
            for meta in page:
                sha256 = str(meta["path"]).rpartition("/")[2]
                if sha256 not in owned and now - meta["last_modified"] > ORPHAN_AGE:
                    await self._objects.delete_async(str(meta["path"]))
                    self._verified.pop(str(meta["path"]), None)
                    deleted += 1
        return deleted

    async def _holds(self, path: str, sha256: str) -> bool:
        try:
            meta = await self._objects.head_async(path)
            young = datetime.now(UTC) - meta["last_modified"] < ORPHAN_AGE / 2
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
            await asyncio.to_thread(digest.update, bytes(chunk))
        if digest.hexdigest() != sha256:
            return False
        self._verified[path] = tag
        if len(self._verified) > VERIFIED_ENTRIES:
            self._verified.popitem(last=False)
        return True

    def _lost(self, sha256: str) -> ArtifactDamaged:
        name = artifact_name(sha256)
        self.damaged += 1
        log.error("lost", artifact=name)
        return ArtifactDamaged(f"the stored bytes of {name} are lost", resource=name)

    async def _quarantine(self, sha256: str) -> ArtifactDamaged:
        """Moves damaged bytes out of the way, for somebody to look at, and returns the error that tells of them."""
        name = artifact_name(sha256)
        self.damaged += 1
        log.error("damaged", artifact=name)
        self._verified.pop(path_of(sha256), None)
        try:
            await self._objects.rename_async(path_of(sha256), f"quarantine/{sha256}")
        except (BaseError, OSError) as error:  # they stay where they are and are found again
            log.warning("not quarantined", artifact=name, error=type(error).__name__)
        return ArtifactDamaged(f"the stored bytes of {name} are damaged", resource=name)


def path_of(sha256: str) -> str:
    """Returns where the bytes with this digest are."""
    return f"sha256/{sha256[:2]}/{sha256}"


async def digest_of(data: bytes) -> str:
    """Returns the SHA-256 of bytes as 64 hex digits."""
    # Hashing releases the GIL; below a megabyte the way to a thread costs more than the work.
    if len(data) < HASH_INLINE_BYTES:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()


def _sync(root: Path, path: Path) -> None:
    """Brings a file and the folders above it, up to `root`, to the disk."""
    for place in (path, *(p for p in path.parents if p.is_relative_to(root))):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
