"""ArtifactStore: the artifacts of an owner.

A digest is a name, not a permission: every way in asks for the owner, and the same bytes of two owners are kept once
but are two artifacts.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime, timedelta

from celeste_image.core.artifact import Artifact, Lineage, artifact_name, is_artifact_name
from celeste_image.core.errors import ArtifactNotFound, RangeExceeded
from celeste_image.core.media import media_type
from celeste_image.store.blobs import Blobs, digest_of
from celeste_image.store.places import Place
from celeste_image.store.records import Record, Records
from celeste_image.store.uploads import Upload, Uploads

__all__ = ["ArtifactStore"]

HEAD_BYTES = 16


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
        place: Place,
        uploads: Uploads,
        retention_seconds: float = 0.0,
        reserve_bytes: int = 0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._place = place
        self._blobs = Blobs(place)
        self._records = Records(place)
        self._uploads = uploads
        self._retention = timedelta(seconds=retention_seconds) if retention_seconds else None
        self._reserve_bytes = reserve_bytes
        self._now = now

    @property
    def damaged(self) -> int:
        """How many artifacts were found damaged or lost since the start."""
        return self._blobs.damaged

    def check_room(self) -> None:
        """Raises StorageFull or StorageUnavailable when nothing can be stored: ask before work that is paid for."""
        self._place.check_room(self._reserve_bytes)

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
        return self._artifact(await self._records.put(owner, sha256, facts, self._now(), lineage))

    async def get(self, owner: str, name: str) -> bytes:
        """Returns all the bytes of an artifact.

        Raises:
            ArtifactNotFound: The owner has none of this name.
            ArtifactDamaged: What is stored no longer fits the name; it was put out of the way.
            StorageUnavailable: The store can't be read.
        """
        artifact = await self.find(owner, name)
        return await self._blobs.get(artifact.sha256)

    async def find(self, owner: str, name: str) -> Artifact:
        """Returns an artifact with its lineages; its bytes are not looked at.

        Raises:
            ArtifactNotFound: The owner has none of this name.
            StorageUnavailable: The store can't be read.
        """
        record = await self._records.get(owner, _sha256(name))
        if record is None or self._expired(record):
            raise _not_found(name)
        return self._artifact(record)

    async def open(self, owner: str, name: str) -> Artifact:
        """Returns an artifact after its digest was checked. Raises as `get` does."""
        artifact = await self.find(owner, name)
        await self._blobs.check(artifact.sha256)
        return artifact

    async def read(
        self, artifact: Artifact, offset: int = 0, limit: int = 0
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yields an opened artifact's bytes from `offset`, at most `limit` (0 is all), as (offset, chunk).

        Raises:
            RangeExceeded: The offset is beyond the end.
            ArtifactDamaged: The bytes were lost or cut since it was opened.
        """
        size = artifact.size_bytes
        if offset > size:
            metadata = {"limit": str(size), "value": str(offset)}
            raise RangeExceeded(f"offset {offset} is beyond the artifact's {size} bytes", metadata=metadata)
        end = min(size, offset + limit) if limit else size
        async with aclosing(self._blobs.read(artifact.sha256, offset, end)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def missing(self, owner: str, names: Sequence[str]) -> list[str]:
        """Returns those of some names that the owner has no artifact of. Raises StorageUnavailable."""
        return [name for name in names if not await self._has(owner, name)]

    async def owned(self, owner: str, after: str = "") -> AsyncGenerator[Artifact, None]:
        """Yields an owner's artifacts by name, those behind `after`, without lineages. Raises StorageUnavailable."""
        async with aclosing(self._records.digests(owner, _sha256(after) if after else "")) as digests:
            async for sha256 in digests:
                record = await self._records.get(owner, sha256)
                if record is not None and not self._expired(record):
                    yield self._artifact(record, lineages=False)

    async def delete(self, owner: str, name: str) -> None:
        """Deletes an owner's artifact, or what was uploaded of it; the bytes go when nobody owns them any more."""
        sha256 = _sha256(name)
        self._uploads.delete(owner, sha256)
        await self._records.delete(owner, sha256)

    # Uploads

    async def committed(self, owner: str, name: str) -> tuple[int, Artifact | None]:
        """Returns how many bytes of an artifact are there, and the artifact if they are all."""
        try:
            artifact = await self.find(owner, name)
        except ArtifactNotFound:
            return await self._uploads.committed(owner, _sha256(name)), None
        return artifact.size_bytes, artifact

    def upload(self, owner: str, name: str) -> AbstractAsyncContextManager[Upload]:
        """Gives the upload of an artifact to one more writer; see `Uploads.open`."""
        return self._uploads.open(owner, _sha256(name))

    async def write(self, upload: Upload, size_bytes: int, offset: int, data: bytes) -> None:
        """Puts a chunk where it belongs; see `Uploads.write`."""
        await self._uploads.write(upload, size_bytes, offset, data)

    async def finish(self, owner: str, name: str, upload: Upload) -> Artifact:
        """Stores a complete upload and returns its artifact once it is safe.

        Raises:
            DigestMismatch: The bytes do not have the digest in the name; they are discarded.
            StorageFull: There is no room; the upload stays.
            StorageUnavailable: The store can't be written; the upload stays.
        """
        sha256 = _sha256(name)
        async with upload.lock:
            if upload.done:  # another writer of the same bytes was first
                return await self.find(owner, name)
            path = await self._uploads.finish(upload, sha256)
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
            await self._blobs.put(sha256, path)
            facts = {"media_type": media_type(head), "size_bytes": upload.size, "width": 0, "height": 0}
            record = await self._records.put(owner, sha256, facts, self._now(), None)
            upload.done = True
            path.unlink(missing_ok=True)
        return self._artifact(record)

    # Age

    async def sweep(self) -> tuple[int, int, int]:
        """Removes what is too old: artifacts past their time, bytes that nobody owns, uploads that rest.

        Returns:
            How many records, blobs and uploads were removed.
        """
        now = self._now()
        owned, records = await self._records.sweep(now - self._retention if self._retention else None)
        return records, await self._blobs.sweep(owned, now), self._uploads.sweep(now)

    async def _has(self, owner: str, name: str) -> bool:
        try:
            await self.find(owner, name)
        except ArtifactNotFound:
            return False
        return True

    def _expired(self, record: Record) -> bool:
        return self._retention is not None and record.touched + self._retention <= self._now()

    def _artifact(self, record: Record, *, lineages: bool = True) -> Artifact:
        return Artifact(
            name=artifact_name(record.sha256),
            media_type=record.media_type,
            size_bytes=record.size_bytes,
            width=record.width,
            height=record.height,
            created=record.created,
            expires=record.touched + self._retention if self._retention else None,
            lineages=record.lineages if lineages else (),
        )


def _sha256(name: str) -> str:
    if not is_artifact_name(name):
        raise _not_found(name)
    return name.rpartition("-")[2]


def _not_found(name: str) -> ArtifactNotFound:
    return ArtifactNotFound(f"no artifact is called {name[:100]}", resource=name[:100])
