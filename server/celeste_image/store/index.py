"""Index: which owner has which artifacts, and their facts."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from celeste_image.core.artifact import Lineage, artifact_name
from celeste_image.core.caller import CALLER_NAME
from celeste_image.core.errors import ArtifactDamaged
from celeste_image.store.ages import Ages

__all__ = [
    "Entry",
    "Index",
    "check_owner",
    "damaged",
    "lineages_from_json",
    "lineages_to_json",
    "merged",
    "tell_expired",
]

log = structlog.get_logger("celeste_image.store")

LINEAGES = 20
"""Lineages that an entry keeps, the latest first."""


def check_owner(owner: str) -> str:
    """Returns an owner whose name is safe as a folder name. Raises ValueError for any other."""
    if not CALLER_NAME.fullmatch(owner):
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


class Index(Protocol):
    """The entries of all owners: `DatabaseIndex` for a folder, `ObjectIndex` for memory and S3.

    Attributes:
        small_bytes: Bytes of fewer than this many are given to `put` and are stored with their entry.
    """

    small_bytes: int

    async def get(self, owner: str, sha256: str) -> Entry | None:
        """Returns an entry; None when the owner has no artifact of this digest.

        Raises:
            ArtifactDamaged: The entry can't be parsed: the disk damaged it.
            StorageUnavailable: The store can't be read.
        """

    async def put(self, owner: str, entry: Entry, expired: datetime | None = None, small: bytes | None = None) -> Entry:
        """Stores an entry durably, merged with the owner's earlier entry of the same digest, and returns the result.

        Args:
            owner: The artifact's owner.
            entry: The new entry.
            expired: An earlier entry last touched at or before this time is ignored; None means that none expires.
            small: The bytes of the digest, if they are few; None if they are stored already.

        Raises:
            StorageFull: The store has no room.
            StorageUnavailable: The store can't be written.
        """

    async def delete(self, owner: str, sha256: str) -> None:
        """Deletes an entry durably; an absent one is no error. Raises StorageUnavailable."""

    def entries(self, owner: str, after: str = "") -> AsyncGenerator[Entry, None]:
        """Yields an owner's entries after the digest `after`, by digest, reading a few at a time.

        Damaged entries are left out. Raises StorageUnavailable.
        """

    async def sweep(self, ages: Ages, retention: timedelta | None) -> tuple[set[str], int, int]:
        """Deletes the entries that are older than the retention; None deletes none.

        Returns:
            The digests that still have an owner, and how many entries and small blobs were deleted.

        Raises:
            StorageUnavailable: The store can't be read or written.
        """


def merged(entry: Entry, known: Entry | None, expired: datetime | None) -> Entry:
    """Returns a new entry with what remains of the earlier one: its creation time, its lineages and its size in pixels.

    Args:
        entry: The new entry.
        known: The owner's earlier entry of the same digest, or None.
        expired: See `Index.put`.
    """
    if known is None or (expired and known.touched <= expired):
        return entry
    return replace(
        entry,
        width=entry.width or known.width,  # an upload has no size in pixels
        height=entry.height or known.height,
        created=known.created,
        lineages=(entry.lineages + known.lineages)[:LINEAGES],
    )


def damaged(sha256: str, error: Exception) -> ArtifactDamaged:
    """Logs an entry that can't be parsed, and returns the error for callers."""
    name = artifact_name(sha256)
    log.error("index entry damaged", artifact=name, error=type(error).__name__)
    return ArtifactDamaged(f"the index entry of {name} is damaged", resource=name)


def tell_expired(ages: Ages, expired: int, deleted: int, owned: int) -> None:
    """Logs what the next sweep deletes. The log warns if it is everything: after a restart, a wrong clock looks so."""
    if expired > deleted:
        told = log.warning if expired == owned + deleted else log.info
        told("expired artifacts are deleted by the next sweep", artifacts=expired - deleted, time=str(ages.now()))


def lineages_to_json(lineages: Sequence[Lineage]) -> list[dict[str, Any]]:
    """Returns lineages as JSON values."""
    return [
        {
            "request_id": lineage.request_id,
            "operation": lineage.operation,
            "model": lineage.model,
            "time": lineage.time.isoformat(),
            "seed": lineage.seed,
            "parents": lineage.parents,
        }
        for lineage in lineages
    ]


def lineages_from_json(values: Sequence[dict[str, Any]]) -> tuple[Lineage, ...]:
    """Returns the lineages of JSON values. Raises ValueError, KeyError or TypeError when these are malformed."""
    return tuple(
        Lineage(
            request_id=value["request_id"],
            operation=value["operation"],
            model=value["model"],
            time=datetime.fromisoformat(value["time"]),
            seed=value["seed"],
            parents=tuple(value["parents"]),
        )
        for value in values
    )
