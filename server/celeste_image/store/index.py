"""Index: which owner has which artifacts, and their facts. Each entry is a small JSON object in the store."""

import asyncio
import json
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

import structlog

from celeste_image.core.artifact import Lineage, artifact_name, is_artifact_name
from celeste_image.core.errors import ArtifactDamaged
from celeste_image.store.ages import Ages
from celeste_image.store.backend import Backend

__all__ = ["Entry", "Index", "check_owner"]

log = structlog.get_logger("celeste_image.store")

LINEAGES = 20
"""Lineages that an entry keeps, the latest first."""
OWNER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_owner(owner: str) -> str:
    """Returns an owner whose name is safe as a folder name. Raises ValueError for any other."""
    if not OWNER.fullmatch(owner):
        raise ValueError("the name of an owner has 1 to 64 of a-z, 0-9, _ and -")
    return owner


@dataclass(frozen=True, slots=True)
class Entry:
    """An owner's artifact.

    Attributes:
        sha256: Digest of the bytes, 64 hex digits.
        media_type: MIME type, from the first bytes.
        size_bytes: Size.
        width: In pixels; 0 when unknown.
        height: In pixels; 0 when unknown.
        created: When the bytes were first stored.
        touched: When the bytes were last stored; expiry counts from then.
        lineages: How the bytes were made, the latest first.
    """

    sha256: str
    media_type: str
    size_bytes: int
    width: int
    height: int
    created: datetime
    touched: datetime
    lineages: tuple[Lineage, ...] = ()


class Index:
    """The entries of all owners.

    `touched` is the object's own time of last change, so a sweep finds expired entries without reading them. Changes of
    an entry hold its lock.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._objects = backend.objects
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, owner: str, sha256: str) -> Entry | None:
        """Returns an entry; None when the owner has no artifact of this digest.

        Raises:
            ArtifactDamaged: The entry can't be parsed: the disk damaged it.
            StorageUnavailable: The store can't be read.
        """
        try:
            with self._backend.failures():
                found = await self._objects.get_async(_path(owner, sha256))
                data = bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        try:
            return _decode(sha256, json.loads(data), found.meta["last_modified"])
        except (ValueError, KeyError, TypeError) as error:
            name = artifact_name(sha256)
            log.error("index entry damaged", artifact=name, error=type(error).__name__)
            raise ArtifactDamaged(f"the index entry of {name} is damaged", resource=name) from error

    async def put(self, owner: str, entry: Entry, expired: datetime | None = None) -> Entry:
        """Stores an entry, merged with the owner's earlier entry of the same digest, and returns the result.

        The result keeps the earlier creation time and lineages, and the earlier size in pixels if the new one is
        unknown.

        Args:
            owner: The artifact's owner.
            entry: The new entry.
            expired: An earlier entry last touched at or before this time is ignored; None means that none expires.

        Raises:
            StorageFull: The store has no room.
            StorageUnavailable: The store can't be written.
        """
        path = _path(owner, entry.sha256)
        async with self._lock(path):
            try:
                known = await self.get(owner, entry.sha256)
            except ArtifactDamaged:
                known = None
            if known and not (expired and known.touched <= expired):
                entry = replace(
                    entry,
                    width=entry.width or known.width,  # an upload has no size in pixels
                    height=entry.height or known.height,
                    created=known.created,
                    lineages=(entry.lineages + known.lineages)[:LINEAGES],
                )
            await self._backend.put(path, _encode(entry))
            return entry

    async def delete(self, owner: str, sha256: str) -> None:
        """Deletes an entry durably; an absent one is no error. Raises StorageUnavailable."""
        path = _path(owner, sha256)
        async with self._lock(path):
            if await self._backend.delete(path):
                await self._backend.sync(path.rpartition("/")[0])

    async def digests(self, owner: str, after: str = "") -> list[str]:
        """Returns an owner's digests after `after`, sorted. Raises StorageUnavailable."""
        prefix = f"records/{check_owner(owner)}/"
        offset = f"{prefix}{after}.json" if after else None
        found = [_digest(str(meta["path"])) async for meta in self._backend.list(prefix, offset)]
        return sorted(filter(None, found))

    async def sweep(self, ages: Ages, retention: timedelta | None) -> tuple[set[str], int]:
        """Deletes the entries that are older than the retention; None deletes none.

        The log warns when every entry is expired: after a restart, a wrong clock looks like that.

        Returns:
            The digests that still have an owner, and how many entries were deleted.

        Raises:
            StorageUnavailable: The store can't be read or written.
        """
        owned: set[str] = set()
        deleted = expired = 0
        async for meta in self._backend.list("records/"):
            path, sha256 = str(meta["path"]), _digest(str(meta["path"]))
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
        if expired > deleted:
            told = log.warning if expired == len(owned) + deleted else log.info
            told("expired artifacts are deleted by the next sweep", artifacts=expired - deleted, time=str(ages.now()))
        return owned, deleted

    def _lock(self, path: str) -> asyncio.Lock:
        return self._locks.setdefault(path, asyncio.Lock())


def _path(owner: str, sha256: str) -> str:
    return f"records/{check_owner(owner)}/{sha256}.json"


def _digest(path: str) -> str:
    """Returns the digest of the entry at a path; empty for a foreign object."""
    name = path.rpartition("/")[2]
    sha256 = name.removesuffix(".json")
    return sha256 if sha256 != name and is_artifact_name(artifact_name(sha256)) else ""


def _encode(entry: Entry) -> bytes:
    lineages = [
        {
            "request_id": lineage.request_id,
            "operation": lineage.operation,
            "model": lineage.model,
            "time": lineage.time.isoformat(),
            "seed": lineage.seed,
            "parents": lineage.parents,
        }
        for lineage in entry.lineages
    ]
    facts = {name: getattr(entry, name) for name in ("media_type", "size_bytes", "width", "height")}
    return json.dumps(facts | {"created": entry.created.isoformat(), "lineages": lineages}).encode()


def _decode(sha256: str, values: dict[str, Any], touched: datetime) -> Entry:
    """Returns the entry of a JSON object. Raises ValueError, KeyError or TypeError when the object is malformed."""
    return Entry(
        sha256=sha256,
        media_type=str(values["media_type"]),
        size_bytes=int(values["size_bytes"]),
        width=int(values["width"]),
        height=int(values["height"]),
        created=datetime.fromisoformat(values["created"]),
        touched=touched,
        lineages=tuple(
            Lineage(
                request_id=value["request_id"],
                operation=value["operation"],
                model=value["model"],
                time=datetime.fromisoformat(value["time"]),
                seed=value["seed"],
                parents=tuple(value["parents"]),
            )
            for value in values["lineages"]
        ),
    )
