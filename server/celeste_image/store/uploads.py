"""Resumable uploads, so a dropped connection loses nothing: what those in files and those in memory have in common."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Generic, TypeVar

from celeste_image.core.artifact import artifact_name
from celeste_image.core.errors import DigestMismatch, InvalidRequest
from celeste_image.store.ages import Ages
from celeste_image.store.backend import Content
from celeste_image.store.files import file_failures, in_thread
from celeste_image.store.index import check_owner
from celeste_image.store.reader import Data

__all__ = ["HEAD_BYTES", "UNFINISHED_AGE", "Upload", "Uploads"]

HEAD_BYTES = 16
UNFINISHED_AGE = timedelta(hours=24)
"""How long an upload may be idle before a sweep removes it."""


class Upload(ABC):
    """The bytes of an artifact that have arrived so far. Concurrent writers of the same artifact share one upload.

    Args:
        key: Its name among the uploads.

    Attributes:
        key: See above.
        content: What the store gets when the upload is complete.
        size: Bytes that have arrived.
        writers: Writers that have the upload open.
        done: Whether the bytes are stored as an artifact; then the other writers are finished too.
        waited: Whether another server had the upload open, and may have stored the artifact.
        lock: Held during every change of the bytes.
    """

    content: Content

    def __init__(self, key: str) -> None:
        self.key = key
        self.size = 0
        self.writers = 0
        self.done = self.waited = False
        self.lock = asyncio.Lock()
        self._digest = hashlib.sha256()

    @abstractmethod
    def append(self, data: Data) -> None:
        """Appends bytes; a failure leaves the size unchanged. Raises OSError."""

    @abstractmethod
    def digest(self) -> tuple[str, bytes]:
        """Returns the SHA-256 of the bytes, and the first 16 of them. Raises OSError."""

    @abstractmethod
    def discard(self) -> None:
        """Discards the bytes, so that writers may start over. Raises OSError."""

    @abstractmethod
    def let_go(self) -> None:
        """Keeps later writers away from a file that an artifact may have too."""


U = TypeVar("U", bound=Upload)


class Uploads(ABC, Generic[U]):
    """The uploads that are not complete."""

    def __init__(self) -> None:
        self._open: dict[str, U] = {}

    @abstractmethod
    async def committed(self, owner: str, sha256: str) -> int:
        """Returns how many bytes have arrived. Raises StorageUnavailable."""

    @asynccontextmanager
    async def open(self, owner: str, sha256: str) -> AsyncGenerator[U, None]:
        """Opens an artifact's upload for one more writer, after waiting for another server that has it open.

        Raises:
            StorageFull: There is no room for uploads.
            StorageUnavailable: The upload can't be written.
            UploadBusy: Another server keeps it open.
        """
        self._check_room()
        key = self._key(owner, sha256)
        upload = self._open.setdefault(key, self._new(key))
        upload.writers += 1
        try:
            async with upload.lock:
                with file_failures():
                    await self._load(upload)
            yield upload
        finally:
            upload.writers -= 1
            if not upload.writers:
                self._leave(upload)

    async def write(self, upload: U, size_bytes: int, offset: int, data: Data) -> None:
        """Writes a chunk at its offset; bytes that have arrived already are ignored.

        Raises:
            InvalidRequest: The chunk begins beyond the bytes that have arrived.
            DigestMismatch: The chunk ends beyond the declared size; the upload is discarded.
            StorageFull: There is no room; earlier bytes stay.
            StorageUnavailable: The upload can't be written; earlier bytes stay.
        """
        async with upload.lock:
            if upload.done:  # another writer finished it
                return
            if offset > upload.size:
                text = f"must be at most {upload.size:,}, the bytes that have arrived; is {offset:,}"
                raise InvalidRequest.at("chunk.offset", text, committed_size_bytes=upload.size)
            if offset + len(data) > size_bytes:
                with file_failures():
                    await in_thread(upload.discard)
                raise DigestMismatch.at("chunk.data", f"ends beyond the declared size of {size_bytes:,} bytes")
            new = data[upload.size - offset :]
            if new:
                self._check_room()
                with file_failures():
                    await in_thread(upload.append, new)

    async def check(self, upload: U, sha256: str, size_bytes: int, doubt_seconds: float) -> bytes:
        """Returns the first 16 bytes of a complete upload after checking its digest. The caller holds the lock.

        Args:
            upload: The upload.
            sha256: Its digest.
            size_bytes: Its size.
            doubt_seconds: How long wrong bytes stay, in which a cancellation may still say that they are only a part.

        Raises:
            InvalidRequest: Another writer's bytes were wrong, so all bytes were discarded.
            DigestMismatch: The bytes have another digest or size; they are discarded.
            StorageUnavailable: The bytes can't be read.
        """
        if upload.size < size_bytes:
            text = "must start over: other calls uploaded wrong bytes for this artifact, so all were discarded"
            raise InvalidRequest.at("chunk.offset", text, committed_size_bytes=upload.size)
        with file_failures():
            found, head = await in_thread(upload.digest)
            if found == sha256 and upload.size == size_bytes:
                return head
            size = upload.size
            await asyncio.sleep(doubt_seconds)
            await in_thread(upload.discard)
        if found != sha256:
            raise DigestMismatch.at("name", f"does not match the bytes, which are {artifact_name(found)}")
        raise DigestMismatch.at("size_bytes", f"does not match the bytes, which are {size:,}")

    @abstractmethod
    def finish(self, upload: U) -> None:
        """Ends an upload whose bytes are stored; the next writer starts a new one."""

    @abstractmethod
    async def delete(self, owner: str, sha256: str) -> None:
        """Removes an artifact's upload; its writers must start over. Raises StorageUnavailable."""

    @abstractmethod
    def sweep(self, ages: Ages) -> int:
        """Removes uploads that were idle for a day; returns how many. Raises StorageUnavailable."""

    @abstractmethod
    def _check_room(self) -> None:
        """Raises StorageFull or StorageUnavailable when no bytes can be added."""

    @abstractmethod
    def _new(self, key: str) -> U:
        """Returns an upload without bytes."""

    @abstractmethod
    async def _load(self, upload: U) -> None:
        """Finds the bytes of earlier connections. Raises OSError, and UploadBusy."""

    @abstractmethod
    def _leave(self, upload: U) -> None:
        """Is called after the last writer."""

    def _forget(self, upload: U) -> None:
        if self._open.get(upload.key) is upload:
            del self._open[upload.key]

    @staticmethod
    def _key(owner: str, sha256: str) -> str:
        return f"{check_owner(owner)}-{sha256}"
