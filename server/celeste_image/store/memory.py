"""MemoryObjects: objects in this process's memory, up to a number of bytes."""

import asyncio
import errno
import io
import itertools
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore import ObjectMeta

__all__ = ["Growing", "MemoryObjects"]

OBJECT_BYTES = 512
"""What an object takes beside its bytes: its path, its times, its places in a dictionary and a list."""
PAGE_OBJECTS = 50


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    meta: "ObjectMeta"

    async def bytes_async(self) -> bytes:
        return self.data

    async def stream(self, *, min_chunk_size: int) -> AsyncGenerator[bytes, None]:
        for first in range(0, len(self.data), min_chunk_size):
            yield self.data[first : first + min_chunk_size]


class MemoryObjects:
    """What the store uses of obstore's stores, without a copy and without a thread. Paths are listed in order.

    Args:
        most_bytes: Most bytes of all objects together.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._free_bytes = most_bytes
        self._counting = threading.Lock()  # uploads grow in threads
        self._objects: dict[str, _Object] = {}
        self._paths: list[str] = []
        self._tags = itertools.count()

    @property
    def free_bytes(self) -> int:
        """How many bytes there is room for."""
        return self._free_bytes

    def take(self, size_bytes: int) -> None:
        """Counts so many bytes as taken; a negative number gives them back. Raises OSError with ENOSPC."""
        with self._counting:
            if 0 < size_bytes > self._free_bytes:
                raise OSError(errno.ENOSPC, "store.memory_bytes is reached")
            self._free_bytes -= size_bytes

    async def put_async(
        self, path: str, content: "bytes | Path | Growing", *, chunk_size: int = 0, max_concurrency: int = 0
    ) -> None:
        """Stores an object in place of an earlier one. Raises OSError with ENOSPC when there is no room."""
        data = content if isinstance(content, bytes) else await asyncio.to_thread(content.read_bytes)
        counted = content.counted if isinstance(content, Growing) else 0
        earlier = self._objects.get(path)
        more = len(data) - len(earlier.data) if earlier else len(data) + OBJECT_BYTES
        self.take(more - counted)
        if isinstance(content, Growing):
            content.counted = 0
        if not earlier:
            insort(self._paths, path)
        tag = str(next(self._tags))
        meta: ObjectMeta = {
            "path": path,
            "last_modified": datetime.now(UTC),
            "size": len(data),
            "e_tag": tag,
            "version": None,
        }
        self._objects[path] = _Object(data, meta)

    async def get_async(self, path: str) -> _Object:
        """Returns an object. Raises FileNotFoundError."""
        try:
            return self._objects[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    async def get_range_async(self, path: str, *, start: int, end: int) -> memoryview:
        """Returns a view of an object's bytes; it is shorter if they end early. Raises FileNotFoundError."""
        return memoryview((await self.get_async(path)).data)[start:end]

    async def head_async(self, path: str) -> "ObjectMeta":
        """Returns the facts of an object. Raises FileNotFoundError."""
        return (await self.get_async(path)).meta

    async def delete_async(self, path: str) -> None:
        """Deletes an object. Raises FileNotFoundError."""
        self.take(-len((await self.get_async(path)).data) - OBJECT_BYTES)
        del self._objects[path]
        del self._paths[bisect_left(self._paths, path)]

    async def rename_async(self, path: str, target: str) -> None:
        """Renames an object. Raises FileNotFoundError."""
        found = await self.get_async(path)
        await self.delete_async(path)
        await self.put_async(target, found.data)

    async def list(self, prefix: str, *, offset: str | None = None) -> AsyncGenerator[list["ObjectMeta"], None]:
        """Yields the facts of the objects whose paths begin with a prefix, after `offset`, a few at a time."""
        at = bisect_right(self._paths, offset) if offset else bisect_left(self._paths, prefix)
        while paths := [path for path in self._paths[at : at + PAGE_OBJECTS] if path.startswith(prefix)]:
            yield [self._objects[path].meta for path in paths]
            at = bisect_right(self._paths, paths[-1])


class Growing:
    """Bytes that arrive in pieces, in the memory of a store. `MemoryObjects.put_async` stores them without a copy.

    Args:
        objects: What counts them.

    Attributes:
        counted: How many of them are counted; 0 once an object has them.
    """

    def __init__(self, objects: MemoryObjects) -> None:
        self._objects = objects
        self._buffer = io.BytesIO()
        self.counted = 0

    def append(self, data: bytes | memoryview) -> None:
        """Appends bytes. Raises OSError with ENOSPC when there is no room."""
        self._objects.take(len(data))
        self.counted += len(data)
        self._buffer.write(data)

    def head(self, size_bytes: int) -> bytes:
        """Returns the first bytes."""
        return bytes(self._buffer.getbuffer()[:size_bytes])

    def read_bytes(self) -> bytes:
        """Returns all bytes. BytesIO shares them until it is written again."""
        return self._buffer.getvalue()

    def clear(self) -> None:
        """Forgets the bytes, and gives their room back unless an object has them."""
        self._objects.take(-self.counted)
        self._buffer, self.counted = io.BytesIO(), 0
