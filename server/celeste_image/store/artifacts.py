"""ArtifactStore: the artifacts of an owner.

A digest is a name, not a permission: every way in asks for the owner, and the same bytes of two owners are kept once
but are two artifacts.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from celeste_image.core.artifact import Artifact, Lineage, artifact_name, is_artifact_name
from celeste_image.core.errors import ArtifactDamaged, ArtifactNotFound, RangeExceeded
from celeste_image.core.media import media_type
from celeste_image.store.backend import Backend
from celeste_image.store.blobs import Blobs, digest_of
from celeste_image.store.index import Entry, Index
from celeste_image.store.uploads import Upload, Uploads

__all__ = ["ArtifactStore"]

HEAD_BYTES = 16
AT_ONCE = 16
"""Records that are asked for at once, where many are: a store that is far takes its time for each."""


def utc_now() -> datetime:
    """Returns the time."""
    return datetime.now(UTC)


class ArtifactStore:
    """Puts bytes in and gets them back, by name.

    Args:
        place: Where the bytes are kept.
        uploads: Where they are while they come in.
        retention_seconds: How long artifacts are kept since they were last stored; 0 is for ever.
        reserve_bytes: Room that must be left on a disk.
        now: The clock.
    """

    def __init__(
        self,
        place: Backend,
        uploads: Uploads,
        retention_seconds: float = 0.0,
        reserve_bytes: int = 0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._place = place
        self._blobs = Blobs(place, now)
        self._records = Index(place)
        self._uploads = uploads
        self._retention = timedelta(seconds=retention_seconds) if retention_seconds else None
        self._reserve_bytes = reserve_bytes
        self._now = now

    @property
    def damaged(self) -> int:
        """How many artifacts were found damaged or lost since the start."""
        return self._blobs.damaged

    async def check_room(self) -> None:
        """Raises StorageFull or StorageUnavailable when nothing can be stored: ask before work that is paid for."""
        await self._place.check_room(self._reserve_bytes)

    async def put(
        self, owner: str, data: bytes, *, width: int = 0, height: int = 0, lineage: Lineage | None = None
    ) -> Artifact:
        """Stores bytes and returns their artifact once they are safe.

        Raises:
            StorageFull: There is no room.
            StorageUnavailable: The store can't be written.
        """
        sha256 = await digest_of(data)
        await self._blobs.put(sha256, data)
        facts = {"media_type": media_type(data[:HEAD_BYTES]), "size_bytes": len(data), "width": width, "height": height}
        return self._artifact(await self._record(owner, sha256, facts, lineage))

    async def get(self, owner: str, name: str) -> bytes:
        """Returns all the bytes of an artifact.

        Raises:
            ArtifactNotFound: The owner has none of this name.
            ArtifactDamaged: What is stored is lost, or no longer fits the name and was put out of the way.
            StorageUnavailable: The store can't be read.
        """
        artifact = await self.find(owner, name)
        async with self._present(owner, artifact):
            return await self._blobs.get(artifact.sha256)

    async def find(self, owner: str, name: str) -> Artifact:
        """Returns an artifact with its lineages; its bytes are not looked at.

        Raises:
            ArtifactNotFound: The owner has none of this name.
            ArtifactDamaged: What was known of it is damaged.
            StorageUnavailable: The store can't be read.
        """
        record = await self._records.get(owner, _sha256(name))
        if record is None or self._expired(record):
            raise _not_found(name)
        return self._artifact(record)

    async def open(self, owner: str, name: str) -> Artifact:
        """Returns an artifact after its digest was checked. Raises as `get` does."""
        artifact = await self.find(owner, name)
        async with self._present(owner, artifact):
            return replace(artifact, size_bytes=await self._blobs.check(artifact.sha256))

    async def read(
        self, artifact: Artifact, offset: int = 0, limit: int = 0
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yields an opened artifact's bytes from `offset`, at most `limit` (0 is all), as (offset, chunk).

        Raises:
            RangeExceeded: The offset is beyond the end.
            ArtifactNotFound: It was deleted since it was opened.
            ArtifactDamaged: The bytes were damaged since it was opened.
            StorageUnavailable: The store can't be read.
        """
        size = artifact.size_bytes
        if offset > size:
            metadata = {"limit": str(size), "value": str(offset)}
            raise RangeExceeded(f"offset {offset} is beyond the artifact's {size} bytes", metadata=metadata)
        end = min(size, offset + limit) if limit else size
        async with aclosing(self._blobs.read(artifact.sha256, offset, end, size)) as chunks:
            try:
                async for chunk in chunks:
                    yield chunk
            except FileNotFoundError as error:
                raise _not_found(artifact.name) from error

    async def missing(self, owner: str, names: Sequence[str]) -> list[str]:
        """Returns those of some names whose bytes the owner does not have. Raises StorageUnavailable."""
        had: list[bool] = []
        for first in range(0, len(names), AT_ONCE):
            had += await asyncio.gather(*(self._has(owner, name) for name in names[first : first + AT_ONCE]))
        return [name for name, has in zip(names, had, strict=True) if not has]

    async def owned(self, owner: str, after: str = "") -> AsyncGenerator[Artifact, None]:
        """Yields an owner's artifacts by name, those behind `after`, without lineages. Raises StorageUnavailable."""
        digests = await self._records.digests(owner, _sha256(after) if after else "")
        for first in range(0, len(digests), AT_ONCE):
            for artifact in await asyncio.gather(*(self._known(owner, d) for d in digests[first : first + AT_ONCE])):
                if artifact is not None:
                    yield replace(artifact, lineages=())

    async def delete(self, owner: str, name: str) -> None:
        """Deletes an owner's artifact, and what was uploaded of it; the bytes go when nobody owns them any more.

        Raises:
            StorageUnavailable: The store can't be written.
        """
        sha256 = _sha256(name)
        await self._uploads.delete(owner, sha256)
        await self._records.delete(owner, sha256)

    # Uploads

    async def committed(self, owner: str, name: str) -> tuple[int, Artifact | None]:
        """Returns how many bytes of an artifact are there, and the artifact if they are all and undamaged.

        Raises:
            StorageUnavailable: The store can't be read.
        """
        try:
            artifact = await self.open(owner, name)
        except (ArtifactNotFound, ArtifactDamaged):  # bytes that come anew heal it
            return await self._uploads.committed(owner, _sha256(name)), None
        return artifact.size_bytes, artifact

    @asynccontextmanager
    async def upload(self, owner: str, name: str) -> AsyncGenerator[Upload, None]:
        """Gives the upload of an artifact to one more writer, if it can be stored; see `Uploads.open`."""
        await self.check_room()
        async with self._uploads.open(owner, _sha256(name)) as upload:
            yield upload

    async def write(self, upload: Upload, size_bytes: int, offset: int, data: bytes) -> None:
        """Puts a chunk where it belongs; see `Uploads.write`."""
        await self._uploads.write(upload, size_bytes, offset, data)

    async def finish(self, owner: str, name: str, size_bytes: int, upload: Upload) -> Artifact:
        """Stores a complete upload and returns its artifact once it is safe.

        Raises:
            DigestMismatch: The bytes do not have the digest in the name, or the size; they are discarded.
            InvalidRequest: Another writer's bytes were wrong, and all were discarded.
            StorageFull: There is no room; the upload stays.
            StorageUnavailable: The store can't be written; the upload stays.
        """
        sha256 = _sha256(name)
        async with upload.lock:
            if upload.done:  # another writer of the same bytes was first
                return await self.find(owner, name)
            head = await self._uploads.check(upload, sha256, size_bytes)
            await self._blobs.put(sha256, upload.path)
            facts = {"media_type": media_type(head), "size_bytes": size_bytes, "width": 0, "height": 0}
            record = await self._record(owner, sha256, facts, None)
            self._uploads.finish(upload)
        return self._artifact(record)

    # Age

    async def sweep(self) -> tuple[int, int, int]:
        """Removes what is too old: artifacts past their time, bytes that nobody owns, uploads that rest.

        Returns:
            How many records, blobs and uploads were removed.
        """
        now = self._now()
        uploads = self._uploads.sweep(now)
        staged = await self._place.sweep(now)
        owned, records = await self._records.sweep(self._expiry(now))
        return records, staged + await self._blobs.sweep(owned, now), uploads

    async def _record(self, owner: str, sha256: str, facts: dict[str, Any], lineage: Lineage | None) -> Entry:
        now = self._now()
        return await self._records.put(owner, sha256, facts, now, lineage, self._expiry(now))

    @asynccontextmanager
    async def _present(self, owner: str, artifact: Artifact) -> AsyncGenerator[None, None]:
        """Tells bytes that were lost from those that were deleted while they were looked for."""
        try:
            yield
        except FileNotFoundError as error:
            if await self._records.get(owner, artifact.sha256) is None:
                raise _not_found(artifact.name) from error
            raise self._blobs.lost(artifact.sha256) from error

    async def _known(self, owner: str, sha256: str) -> Artifact | None:
        try:
            return await self.find(owner, artifact_name(sha256))
        except (ArtifactNotFound, ArtifactDamaged):
            return None

    async def _has(self, owner: str, name: str) -> bool:
        artifact = await self._known(owner, _sha256(name))
        return artifact is not None and await self._blobs.holds(artifact.sha256, artifact.size_bytes)

    def _expiry(self, now: datetime) -> datetime | None:
        """Returns when an artifact that expires now was last stored, None when none does."""
        return now - self._retention if self._retention else None

    def _expired(self, record: Entry) -> bool:
        before = self._expiry(self._now())
        return before is not None and record.touched <= before

    def _artifact(self, record: Entry) -> Artifact:
        return Artifact(
            name=artifact_name(record.sha256),
            media_type=record.media_type,
            size_bytes=record.size_bytes,
            width=record.width,
            height=record.height,
            created=record.created,
            expires=record.touched + self._retention if self._retention else None,
            lineages=record.lineages,
        )


def _sha256(name: str) -> str:
    if not is_artifact_name(name):
        raise _not_found(name)
    return name.rpartition("-")[2]


def _not_found(name: str) -> ArtifactNotFound:
    return ArtifactNotFound(f"no artifact is called {name[:100]}", resource=name[:100])
