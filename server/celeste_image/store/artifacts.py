"""ArtifactStore: artifacts on an object store, a folder or the memory.

What was acknowledged is on the disk, and what is handed out has the digest in its name: both are checked here, so
nobody else has to.
"""

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore

from celeste_image.core.errors import ArtifactDamaged, ArtifactNotFound, RangeExceeded, StorageFull
from celeste_image.core.media import media_type

__all__ = ["CHUNK_BYTES", "Artifact", "ArtifactStore", "artifact_name", "open_store"]

CHUNK_BYTES = 1 << 20
"""Bytes of a chunk at most, in reads here and in messages."""

PREFIX = "artifacts/sha256-"
HASH_INLINE_BYTES = 1 << 20
VERIFIED_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Artifact:
    """Stored bytes: their resource name, their media type by content, their size in bytes."""

    name: str
    media_type: str
    size_bytes: int

    @property
    def sha256(self) -> str:
        """Digest of the bytes, 64 hex digits."""
        return self.name.removeprefix(PREFIX)


def artifact_name(sha256: str) -> str:
    """Returns the resource name for a digest of 64 hex digits."""
    return PREFIX + sha256


def open_store(url: str) -> "ArtifactStore":
    """Returns the store at a URL: `memory:///`, or `file:///` with the path of a folder, which is made.

    Raises:
        ValueError: The URL is of another kind.
        OSError: The folder can't be made.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return ArtifactStore(MemoryStore())
    if parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost"):
        folder = Path(url2pathname(parts.path))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return ArtifactStore(LocalStore(folder), folder)
    raise ValueError(f"a store is at memory:/// or file:///FOLDER, not at {url!r}")


class ArtifactStore:
    """Puts bytes in and gets them back, by name.

    Args:
        objects: Where the bytes are kept.
        folder: The same place as a folder, when it is one: it is synced before a put is acknowledged.
    """

    def __init__(self, objects: ObjectStore, folder: Path | None = None) -> None:
        self._objects = objects
        self._folder = folder
        self._verified: OrderedDict[str, str | None] = OrderedDict()  # path -> entity tag when its digest fitted

    async def put(self, data: bytes) -> Artifact:
        """Stores bytes and returns their artifact once they are safe; known bytes are not written again.

        Raises:
            StorageFull: There is no room.
        """
        sha256 = await _digest(data)
        name, path = artifact_name(sha256), _path(sha256)
        if not await self._holds(path, sha256):
            try:
                await self._objects.put_async(path, data)
            except (BaseError, OSError) as error:
                if "os error 28" in str(error) or "No space left" in str(error):
                    raise StorageFull("the artifact store has no room left", retry_after=60) from error
                raise
        if self._folder:  # bytes that were there may be those of a put that is still on its way to the disk
            await asyncio.to_thread(_sync, self._folder, self._folder / path)
        return Artifact(name, media_type(data[:16]), len(data))

    async def get(self, name: str) -> bytes:
        """Returns all the bytes of an artifact.

        Raises:
            ArtifactNotFound: Nothing has this name.
            ArtifactDamaged: What is stored no longer fits the name.
        """
        sha256 = _sha256(name)
        try:
            found = await self._objects.get_async(_path(sha256))
            data = bytes(await found.bytes_async())
        except FileNotFoundError as error:
            raise _not_found(name) from error
        if await _digest(data) != sha256:
            raise _damaged(name)
        return data

    async def open(self, name: str) -> Artifact:
        """Returns an artifact after its digest was checked, from the bytes or since they last changed.

        Raises as `get` does.
        """
        sha256 = _sha256(name)
        path = _path(sha256)
        try:
            meta = await self._objects.head_async(path)
            head = bytes(await self._objects.get_range_async(path, start=0, end=16)) if meta["size"] else b""
            fits = await self._fits(path, sha256, meta["e_tag"])
        except FileNotFoundError as error:
            raise _not_found(name) from error
        if not fits:
            raise _damaged(name)
        return Artifact(name, media_type(head), meta["size"])

    async def read(
        self, artifact: Artifact, offset: int = 0, limit: int = 0
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yields an opened artifact's bytes from `offset`, at most `limit` (0 is all), as (offset, chunk).

        Raises:
            RangeExceeded: The offset is beyond the end.
            ArtifactNotFound: It was removed since it was opened.
            ArtifactDamaged: It became shorter since it was opened.
        """
        size = artifact.size_bytes
        if offset > size:
            metadata = {"limit": str(size), "value": str(offset)}
            raise RangeExceeded(f"offset {offset} is beyond the artifact's {size} bytes", metadata=metadata)
        end = min(size, offset + limit) if limit else size
        path = _path(artifact.sha256)
        while offset < end:
            try:
                chunk = await self._objects.get_range_async(path, start=offset, end=min(end, offset + CHUNK_BYTES))
            except FileNotFoundError as error:
                raise _not_found(artifact.name) from error
            except BaseError as error:
                if (await self._objects.head_async(path))["size"] <= offset:
                    raise _damaged(artifact.name) from error
                raise
            yield offset, bytes(chunk)
            offset += len(chunk)

    async def _holds(self, path: str, sha256: str) -> bool:
        """Tells whether the bytes are there and undamaged."""
        try:
            meta = await self._objects.head_async(path)
            return await self._fits(path, sha256, meta["e_tag"])
        except FileNotFoundError:
            return False

    async def _fits(self, path: str, sha256: str, tag: str | None) -> bool:
        """Tells whether the bytes at `path` have the digest; reads them unless they are as they were when they did."""
        if tag is not None and self._verified.get(path) == tag:
            self._verified.move_to_end(path)
            return True
        digest = hashlib.sha256()
        found = await self._objects.get_async(path)
        async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
            await asyncio.to_thread(digest.update, bytes(chunk))
        if digest.hexdigest() != sha256:
            return False
        self._verified[path] = tag
        if len(self._verified) > VERIFIED_ENTRIES:
            self._verified.popitem(last=False)
        return True


def _path(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256}"


def _sha256(name: str) -> str:
    """Returns the digest in a name. Raises ArtifactNotFound for a name that no artifact can have."""
    sha256 = name.removeprefix(PREFIX)
    if sha256 == name or len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise _not_found(name)
    return sha256


async def _digest(data: bytes) -> str:
    # Hashing releases the GIL; below a megabyte the way to a thread costs more than the work.
    if len(data) < HASH_INLINE_BYTES:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()


def _sync(root: Path, path: Path) -> None:
    """Brings a file and the folders above it, up to `root`, to the disk."""
    for place in (path, *(p for p in path.parents if p.is_relative_to(root))):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _not_found(name: str) -> ArtifactNotFound:
    return ArtifactNotFound(f"no artifact is called {name[:100]}", resource=name[:100])


def _damaged(name: str) -> ArtifactDamaged:
    return ArtifactDamaged(f"the stored bytes of {name} are damaged", resource=name)
