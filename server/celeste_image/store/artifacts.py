"""ArtifactStore: stores, reads, lists and deletes an owner's artifacts.

A digest is a name, not a permission, so every method takes the owner. The same bytes of two owners are stored once but
are two artifacts.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from celeste_image.core.artifact import Artifact, Lineage, artifact_name, is_artifact_name
from celeste_image.core.errors import ArtifactDamaged, ArtifactNotFound, RangeExceeded
from celeste_image.core.media import media_type
from celeste_image.off_loop import sha256_of
from celeste_image.store.ages import Ages
from celeste_image.store.backend import AT_ONCE, Backend, Content
from celeste_image.store.blobs import Blobs
from celeste_image.store.database_index import DatabaseIndex
from celeste_image.store.files import in_thread
from celeste_image.store.index import Entry, Index
from celeste_image.store.object_index import ObjectIndex
from celeste_image.store.observe import observed, observed_pieces
from celeste_image.store.reader import Data
from celeste_image.store.uploads import Upload, Uploads

__all__ = ["ArtifactStore"]

HEAD_BYTES = 16


class ArtifactStore:
    """Stores artifacts and returns them by name.

    Args:
        backend: Where bytes and index are kept. `close` closes it.
        uploads: The uploads that are not complete.
        retention_seconds: How long artifacts are kept after they were last stored; 0 means forever.
        reserve_bytes: Room that must remain on a disk or in memory.
        ages: The clocks.
    """

    def __init__(
        self,
        backend: Backend,
        uploads: Uploads[Any],
        retention_seconds: float = 0.0,
        reserve_bytes: int = 0,
        ages: Ages | None = None,
    ) -> None:
        self._backend = backend
        self._ages = ages or Ages()
        self._blobs = Blobs(backend, self._ages)
        self._index: Index = DatabaseIndex(backend) if backend.database else ObjectIndex(backend)
        self._uploads = uploads
        self._retention = timedelta(seconds=retention_seconds) if retention_seconds else None
        self._reserve_bytes = reserve_bytes

    @property
    def damaged(self) -> int:
        """How many artifacts were found damaged or lost since the server started."""
        return self._blobs.damaged

    @property
    def backend(self) -> Backend:
        """What is under the artifacts: a folder's has the database that the ledger shares."""
        return self._backend

    def free_bytes(self) -> int | None:
        """Returns how many bytes there is room for, without the reserve; None if the store can't tell."""
        free = self._backend.free_bytes()
        return None if free is None else max(0, free - self._reserve_bytes)

    def free_share(self) -> float | None:
        """Returns the free part of the disk or of a store in memory, 0.0 to 1.0; None if the store can't tell."""
        return self._backend.free_share()

    @property
    def is_near(self) -> bool:
        """Whether the store is on this machine."""
        return not self._backend.far

    async def check_room(self, *, by_writing: bool = False) -> None:
        """Raises StorageFull or StorageUnavailable when nothing can be stored. Call it before paid work.

        Args:
            by_writing: Whether to try it by a small write, unless the store is in memory.
        """
        await self._backend.check_room(self._reserve_bytes, by_writing=by_writing)

    @observed("put")
    async def put(
        self,
        owner: str,
        data: bytes,
        *,
        width: int = 0,
        height: int = 0,
        lineage: Lineage | None = None,
    ) -> Artifact:
        """Stores bytes durably and returns their artifact.

        Args:
            owner: The artifact's owner.
            data: The bytes.
            width: In pixels; 0 means unknown.
            height: In pixels; 0 means unknown.
            lineage: How the bytes were made.

        Raises:
            StorageFull: The store has no room.
            StorageUnavailable: The store can't be written.
        """
        sha256, now = await sha256_of(data), self._ages.now()
        lineages = (lineage,) if lineage else ()
        entry = Entry(sha256, media_type(data[:HEAD_BYTES]), len(data), width, height, now, now, lineages)
        return self._artifact(await self._put(owner, entry, data))

    @observed("get")
    async def get(self, owner: str, name: str) -> bytes:
        """Returns an artifact's bytes.

        Raises:
            ArtifactNotFound: The owner has no artifact of this name.
            ArtifactDamaged: The bytes are lost, or no longer match the digest and were quarantined.
            StorageUnavailable: The store can't be read.
        """
        artifact = await self._find(owner, name)
        async with self._present(owner, artifact):
            return await self._blobs.get(artifact.sha256)

    @observed("find")
    async def find(self, owner: str, name: str) -> Artifact:
        """Returns an artifact with its lineages; its bytes are not read.

        Raises:
            ArtifactNotFound: The owner has no artifact of this name.
            ArtifactDamaged: The artifact's index entry is damaged.
            StorageUnavailable: The store can't be read.
        """
        return await self._find(owner, name)

    @observed("find")
    async def open(self, owner: str, name: str) -> Artifact:
        """Returns an artifact after checking its digest. Raises as `get` does."""
        artifact = await self._find(owner, name)
        async with self._present(owner, artifact):
            return replace(artifact, size_bytes=await self._blobs.check(artifact.sha256))

    async def read(self, artifact: Artifact, offset: int = 0, limit: int = 0) -> AsyncGenerator[tuple[int, Data], None]:
        """Yields an opened artifact's bytes as (offset, piece), from `offset`, at most `limit` bytes (0 means all).

        Raises:
            RangeExceeded: The offset is beyond the end.
            ArtifactNotFound: The artifact was deleted after it was opened.
            ArtifactDamaged: The bytes were damaged after the artifact was opened.
            StorageUnavailable: The store can't be read.
        """
        size = artifact.size_bytes
        if offset > size:
            metadata = {"limit": str(size), "value": str(offset)}
            raise RangeExceeded(f"offset {offset} is beyond the artifact's {size} bytes", metadata=metadata)
        end = min(size, offset + limit) if limit else size
        if size < self._index.small_bytes and (small := await self._blobs.small(artifact.sha256)) is not None:
            if offset < end:
                yield offset, small[offset:end]
            return
        async with aclosing(observed_pieces(self._blobs.read(artifact.sha256, offset, end, size))) as pieces:
            try:
                async for piece in pieces:
                    yield piece
            except FileNotFoundError as error:
                raise _not_found(artifact.name) from error

    async def missing(self, owner: str, names: Sequence[str]) -> list[str]:
        """Returns the names whose bytes the owner does not have, in order. Raises StorageUnavailable."""
        had: list[bool] = []
        for first in range(0, len(names), AT_ONCE):
            some = names[first : first + AT_ONCE]
            had += await asyncio.gather(*(self._backend.in_turn(self._has, owner, name) for name in some))
        return [name for name, has in zip(names, had, strict=True) if not has]

    async def owned(self, owner: str, after: str = "") -> AsyncGenerator[Artifact, None]:
        """Yields an owner's artifacts after the name `after`, by name, without lineages. Raises StorageUnavailable."""
        async with aclosing(self._index.entries(owner, _sha256(after) if after else "")) as entries:
            async for entry in entries:
                if not self._expired(entry):
                    yield self._artifact(replace(entry, lineages=()))

    @observed("delete")
    async def delete(self, owner: str, name: str) -> None:
        """Deletes an owner's artifact and its upload; a sweep deletes the bytes once they have no owner.

        Raises:
            StorageUnavailable: The store can't be written.
        """
        sha256 = _sha256(name)
        await self._uploads.delete(owner, sha256)
        await self._index.delete(owner, sha256)

    # Uploads

    async def committed(self, owner: str, name: str) -> tuple[int, Artifact | None]:
        """Returns how many bytes of an upload have arrived, and the artifact if it is complete and undamaged.

        Raises:
            StorageUnavailable: The store can't be read.
        """
        try:
            artifact = await self.open(owner, name)
        except (ArtifactNotFound, ArtifactDamaged):  # a new upload replaces damaged bytes
            return await self._uploads.committed(owner, _sha256(name)), None
        return artifact.size_bytes, artifact

    @asynccontextmanager
    async def upload(self, owner: str, name: str) -> AsyncGenerator[Upload, None]:
        """Opens an artifact's upload for one more writer, if there is room; see `Uploads.open`."""
        await self.check_room()
        async with self._uploads.open(owner, _sha256(name)) as upload:
            yield upload

    @observed("write", is_span=False)
    async def write(self, upload: Upload, size_bytes: int, offset: int, data: Data) -> None:
        """Writes a chunk at its offset; see `Uploads.write`."""
        await self._uploads.write(upload, size_bytes, offset, data)

    @observed("finish")
    async def finish(
        self, owner: str, name: str, size_bytes: int, upload: Upload, doubt_seconds: float = 0.0
    ) -> Artifact:
        """Stores a complete upload durably and returns its artifact.

        Raises:
            DigestMismatch: The bytes do not match the digest in the name, or the size; they are discarded, after
                `doubt_seconds` in which the caller may still be cancelled.
            InvalidRequest: Another writer's bytes were wrong, so all bytes were discarded.
            StorageFull: The store has no room; the upload stays.
            StorageUnavailable: The store can't be written; the upload stays.
        """
        sha256 = _sha256(name)
        async with upload.lock:
            if upload.done:  # another writer finished it
                return await self._find(owner, name)
            head = await self._uploads.check(upload, sha256, size_bytes, doubt_seconds)
            try:
                now = self._ages.now()
                entry = Entry(sha256, media_type(head), size_bytes, 0, 0, now, now)
                entry = await self._put(owner, entry, upload.content)
            except BaseException:
                upload.let_go()
                raise
            self._uploads.finish(upload)
        return self._artifact(entry)

    # Age

    @observed("sweep")
    async def sweep(self, apart_seconds: float = 0.0) -> tuple[int, int, int]:
        """Removes expired artifacts, bytes without an owner, and abandoned uploads, if an earlier sweep found them too.

        After a step of the wall clock, a sweep removes nothing.

        Args:
            apart_seconds: How long ago that earlier sweep must have been, by the monotonic clock.

        Returns:
            How many index entries, blobs and uploads were removed.
        """
        if not self._ages.begin_sweep(apart_seconds):
            return 0, 0, 0
        uploads = self._uploads.sweep(self._ages)
        staged = await self._backend.sweep(self._ages)
        owned, entries, small = await self._index.sweep(self._ages, self._retention)
        blobs = await self._blobs.sweep(owned)
        self._ages.end_sweep()
        return entries, staged + small + blobs, uploads

    async def close(self) -> None:
        """Closes the store; all calls must have ended."""
        await self._backend.close()

    async def _find(self, owner: str, name: str) -> Artifact:
        entry = await self._index.get(owner, _sha256(name))
        if entry is None or self._expired(entry):
            raise _not_found(name)
        return self._artifact(entry)

    async def _put(self, owner: str, entry: Entry, content: Content) -> Entry:
        """Stores bytes and their entry: few bytes in one step, others before the entry. Raises as `put` does."""
        if entry.size_bytes < self._index.small_bytes:
            with self._backend.writing():
                small = content if isinstance(content, bytes) else await in_thread(content.read_bytes)
            return await self._index.put(owner, entry, self._expiry(), small)
        await self._blobs.put(entry.sha256, content)
        return await self._index.put(owner, entry, self._expiry())

    @asynccontextmanager
    async def _present(self, owner: str, artifact: Artifact) -> AsyncGenerator[None, None]:
        """Raises ArtifactNotFound for bytes that were deleted during the read, ArtifactDamaged for lost ones."""
        try:
            yield
        except FileNotFoundError as error:
            if await self._index.get(owner, artifact.sha256) is None:
                raise _not_found(artifact.name) from error
            raise self._blobs.lost(artifact.sha256) from error

    async def _has(self, owner: str, name: str) -> bool:
        sha256 = _sha256(name)
        try:
            artifact = await self._find(owner, artifact_name(sha256))
        except (ArtifactNotFound, ArtifactDamaged):
            return False
        return await self._blobs.holds(sha256, artifact.size_bytes)

    def _expiry(self) -> datetime | None:
        """Returns the time at or before which expired artifacts were last stored; None without expiry."""
        return self._ages.horizon(self._retention) if self._retention else None

    def _expired(self, entry: Entry) -> bool:
        before = self._expiry()
        return before is not None and entry.touched <= before

    def _artifact(self, entry: Entry) -> Artifact:
        return Artifact(
            name=artifact_name(entry.sha256),
            media_type=entry.media_type,
            size_bytes=entry.size_bytes,
            width=entry.width,
            height=entry.height,
            created=entry.created,
            expires=entry.touched + self._retention if self._retention else None,
            lineages=entry.lineages,
        )


def _sha256(name: str) -> str:
    if not is_artifact_name(name):
        raise _not_found(name)
    return name.rpartition("-")[2]


def _not_found(name: str) -> ArtifactNotFound:
    return ArtifactNotFound(f"there is no artifact {name[:100]}", resource=name[:100])
