"""Records: who owns which bytes, and what is known of them. One small JSON object each, beside the bytes."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from celeste_image.core.artifact import Lineage
from celeste_image.store.places import Place

__all__ = ["Record", "Records"]

LINEAGES = 20


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of an owner's bytes; `touched` is when they were last stored."""

    sha256: str
    media_type: str
    size_bytes: int
    width: int
    height: int
    created: datetime
    touched: datetime
    lineages: tuple[Lineage, ...] = ()


class Records:
    """The records of all owners.

    The store's own time of last change says when bytes were last stored: expiry needs no look inside.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._objects = place.objects
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, owner: str, sha256: str) -> Record | None:
        """Returns a record, None when the owner has none for this digest. Raises StorageUnavailable."""
        try:
            with self._place.failures():
                found = await self._objects.get_async(_path(owner, sha256))
                data = bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        return _decode(sha256, json.loads(data), found.meta["last_modified"])

    async def put(
        self, owner: str, sha256: str, facts: dict[str, Any], now: datetime, lineage: Lineage | None
    ) -> Record:
        """Makes or renews a record, with one more lineage. Raises StorageFull, StorageUnavailable."""
        path = _path(owner, sha256)
        lock = self._locks.setdefault(path, asyncio.Lock())
        async with lock:
            known = await self.get(owner, sha256)
            lineages = ((lineage,) if lineage else ()) + (known.lineages if known else ())
            known_size = {"width": known.width, "height": known.height} if known else {}
            record = _decode(
                sha256,
                known_size
                | {name: value for name, value in facts.items() if value or name not in known_size}
                | {"created": (known.created if known else now).isoformat()},
                now,
                lineages[:LINEAGES],
            )
            with self._place.failures():
                await self._objects.put_async(path, _encode(record))
            return record

    async def delete(self, owner: str, sha256: str) -> None:
        """Deletes a record, if there is one. Raises StorageUnavailable."""
        try:
            with self._place.failures():
                await self._objects.delete_async(_path(owner, sha256))
        except FileNotFoundError:
            return

    async def digests(self, owner: str, after: str = "") -> AsyncGenerator[str, None]:
        """Yields an owner's digests in their order, those behind `after`."""
        prefix = f"records/{owner}/"
        offset = f"{prefix}{after}.json" if after else None
        found: list[str] = []
        async for page in self._objects.list(prefix, offset=offset):
            found += [_digest(str(meta["path"])) for meta in page]
        for sha256 in sorted(found):
            yield sha256

    async def sweep(self, before: datetime | None) -> tuple[set[str], int]:
        """Deletes the records last touched before a time (None: none are); returns the digests left, and how many."""
        owned: set[str] = set()
        deleted = 0
        async for page in self._objects.list("records/"):
            for meta in page:
                if before is not None and meta["last_modified"] < before:
                    await self._objects.delete_async(str(meta["path"]))
                    deleted += 1
                else:
                    owned.add(_digest(str(meta["path"])))
        return owned, deleted


def _path(owner: str, sha256: str) -> str:
    return f"records/{owner}/{sha256}.json"


def _digest(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json")


def _encode(record: Record) -> bytes:
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


def _decode(
    sha256: str, values: dict[str, Any], touched: datetime, lineages: tuple[Lineage, ...] | None = None
) -> Record:
    if lineages is None:
        lineages = tuple(
            Lineage(
                request_id=value["request_id"],
                operation=value["operation"],
                model=value["model"],
                time=datetime.fromisoformat(value["time"]),
                seed=value["seed"],
                parents=tuple(value["parents"]),
            )
            for value in values["lineages"]
        )
    return Record(
        sha256=sha256,
        media_type=values["media_type"],
        size_bytes=values["size_bytes"],
        width=values["width"],
        height=values["height"],
        created=datetime.fromisoformat(values["created"]),
        touched=touched,
        lineages=lineages,
    )
