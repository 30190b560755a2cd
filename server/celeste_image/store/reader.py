"""Reader: reads the parts of one object, and hashes them off the event loop."""

import hashlib
import os

from celeste_image.core.errors import StorageUnavailable
from celeste_image.store.backend import Backend
from celeste_image.store.files import in_thread

__all__ = ["Data", "Reader"]

Data = bytes | memoryview
"""Bytes of an artifact, which nothing changes."""


class Reader:
    """Reads parts of one object. A file is opened once, so that its parts are those of one file.

    Args:
        backend: The store.
        path: The object.
    """

    def __init__(self, backend: Backend, path: str) -> None:
        self._backend = backend
        self._path = path
        self._file = -1

    async def read(self, start: int, end: int, digest: "hashlib._Hash | None") -> Data:
        """Returns a range of bytes, and adds it to a digest; it is shorter if the bytes end early.

        Raises:
            FileNotFoundError: The object is absent.
            StorageUnavailable: The store can't be read.
        """
        if self._backend.folder:
            with self._backend.failures():
                return await in_thread(self._read_file, start, end, digest)
        data = await self._read_object(start, end)
        if digest:
            await in_thread(digest.update, data)
        return data

    def close(self) -> None:
        """Closes the file; no read may be under way."""
        if self._file >= 0:
            os.close(self._file)

    def _read_file(self, start: int, end: int, digest: "hashlib._Hash | None") -> bytes:
        if self._file < 0:
            assert self._backend.folder
            self._file = os.open(self._backend.folder / self._path, os.O_RDONLY)
        data = os.pread(self._file, end - start, start)
        while len(data) < end - start and (more := os.pread(self._file, end - start - len(data), start + len(data))):
            data += more
        if digest:
            digest.update(data)
        return data

    async def _read_object(self, start: int, end: int) -> memoryview:
        objects = self._backend.objects
        try:
            with self._backend.failures():
                return memoryview(await objects.get_range_async(self._path, start=start, end=end))
        except StorageUnavailable:  # stores have no separate error for a range beyond the end
            with self._backend.failures():
                if (await objects.head_async(self._path))["size"] <= start:
                    return memoryview(b"")
            raise
