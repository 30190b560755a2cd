"""DatabaseIndex: entries and the bytes of small artifacts, in one SQLite file. For a folder.

An entry and its bytes are one transaction, so a small artifact is one step on the disk, which artifacts that are stored
at the same time share. The bytes go with their last owner.
"""

import json
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from celeste_image.core.errors import ArtifactDamaged, StorageFull, StorageUnavailable
from celeste_image.database.times import from_micros, to_micros
from celeste_image.store.ages import Ages
from celeste_image.store.backend import Backend
from celeste_image.store.index import (
    Entry,
    check_owner,
    damaged,
    lineages_from_json,
    lineages_to_json,
    merged,
    tell_expired,
)

__all__ = ["DatabaseIndex", "SmallBlobs", "insert", "insert_damaged", "touched"]

Row = tuple[bytes, str, int, int, int, int, int, str]

SMALL_BYTES = 128 << 10
"""Bytes of fewer than this many are in the database, others are files. Measured: server/decisions/0022."""
PAGE_ROWS = 101
"""Entries that a listing reads at once: the usual page, and one to know whether there is another."""
TOGETHER = 100
"""Entries that a sweep deletes in one transaction."""
VACUUM_PAGES = 500
"""Free pages that are given back to the file system in one transaction."""

COLUMNS = "sha256, media_type, size_bytes, width, height, created, touched, lineages"
SELECT = f"SELECT {COLUMNS} FROM entries WHERE owner = ? AND "  # noqa: S608  # no value is in the text
INSERT = f"INSERT OR REPLACE INTO entries (owner, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
EXPIRED = "SELECT owner, sha256, touched FROM entries WHERE touched <= ?"
OWNED = "SELECT DISTINCT sha256 FROM entries"
INSERT_SMALL = """
    INSERT INTO small_blobs (sha256, data) VALUES (?, ?)
    ON CONFLICT (sha256) DO UPDATE SET data = excluded.data WHERE data <> excluded.data
"""
"""Known bytes are not written again, unless the disk damaged them."""
DELETE_UNOWNED = """
    DELETE FROM small_blobs
    WHERE sha256 = ?1 AND NOT EXISTS (SELECT 1 FROM entries WHERE entries.sha256 = ?1)
"""


class DatabaseIndex:
    """The entries of all owners, in the backend's database; see `Index`."""

    small_bytes = SMALL_BYTES

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def get(self, owner: str, sha256: str) -> Entry | None:
        """Returns an entry; see `Index.get`."""
        check_owner(owner)
        row = await self._backend.read_rows(lambda db: _find(db, owner, sha256))
        return _entry(row) if row else None

    async def put(self, owner: str, entry: Entry, expired: datetime | None = None, small: bytes | None = None) -> Entry:
        """Stores an entry and its bytes, if they are few; see `Index.put`."""
        check_owner(owner)

        def work(db: sqlite3.Connection) -> Entry:
            row = _find(db, owner, entry.sha256)
            new = merged(entry, _readable(row) if row else None, expired)
            insert(db, owner, new)
            if small is not None:
                db.execute(INSERT_SMALL, (bytes.fromhex(entry.sha256), small))
            return new

        return await self._backend.write_rows(work)

    async def delete(self, owner: str, sha256: str) -> None:
        """Deletes an entry, and its bytes if they are few and have no other owner; see `Index.delete`."""
        digest = bytes.fromhex(sha256)
        check_owner(owner)

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM entries WHERE owner = ? AND sha256 = ?", (owner, digest))
            db.execute(DELETE_UNOWNED, (digest,))

        await self._backend.write_rows(work)

    async def entries(self, owner: str, after: str = "") -> AsyncGenerator[Entry, None]:
        """Yields an owner's entries; see `Index.entries`."""
        check_owner(owner)
        last = bytes.fromhex(after)

        def work(db: sqlite3.Connection) -> list[Row]:
            return db.execute(SELECT + "sha256 > ? ORDER BY sha256 LIMIT ?", (owner, last, PAGE_ROWS)).fetchall()

        while rows := await self._backend.read_rows(work):
            for row in rows:
                if entry := _readable(row):
                    yield entry
            last = rows[-1][0]
            if len(rows) < PAGE_ROWS:
                return

    async def sweep(self, ages: Ages, retention: timedelta | None) -> tuple[set[str], int, int]:
        """Deletes old entries, with small blobs that have no owner left; see `Index.sweep`."""
        expired: list[tuple[str, bytes, int]] = []
        old: list[tuple[str, bytes, int]] = []
        if retention is not None:
            before = to_micros(ages.horizon(retention))
            expired = await self._backend.read_rows(lambda db: db.execute(EXPIRED, (before,)).fetchall())
            old = [row for row in expired if ages.is_old(f"{row[0]}/{row[1].hex()}", from_micros(row[2]), retention)]
        deleted = blobs = 0
        for first in range(0, len(old), TOGETHER):
            more = await self._backend.write_rows(partial(_delete, rows=old[first : first + TOGETHER]))
            deleted, blobs = deleted + more[0], blobs + more[1]
        owned = {digest.hex() for (digest,) in await self._backend.read_rows(lambda db: db.execute(OWNED).fetchall())}
        tell_expired(ages, len(expired), deleted, len(owned))
        with suppress(StorageFull, StorageUnavailable):  # logged; the next sweep goes on
            for _ in range(0, await self._backend.read_rows(_surplus_pages), VACUUM_PAGES):
                await self._backend.write_rows(_vacuum)
        return owned, deleted, blobs


