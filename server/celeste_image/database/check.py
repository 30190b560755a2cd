"""Checks of a database file: its version, its pages, and whether this SQLite is known to damage files."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from celeste_image.database.schema import STEPS

__all__ = ["TABLES", "FileReport", "look_at", "version_warning"]

TABLES = ("entries", "small_blobs", "calls", "operations")
MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class FileReport:
    """What was found in a database.

    Attributes:
        version: Version of its schema.
        current: Version of the schema that this Celeste makes.
        rows: Number of rows by table, of the tables that it has.
        problems: What SQLite finds damaged; empty for a sound file, and on PostgreSQL.
    """

    version: int
    current: int
    rows: dict[str, int]
    problems: tuple[str, ...]


def look_at(path: Path) -> FileReport:
    """Reads every page and index of a file, and changes nothing. A server may write to it meanwhile.

    Raises:
        sqlite3.Error: The file is no database, or can't be read.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        found = [text for (text,) in db.execute(f"PRAGMA integrity_check({MOST_PROBLEMS})")]
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        rows = {
            name: int(db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0])  # noqa: S608  # a name of ours
            for name in TABLES
            if name in tables
        }
    return FileReport(version, len(STEPS), rows, () if found == ["ok"] else tuple(found))


def version_warning(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str:
    """Returns what is wrong with a version of SQLite; empty if nothing is known.

    Versions before 3.51.3, but for 3.50.7 and 3.44.6, can damage a file in WAL mode if two connections write or
    checkpoint at the same moment: https://sqlite.org/wal.html#walresetbug. A server has one connection that writes, so
    this takes two servers on one folder.
    """
    is_mended = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    if is_mended:
        return ""
    told = ".".join(map(str, version))
    return f"SQLite {told} may damage the database if several servers share its folder; 3.51.3 does not"
