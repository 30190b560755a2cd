"""Takes over the index of earlier versions, which was one JSON file per entry in the store's folder `records`."""

import contextlib
import json
import sqlite3
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import structlog

from celeste_image.core.caller import CALLER_NAME
from celeste_image.store.database_index import insert, insert_damaged, touched
from celeste_image.store.files import flush
from celeste_image.store.object_index import digest_at, entry_from_json

__all__ = ["take_over_records"]

log = structlog.get_logger("celeste_image.store")

TOGETHER = 1000
"""Files that are read, stored in one transaction, and removed."""


def take_over_records(folder: Path, db: sqlite3.Connection) -> None:
    """Moves the entries of a store's folder into its database. Killed in the middle, the next start goes on.

    The bytes stay where they are. Foreign files stay too.

    Raises:
        OSError: A file can't be read or removed.
        sqlite3.Error: The database can't be written.
    """
    taken = 0
    for owner in _owners(folder / "records"):
        while files := _some_files(owner):
            db.execute("BEGIN IMMEDIATE")
            for path in files:
                _take_over(db, owner.name, path)
            db.execute("COMMIT")
            for path in files:
                path.unlink(missing_ok=True)  # another server may do the same
            flush(owner)  # a file that came back after a power failure would bring back a deleted artifact
            taken += len(files)
        with contextlib.suppress(OSError):  # foreign files are in it
            owner.rmdir()
    with contextlib.suppress(OSError):
        (folder / "records").rmdir()
    if taken:
        log.info("the index of an earlier version is in the database now", artifacts=taken)


def _owners(records: Path) -> list[Path]:
    if not records.is_dir():
        return []
    return [path for path in records.iterdir() if path.is_dir() and CALLER_NAME.fullmatch(path.name)]


def _some_files(owner: Path) -> list[Path]:
    found = (path for path in owner.iterdir() if digest_at(path.name) and path.is_file())
    return list(islice(found, TOGETHER))


def _take_over(db: sqlite3.Connection, owner: str, path: Path) -> None:
    sha256 = digest_at(path.name)
    try:
        time = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if (known := touched(db, owner, sha256)) and known >= time:
            return
        data = path.read_bytes()
    except FileNotFoundError:  # another server has taken it over
        return
    try:
        insert(db, owner, entry_from_json(sha256, json.loads(data), time))
    except (ValueError, KeyError, TypeError):
        insert_damaged(db, owner, sha256, time)  # its bytes keep their owner