class SmallBlobs:
    """The bytes of small artifacts, in the backend's database. `DatabaseIndex.put` stores them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def get(self, sha256: str) -> bytes | None:
        """Returns the bytes of a digest, unchecked; None if they are not here. Raises StorageUnavailable."""
        query = "SELECT data FROM small_blobs WHERE sha256 = ?"
        row = await self._backend.read_rows(lambda db: db.execute(query, (bytes.fromhex(sha256),)).fetchone())
        return bytes(row[0]) if row else None

    async def size(self, sha256: str) -> int | None:
        """Returns how many bytes of a digest are here; None if they are not. Raises StorageUnavailable."""
        query = "SELECT length(data) FROM small_blobs WHERE sha256 = ?"
        row = await self._backend.read_rows(lambda db: db.execute(query, (bytes.fromhex(sha256),)).fetchone())
        return int(row[0]) if row else None

    async def remove(self, sha256: str, data: bytes) -> bool:
        """Deletes the bytes of a digest if they are still these; returns whether. Raises StorageUnavailable."""
        query = "DELETE FROM small_blobs WHERE sha256 = ? AND data = ?"
        values = (bytes.fromhex(sha256), data)
        return await self._backend.write_rows(lambda db: db.execute(query, values).rowcount > 0)


def insert(db: sqlite3.Connection, owner: str, entry: Entry) -> None:
    """Stores an entry in place of an earlier one."""
    facts = (entry.media_type, entry.size_bytes, entry.width, entry.height)
    times = (to_micros(entry.created), to_micros(entry.touched))
    lineages = json.dumps(lineages_to_json(entry.lineages))
    db.execute(INSERT, (owner, bytes.fromhex(entry.sha256), *facts, *times, lineages))


def insert_damaged(db: sqlite3.Connection, owner: str, sha256: str, touched: datetime) -> None:
    """Stores an entry whose facts are lost. Asked for, it is ArtifactDamaged; another put heals it."""
    times = (to_micros(touched), to_micros(touched))
    db.execute(INSERT, (owner, bytes.fromhex(sha256), "", 0, 0, 0, *times, ""))


def touched(db: sqlite3.Connection, owner: str, sha256: str) -> datetime | None:
    """Returns when an owner's artifact was last stored; None without an entry."""
    row = _find(db, owner, sha256)
    return from_micros(row[6]) if row else None


def _find(db: sqlite3.Connection, owner: str, sha256: str) -> Row | None:
    row: Row | None = db.execute(SELECT + "sha256 = ?", (owner, bytes.fromhex(sha256))).fetchone()
    return row


def _delete(db: sqlite3.Connection, rows: Sequence[tuple[str, bytes, int]]) -> tuple[int, int]:
    """Deletes entries that were not stored again since they were found, and bytes that have no owner left."""
    deleted = blobs = 0
    for row in rows:
        query = "DELETE FROM entries WHERE owner = ? AND sha256 = ? AND touched = ?"
        if db.execute(query, row).rowcount:
            deleted += 1
            blobs += db.execute(DELETE_UNOWNED, (row[1],)).rowcount
    return deleted, blobs


def _surplus_pages(db: sqlite3.Connection) -> int:
    """Returns how many free pages there are above a quarter of the file; the rest is room for the next artifacts."""
    (free,), (pages,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_count"))
    return max(0, int(free) - int(pages) // 4)


def _vacuum(db: sqlite3.Connection) -> None:
    """Gives free pages back to the file system. Else a full disk would stay full, whatever is deleted."""
    for _ in range(VACUUM_PAGES):
        db.execute("PRAGMA incremental_vacuum(1)")  # of a larger number, Python takes the first page only


def _readable(row: Row) -> Entry | None:
    """Returns the entry of a row; None if the disk damaged it."""
    try:
        return _entry(row)
    except ArtifactDamaged:
        return None


def _entry(row: Row) -> Entry:
    """Returns the entry of a row. Raises ArtifactDamaged."""
    digest, media_type, size_bytes, width, height, created, touched, lineages = row
    sha256 = digest.hex()
    try:
        known = lineages_from_json(json.loads(lineages))
        return Entry(sha256, media_type, size_bytes, width, height, from_micros(created), from_micros(touched), known)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise damaged(sha256, error) from error
