"""Uploads in the memory of a store in memory. Their bytes count there, and become an artifact's without a copy."""

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

from celeste_image.store.ages import Ages, utc_now
from celeste_image.store.files import full
from celeste_image.store.memory import Growing, MemoryObjects
from celeste_image.store.uploads import HEAD_BYTES, UNFINISHED_AGE, Upload, Uploads

if TYPE_CHECKING:
    from celeste_image.store.reader import Data

__all__ = ["MemoryUploads"]


class MemoryUpload(Upload):
    """An upload in memory.

    Attributes:
        content: The bytes.
        changed: When bytes last arrived.
    """

    def __init__(self, key: str, content: Growing) -> None:
        super().__init__(key)
        self.content: Growing = content
        self.changed: datetime = utc_now()

    def append(self, data: "Data") -> None:
        """Appends bytes. Raises OSError with ENOSPC when there is no room."""
        self.content.append(data)
        self._digest.update(data)
        self.size += len(data)
        self.changed = utc_now()

    def digest(self) -> tuple[str, bytes]:
        """Returns the SHA-256 of the bytes, and the first 16 of them."""
        return self._digest.hexdigest(), self.content.head(HEAD_BYTES)

    def discard(self) -> None:
        """Discards the bytes, so that writers may start over."""
        self.content.clear()
        self._digest = hashlib.sha256()
        self.size = 0

    def let_go(self) -> None:
        """Does nothing: an artifact's bytes do not change when the upload's do."""


class MemoryUploads(Uploads[MemoryUpload]):
    """The uploads to a store in memory.

    Args:
        objects: The objects of the store.
        reserve_bytes: Room that must remain there.
    """

    def __init__(self, objects: MemoryObjects, reserve_bytes: int) -> None:
        super().__init__()
        self._objects = objects
        self._reserve_bytes = reserve_bytes

    async def committed(self, owner: str, sha256: str) -> int:
        """Returns how many bytes have arrived."""
        upload = self._open.get(self._key(owner, sha256))
        return upload.size if upload else 0

    def finish(self, upload: MemoryUpload) -> None:
        """Ends an upload whose bytes are stored; the next writer starts a new one."""
        upload.done = True
        self._drop(upload)

    async def delete(self, owner: str, sha256: str) -> None:
        """Removes an artifact's upload; its writers must start over."""
        if upload := self._open.get(self._key(owner, sha256)):
            async with upload.lock:
                upload.discard()
            self._leave(upload)

    def sweep(self, ages: Ages) -> int:
        """Removes uploads that were idle for a day; returns how many."""
        idle = [upload for upload in self._open.values() if not upload.writers]
        old = [upload for upload in idle if ages.is_old(upload.key, upload.changed, UNFINISHED_AGE)]
        for upload in old:
            self._drop(upload)
        return len(old)

    def _check_room(self) -> None:
        if self._objects.free_bytes < self._reserve_bytes:
            raise full()

    def _new(self, key: str) -> MemoryUpload:
        return MemoryUpload(key, Growing(self._objects))

    async def _load(self, upload: MemoryUpload) -> None:
        pass

    def _leave(self, upload: MemoryUpload) -> None:
        if not upload.writers and not upload.size:
            self._forget(upload)

    def _drop(self, upload: MemoryUpload) -> None:
        self._forget(upload)
        upload.content.clear()
