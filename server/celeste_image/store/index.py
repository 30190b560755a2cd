"""Records: who owns which bytes, and what is known of them. One small JSON object each, beside the bytes."""

import asyncio
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

import structlog

from celeste_image.core.artifact import Lineage, artifact_name, is_artifact_name
from celeste_image.core.errors import ArtifactDamaged
from celeste_image.store.backend import Backend

__all__ = ["Entry", "Index", "check_owner"]

log = structlog.get_logger("celeste_image.store")

LINEAGES = 20
OWNER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_owner(owner: str) -> str:
    """Returns an owner that can be a folder: one alphabet, so that none is inside another's. Raises ValueError."""
    if not OWNER.fullmatch(owner):
        raise ValueError("an owner of artifacts is 1 to 64 of a-z, 0-9, _ and -")
    return owner


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of an owner's bytes; `touched` is when they were last stored."""

    sha256: str
    media_type: str
    size_bytes: int
    width: int
    height: int
    created: datetime
    touched: datetime
    lineages: tuple[Lineage, ...] = ()


class Index:
    """The records of all owners.

    The store's own time of last change says when bytes were last stored: expiry needs no look inside. Changes of one
    record take turns.
    """

    def __init__(self, place: Backend) -> None:
        self._place = place
        self._objects = place.objects
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, owner: str, sha256: str) -> Entry | None:
        """Returns a record, None when the owner has none for this digest.

        Raises:
            ArtifactDamaged: It can't be understood: a disk lost it, not us.
            StorageUnavailable: The store can't be read.
        """
        try:
            with self._place.failures():
                found = await self._objects.get_async(_path(owner, sha256))
                data = bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        try:
            return _decode(sha256, json.loads(data), found.meta["last_modified"])
        except (ValueError, KeyError, TypeError) as error:
            name = artifact_name(sha256)
            log.error("damaged record", artifact=name, error=type(error).__name__)
            raise ArtifactDamaged(f"what was known of {name} is damaged", resource=name) from error

    async def put(
        self,
        owner: str,
        sha256: str,
        facts: dict[str, Any],
        now: datetime,
        lineage: Lineage | None,
        before: datetime | None = None,
    ) -> Entry:
        """Makes or renews a record, with one more lineage.

        Args:
            owner: Whose it is.
            sha256: Of what.
            facts: The fields of a record from its media type to its height.
            now: When.
            lineage: How the bytes were made, if they were.
            before: Records last touched by then have expired and are forgotten.

        Raises:
            StorageFull: There is no room.
            StorageUnavailable: The store can't be written.
        """
        path = _path(owner, sha256)
        async with self._lock(path):
            try:
                known = await self.get(owner, sha256)
            except ArtifactDamaged:
                known = None
            if known and before and known.touched <= before:
                known = None
            lineages = ((lineage,) if lineage else ()) + (known.lineages if known else ())
            record = Entry(
                sha256=sha256,
                media_type=facts["media_type"],
                size_bytes=facts["size_bytes"],
                # An upload knows no size, but forgets none.
                width=facts["width"] or (known.width if known else 0),
                height=facts["height"] or (known.height if known else 0),
                created=known.created if known else now,
                touched=now,
                lineages=lineages[:LINEAGES],
            )
            await self._place.put(path, _encode(record))
            return record

    async def delete(self, owner: str, sha256: str) -> None:
        """Deletes a record, if there is one; returns once it can't come back. Raises StorageUnavailable."""
        path = _path(owner, sha256)
        async with self._lock(path):
            if await self._place.delete(path):
                await self._place.sync(path.rpartition("/")[0])

    async def digests(self, owner: str, after: str = "") -> list[str]:
        """Returns an owner's digests in their order, those behind `after`. Raises StorageUnavailable."""
        prefix = f"records/{check_owner(owner)}/"
        offset = f"{prefix}{after}.json" if after else None
        found = [_digest(str(meta["path"])) async for meta in self._place.list(prefix, offset)]
        return sorted(filter(None, found))

    async def sweep(self, before: datetime | None) -> tuple[set[str], int]:
        """Deletes the records last touched by a time (None: none are).

        Returns:
            The digests left, and how many were deleted.
        """
        owned: set[str] = set()
        deleted = 0
        async for meta in self._place.list("records/"):
            path, sha256 = str(meta["path"]), _digest(str(meta["path"]))
            if not sha256:
                continue
            if before is not None and meta["last_modified"] <= before:
                async with self._lock(path):
                    changed = await self._place.changed(path)  # since it was listed
                    if changed and changed <= before:
                        await self._place.delete(path)
                        deleted += 1
                        continue
            owned.add(sha256)
        return owned, deleted

    def _lock(self, path: str) -> asyncio.Lock:
        return self._locks.setdefault(path, asyncio.Lock())


def _path(owner: str, sha256: str) -> str:
    return f"records/{check_owner(owner)}/{sha256}.json"


def _digest(path: str) -> str:
    """Returns whose digest a record is of; empty for what is no record."""
    name = path.rpartition("/")[2]
    sha256 = name.removesuffix(".json")
    return sha256 if sha256 != name and is_artifact_name(artifact_name(sha256)) else ""


def _encode(record: Entry) -> bytes:
    lineages = [
        {
            "request_id": lineage.request_id,
            "operation": lineage.operation,
            "model": lineage.model,
            "time": lineage.time.isoformat(),
            "seed": lineage.seed,
            "parents": lineage.parents,
        }
        for lineage in record.lineages
    ]
    facts = {name: getattr(record, name) for name in ("media_type", "size_bytes", "width", "height")}
    return json.dumps(facts | {"created": record.created.isoformat(), "lineages": lineages}).encode()


def _decode(sha256: str, values: dict[str, Any], touched: datetime) -> Entry:
    """Returns the record of a JSON object. Raises ValueError, KeyError or TypeError when it is none."""
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
