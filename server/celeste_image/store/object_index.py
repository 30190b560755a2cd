"""ObjectIndex: each entry is a small JSON object in the store. For memory and S3."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

import orjson

from celeste_image.core.artifact import artifact_name, is_artifact_name
from celeste_image.core.errors import ArtifactDamaged
from celeste_image.store.ages import Ages
from celeste_image.store.backend import AT_ONCE, Backend
from celeste_image.store.index import (
    Entry,
    check_owner,
    damaged,
    lineages_from_json,
    lineages_to_json,
    merged,
    tell_expired,
)

__all__ = ["ObjectIndex", "digest_at", "entry_from_json"]


class ObjectIndex:
    """The entries of all owners, as objects; see `Index`.

    `touched` is the object's own time of last change, so a sweep finds expired entries without reading them. Changes of
    an entry hold its lock.
    """

    small_bytes = 0

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._objects = backend.objects
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, owner: str, sha256: str) -> Entry | None:
        """Returns an entry; see `Index.get`."""
        try:
            with self._backend.failures():
                found = await self._objects.get_async(_path(owner, sha256))
                data = bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        try:
            return entry_from_json(sha256, orjson.loads(data), found.meta["last_modified"])
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(sha256, error) from error

    async def put(self, owner: str, entry: Entry, expired: datetime | None = None, small: bytes | None = None) -> Entry:
        """Stores an entry; see `Index.put`."""
        path = _path(owner, entry.sha256)
        async with self._lock(path):
            try:
                known = await self.get(owner, entry.sha256)
            except ArtifactDamaged:
                known = None
            entry = merged(entry, known, expired)
            await self._backend.put(path, _encode(entry))
            return entry

    async def delete(self, owner: str, sha256: str) -> None:
        """Deletes an entry; see `Index.delete`."""
        path = _path(owner, sha256)
        async with self._lock(path):
            await self._backend.delete(path)

    async def entries(self, owner: str, after: str = "") -> AsyncGenerator[Entry, None]:
        """Yields an owner's entries; see `Index.entries`. S3 and memory list names in order, so a page reads a page."""
        prefix = f"records/{check_owner(owner)}/"
        digests: list[str] = []
        async with aclosing(self._backend.list(prefix, f"{prefix}{after}.json" if after else None)) as listed:
            async for meta in listed:
                if digest := digest_at(str(meta["path"])):
                    digests.append(digest)
                if len(digests) == AT_ONCE:
                    for entry in await self._read(owner, digests):
                        yield entry
                    digests.clear()
        for entry in await self._read(owner, digests):
            yield entry

    async def sweep(self, ages: Ages, retention: timedelta | None) -> tuple[set[str], int, int]:
        """Deletes old entries; see `Index.sweep`."""
        owned: set[str] = set()
        deleted = expired = 0
        async for meta in self._backend.list("records/"):
            path, sha256 = str(meta["path"]), digest_at(str(meta["path"]))
            if not sha256:
                continue
            if retention is not None and meta["last_modified"] <= ages.horizon(retention):
                expired += 1
                if ages.is_old(path, meta["last_modified"], retention):
                    async with self._lock(path):
                        if await self._backend.changed(path) == meta["last_modified"]:  # not since it was listed
                            await self._backend.delete(path)
                            deleted += 1
                            continue
            owned.add(sha256)
        tell_expired(ages, expired, deleted, len(owned))
        return owned, deleted, 0

    async def _read(self, owner: str, digests: Sequence[str]) -> list[Entry]:
        found = await asyncio.gather(*(self._backend.in_turn(self._known, owner, digest) for digest in digests))
        return [entry for entry in found if entry]

    async def _known(self, owner: str, sha256: str) -> Entry | None:
        try:
            return await self.get(owner, sha256)
        except ArtifactDamaged:
            return None

    def _lock(self, path: str) -> asyncio.Lock:
        return self._locks.setdefault(path, asyncio.Lock())


def _path(owner: str, sha256: str) -> str:
    return f"records/{check_owner(owner)}/{sha256}.json"


def digest_at(path: str) -> str:
    """Returns the digest of the entry at a path; empty for a foreign object."""
    name = path.rpartition("/")[2]
    sha256 = name.removesuffix(".json")
    return sha256 if sha256 != name and is_artifact_name(artifact_name(sha256)) else ""


def _encode(entry: Entry) -> bytes:
    facts = {name: getattr(entry, name) for name in ("media_type", "size_bytes", "width", "height")}
    values = {"created": entry.created.isoformat(), "lineages": lineages_to_json(entry.lineages)}
    return orjson.dumps(facts | values)


def entry_from_json(sha256: str, values: dict[str, Any], touched: datetime) -> Entry:
    """Returns the entry of a JSON object. Raises ValueError, KeyError or TypeError when the object is malformed."""
    return Entry(
        sha256=sha256,
        media_type=str(values["media_type"]),
        size_bytes=int(values["size_bytes"]),
        width=int(values["width"]),
        height=int(values["height"]),
        created=datetime.fromisoformat(values["created"]),
        touched=touched,
        lineages=lineages_from_json(values["lineages"]),
    )
