"""Uploads in files of a local folder. On the disk of the store, the file of a complete one is moved into the store."""

import asyncio
import fcntl
import hashlib
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from celeste_image.core.errors import UploadBusy
from celeste_image.store.ages import Ages
from celeste_image.store.files import check_room, file_failures, in_thread
from celeste_image.store.reader import Data
from celeste_image.store.uploads import HEAD_BYTES, UNFINISHED_AGE, Upload, Uploads

__all__ = ["FileUpload", "FileUploads"]

HASH_CHUNK_BYTES = 1 << 20
WRITE_BACK_BYTES = 8 << 20
"""Bytes after which the disk begins to write them: the flush of 64 MiB then takes 15 ms, not 110 (2026-11-30)."""
LOCK_SECONDS = 20.0
"""How long a writer waits for another server that has the upload open, in the same spool."""
LOOK_SECONDS = 0.05


class FileUpload(Upload):
    """An upload in a file. Its bytes are hashed as they arrive; those of earlier connections are hashed at the end.

    Attributes:
        content: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.stem)
        self.content: Path = path
        self._file = -1
        self._hashed = 0  # how many of the first bytes are in the digest
        self._on_its_way = 0  # bytes that the disk writes already

    def load(self) -> None:
        """Opens the file with the bytes of earlier connections; does nothing when it is open.

        Raises:
            OSError: The file can't be opened; BlockingIOError when another server has locked it.
        """
        while self._file < 0:
            file = os.open(self.content, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _leads_to(self.content, file):
                    continue  # another server has just finished it
                found = os.fstat(file)
                if found.st_nlink > 1:  # an artifact has the file too, so nothing may change it
                    _copy(self.content)
                    continue
                if found.st_size != self.size:
                    self._forget_bytes()
                self._file, self.size = file, found.st_size
            finally:
                if self._file != file:
                    os.close(file)

    def append(self, data: Data) -> None:
        """Appends bytes; a failure leaves the size unchanged. Raises OSError."""
        self.load()
        at, rest = self.size, memoryview(data)
        try:
            while rest:
                written = os.pwrite(self._file, rest, at)
                at, rest = at + written, rest[written:]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise
        if self._hashed == self.size:
            self._digest.update(data)
            self._hashed = at
        self.size = at
        if at - self._on_its_way >= WRITE_BACK_BYTES:
            _write_back(self._file, self._on_its_way, at)
            self._on_its_way = at

    def digest(self) -> tuple[str, bytes]:
        """Returns the SHA-256 of the file and its first 16 bytes. Raises OSError."""
        self.load()
        os.ftruncate(self._file, self.size)  # a failed write may have left more bytes
        while chunk := os.pread(self._file, HASH_CHUNK_BYTES, self._hashed):
            self._digest.update(chunk)
            self._hashed += len(chunk)
        return self._digest.hexdigest(), os.pread(self._file, HEAD_BYTES, 0)

    def discard(self) -> None:
        """Discards the bytes, so that writers may start over. Raises OSError."""
        self._forget_bytes()
        if self._file >= 0:
            os.ftruncate(self._file, 0)
        else:
            self.content.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Closes the file if an artifact has it too: the next writer gets a copy."""
        if self._file >= 0 and os.fstat(self._file).st_nlink > 1:
            os.close(self._file)
            self._file = -1

    def close(self) -> None:
        """Closes the file, and removes an empty one. Raises OSError."""
        if self._file < 0:
            return
        try:
            if not self.size and not self.done:  # a new upload may have the path of a finished one
                self.content.unlink(missing_ok=True)
        finally:
            os.close(self._file)
            self._file = -1

    def _forget_bytes(self) -> None:
        self.size = self._hashed = self._on_its_way = 0
        self._digest = hashlib.sha256()


class FileUploads(Uploads[FileUpload]):
    """The uploads in a local folder.

    Args:
        folder: The folder.
        reserve_bytes: Free space that must remain on its disk.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        super().__init__()
        self._folder = folder
        self._reserve_bytes = reserve_bytes

    async def committed(self, owner: str, sha256: str) -> int:
        """Returns how many bytes have arrived. Raises StorageUnavailable."""
        key = self._key(owner, sha256)
        if (upload := self._open.get(key)) and upload.size:
            return upload.size
        with suppress(FileNotFoundError), file_failures():
            return self._path(key).stat().st_size
        return 0

    def finish(self, upload: FileUpload) -> None:
        """Ends an upload whose bytes are stored; the next writer starts a new one."""
        upload.done = True
        self._forget(upload)
        with suppress(OSError):  # a sweep removes it later
            upload.content.unlink(missing_ok=True)

    async def delete(self, owner: str, sha256: str) -> None:
        """Removes an artifact's upload; its writers must start over. Raises StorageUnavailable."""
        key = self._key(owner, sha256)
        with file_failures():
            if upload := self._open.get(key):
                async with upload.lock:
                    await in_thread(upload.discard)
            else:
                self._path(key).unlink(missing_ok=True)

    def sweep(self, ages: Ages) -> int:
        """Removes uploads that were idle for a day; returns how many. Raises StorageUnavailable."""
        deleted = 0
        with file_failures():
            for path in self._folder.glob("*.part"):
                with suppress(FileNotFoundError):
                    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    if path.stem not in self._open and ages.is_old(str(path), changed, UNFINISHED_AGE):
                        path.unlink()
                        deleted += 1
        return deleted

    def _check_room(self) -> None:
        check_room(self._folder, self._reserve_bytes)

    def _new(self, key: str) -> FileUpload:
        return FileUpload(self._path(key))

    async def _load(self, upload: FileUpload) -> None:
        """Opens an upload's file. Raises OSError, and UploadBusy when another server keeps it open."""
        give_up = asyncio.get_running_loop().time() + LOCK_SECONDS
        while True:
            try:
                return await in_thread(upload.load)
            except BlockingIOError as error:
                upload.waited = True
                if asyncio.get_running_loop().time() >= give_up:
                    text = f"another server has had this upload open for {LOCK_SECONDS:g} s"
                    raise UploadBusy(text, retry_after=LOCK_SECONDS / 4) from error
            await asyncio.sleep(LOOK_SECONDS)

    def _leave(self, upload: FileUpload) -> None:
        self._forget(upload)
        with suppress(OSError):  # a sweep removes it later
            upload.close()

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.part"


def _write_back(file: int, start: int, end: int) -> None:
    """Makes the disk begin to write a range of a file, without waiting for it, where the system can."""
    with suppress(OSError, AttributeError):  # Linux drops what is on the disk already, and begins to write the rest
        os.posix_fadvise(file, start, end - start, os.POSIX_FADV_DONTNEED)


def _copy(path: Path) -> None:
    """Replaces a file by a copy. Raises OSError."""
    copy = path.with_name(f"{path.name}.copy.part")  # a sweep knows the suffix
    try:
        shutil.copyfile(path, copy)
        copy.chmod(0o600)
        copy.replace(path)
    except OSError:
        copy.unlink(missing_ok=True)
        raise


def _leads_to(path: Path, file: int) -> bool:
    """Returns whether a path leads to an open file. Raises OSError."""
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(file))
    except FileNotFoundError:
        return False
