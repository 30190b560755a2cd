"""Uploads: bytes on their way in, in files that a dropped connection leaves where they were."""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from celeste_image.core.artifact import artifact_name
from celeste_image.core.errors import DigestMismatch, InvalidRequest, StorageUnavailable
from celeste_image.store.places import RETRY_SECONDS, check_room, full

__all__ = ["Upload", "Uploads"]

T = TypeVar("T")

HASH_CHUNK_BYTES = 1 << 20
UNFINISHED_AGE = timedelta(hours=24)
"""How long an upload may rest before it is swept."""


class Upload:
    """The bytes of one artifact, as far as they are there. Several writers of the same bytes write into one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.writers = 0
        self.done = False
        self.lock = asyncio.Lock()
        self._digest = hashlib.sha256()

    def load(self) -> None:
        """Reads what an earlier connection left."""
        self.path.touch(mode=0o600)
        with self.path.open("rb") as file:
            while chunk := file.read(HASH_CHUNK_BYTES):
                self._digest.update(chunk)
                self.size += len(chunk)

    def append(self, data: bytes) -> None:
        """Puts bytes to the end; after a failure the end is where it was."""
        with self.path.open("r+b", buffering=0) as file:
            file.seek(self.size)
            try:
                written = 0
                while written < len(data):
                    written += file.write(data[written:])
            except OSError:
                with suppress(OSError):
                    file.truncate(self.size)
                raise
        self._digest.update(data)
        self.size += len(data)

    def close(self) -> str:
        """Brings the bytes to the disk and returns their digest."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Removes the bytes."""
        self.path.unlink(missing_ok=True)
        self.size, self._digest = 0, hashlib.sha256()


class Uploads:
    """The uploads in a folder of this machine.

    Args:
        folder: Where; only this process writes there.
        reserve_bytes: Room that must be left on its disk.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._open: dict[Path, Upload] = {}

    async def committed(self, owner: str, sha256: str) -> int:
        """Returns how many bytes are there."""
        path = self._path(owner, sha256)
        if upload := self._open.get(path):
            return upload.size
        with suppress(FileNotFoundError):
            return path.stat().st_size
        return 0

    @asynccontextmanager
    async def open(self, owner: str, sha256: str) -> AsyncGenerator[Upload, None]:
        """Gives the upload of an artifact to one more writer.

        Raises:
            StorageFull: The disk has no room for uploads.
            StorageUnavailable: It can't be written.
        """
        check_room(self._folder, self._reserve_bytes)
        path = self._path(owner, sha256)
        upload = self._open.get(path)
        if upload is None:
            upload = self._open[path] = Upload(path)
        upload.writers += 1
        try:
            if upload.writers == 1:
                async with upload.lock:
                    await _in_thread(upload.load)
            yield upload
        finally:
            upload.writers -= 1
            if not upload.writers:
                del self._open[path]

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
                await _in_thread(upload.discard)
                raise DigestMismatch.at("chunk.data", f"goes beyond the declared size of {size_bytes:,} bytes")
            new = data[upload.size - offset :]
            if new:
                check_room(self._folder, self._reserve_bytes)
                await _in_thread(upload.append, new)

    async def finish(self, upload: Upload, sha256: str) -> Path:
        """Returns the file of an upload whose bytes are all there and have their digest; the caller holds the lock.

        Raises:
            DigestMismatch: They do not; they are discarded.
        """
        found = await _in_thread(upload.close)
        if found != sha256:
            await _in_thread(upload.discard)
            raise DigestMismatch.at("name", f"is not that of the bytes, {artifact_name(found)}")
        return upload.path

    def delete(self, owner: str, sha256: str) -> None:
        """Removes what is there of an artifact, unless somebody writes it at the moment."""
        path = self._path(owner, sha256)
        if path not in self._open:
            path.unlink(missing_ok=True)

    def sweep(self, now: datetime) -> int:
        """Removes uploads that nobody has written to for a day; returns how many."""
        deleted = 0
        for path in self._folder.glob("*.part"):
            age = now.timestamp() - path.stat().st_mtime
            if path not in self._open and age > UNFINISHED_AGE.total_seconds():
                path.unlink(missing_ok=True)
                deleted += 1
        return deleted

    def _path(self, owner: str, sha256: str) -> Path:
        return self._folder / f"{owner}-{sha256}.part"


async def _in_thread(work: Callable[..., T], *arguments: object) -> T:
    """Runs file work beside the loop, with errors made ours."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full() from error
        raise StorageUnavailable("the artifact store can't be written", retry_after=RETRY_SECONDS) from error
