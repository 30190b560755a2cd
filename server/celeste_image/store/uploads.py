"""Uploads: bytes on their way in, in files that a dropped connection leaves where they were."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from celeste_image.core.artifact import artifact_name
from celeste_image.core.errors import DigestMismatch, InvalidRequest
from celeste_image.store.files import check_room, file_failures, in_thread
from celeste_image.store.index import check_owner

__all__ = ["Upload", "Uploads"]

HEAD_BYTES = 16
HASH_CHUNK_BYTES = 1 << 20
UNFINISHED_AGE = timedelta(hours=24)
"""How long an upload may rest before it is swept."""


class Upload:
    """The bytes of one artifact, as far as they are there. Several writers of the same bytes write into one.

    Attributes:
        size: Bytes that are there.
        writers: How many write at the moment.
        done: Whether the bytes are an artifact; writers that came later than the one who finished have no more to do.
        lock: Whoever changes the bytes holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.writers = 0
        self.done = False
        self.lock = asyncio.Lock()
        self._file = -1

    def load(self) -> None:
        """Takes up what an earlier connection left; does nothing when that is done.

        Raises:
            OSError: The file can't be had; BlockingIOError when another server has it.
        """
        while self._file < 0:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file).st_nlink:  # else the other server has just finished
                    self._file, self.size = file, os.fstat(file).st_size
            finally:
                if self._file != file:
                    os.close(file)

    def append(self, data: bytes) -> None:
        """Puts bytes to the end; after a failure the end is where it was. Raises OSError."""
        at, rest = self.size, memoryview(data)
        try:
            while rest:
                written = os.pwrite(self._file, rest, at)
                at, rest = at + written, rest[written:]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise
        self.size = at

    def digest(self) -> tuple[str, bytes]:
        """Returns the digest of the bytes in the file, and the first 16. Raises OSError."""
        os.ftruncate(self._file, self.size)  # a failure may have left more
        digest, at = hashlib.sha256(), 0
        while chunk := os.pread(self._file, HASH_CHUNK_BYTES, at):
            digest.update(chunk)
            at += len(chunk)
        return digest.hexdigest(), os.pread(self._file, HEAD_BYTES, 0)

    def discard(self) -> None:
        """Drops the bytes; writers may begin again. Raises OSError."""
        self.size = 0
        if self._file >= 0:
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Leaves the file for the next writer, if there is anything in it. Raises OSError."""
        if self._file < 0:
            return
        try:
            if not self.size and not self.done:  # the path of one that is done may be another's by now
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self._file)
            self._file = -1


class Uploads:
    """The uploads in a folder of this machine.

    Args:
        folder: Where.
        reserve_bytes: Room that must be left on its disk.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._open: dict[Path, Upload] = {}

    async def committed(self, owner: str, sha256: str) -> int:
        """Returns how many bytes are there. Raises StorageUnavailable."""
        path = self._path(owner, sha256)
        if (upload := self._open.get(path)) and upload.size:
            return upload.size
        with suppress(FileNotFoundError), file_failures():
            return path.stat().st_size
        return 0

    @asynccontextmanager
    async def open(self, owner: str, sha256: str) -> AsyncGenerator[Upload, None]:
        """Gives the upload of an artifact to one more writer.

        Raises:
            StorageFull: The disk has no room for uploads.
            StorageUnavailable: It can't be written, or another server has this upload.
        """
        check_room(self._folder, self._reserve_bytes)
        path = self._path(owner, sha256)
        upload = self._open.setdefault(path, Upload(path))
        upload.writers += 1
        try:
            async with upload.lock:
                with file_failures():
                    await in_thread(upload.load)
            yield upload
        finally:
            upload.writers -= 1
            if not upload.writers:
                self._forget(upload)
                with suppress(OSError):  # what could not be removed is swept
                    upload.close()

    async def write(self, upload: Upload, size_bytes: int, offset: int, data: bytes) -> None:
        """Puts a chunk where it belongs; bytes that are there already are ignored.

        Raises:
            InvalidRequest: It begins beyond what is there.
            DigestMismatch: It goes beyond the declared size; the upload is discarded.
            StorageFull: There is no room; what was there stays.
            StorageUnavailable: It can't be written; what was there stays.
        """
        async with upload.lock:
            if upload.done:  # another writer was first: these bytes are there
                return
            if offset > upload.size:
                text = f"begins beyond the {upload.size:,} bytes that are there, is {offset:,}"
                raise InvalidRequest.at("chunk.offset", text, committed_size_bytes=upload.size)
            if offset + len(data) > size_bytes:
                with file_failures():
                    await in_thread(upload.discard)
                raise DigestMismatch.at("chunk.data", f"goes beyond the declared size of {size_bytes:,} bytes")
            new = data[upload.size - offset :]
            if new:
                check_room(self._folder, self._reserve_bytes)
                with file_failures():
                    await in_thread(upload.append, new)

    async def check(self, upload: Upload, sha256: str, size_bytes: int) -> bytes:
        """Returns the first 16 bytes of an upload that is all there and has its digest; the caller holds the lock.

        Raises:
            InvalidRequest: Another writer's bytes were wrong, and all were discarded.
            DigestMismatch: The bytes have another digest or size; they are discarded.
            StorageUnavailable: They can't be read.
        """
        if upload.size < size_bytes:
            text = "has to begin again: other calls wrote the same artifact, and what they wrote was discarded"
            raise InvalidRequest.at("chunk.offset", text, committed_size_bytes=upload.size)
        with file_failures():
            found, head = await in_thread(upload.digest)
            if found == sha256 and upload.size == size_bytes:
                return head
            size = upload.size
            await in_thread(upload.discard)
        if found != sha256:
            raise DigestMismatch.at("name", f"is not that of the bytes, {artifact_name(found)}")
        raise DigestMismatch.at("size_bytes", f"is not that of the bytes, {size:,}")

    def finish(self, upload: Upload) -> None:
        """Ends an upload whose bytes are an artifact; who comes now begins another one."""
        upload.done = True
        self._forget(upload)
        with suppress(OSError):  # swept later
            upload.path.unlink(missing_ok=True)

    async def delete(self, owner: str, sha256: str) -> None:
        """Removes what is there of an artifact; whoever writes it has to begin again. Raises StorageUnavailable."""
        path = self._path(owner, sha256)
        with file_failures():
            if upload := self._open.get(path):
                async with upload.lock:
                    await in_thread(upload.discard)
            else:
                path.unlink(missing_ok=True)

    def sweep(self, now: datetime) -> int:
        """Removes uploads that nobody has written to for a day; returns how many. Raises StorageUnavailable."""
        deleted = 0
        with file_failures():
            for path in self._folder.glob("*.part"):
                with suppress(FileNotFoundError):
                    age = now.timestamp() - path.stat().st_mtime
                    if path not in self._open and age > UNFINISHED_AGE.total_seconds():
                        path.unlink()
                        deleted += 1
        return deleted

    def _forget(self, upload: Upload) -> None:
        if self._open.get(upload.path) is upload:
            del self._open[upload.path]

    def _path(self, owner: str, sha256: str) -> Path:
        return self._folder / f"{check_owner(owner)}-{sha256}.part"
