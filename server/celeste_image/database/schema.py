"""Schema: the tables of the database, as steps that each bring a file from one version to the next.

Never change a step that was released; add one.
"""

import sqlite3

__all__ = ["STEPS", "migrate"]

STEPS: tuple[tuple[str, ...], ...] = (
    (
        # An owner's artifact. Times are microseconds since 1970; `lineages` is a JSON list, the latest first.
        """
        CREATE TABLE entries (
            owner TEXT NOT NULL,
            sha256 BLOB NOT NULL,
            media_type TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            created INTEGER NOT NULL,
            touched INTEGER NOT NULL,
            lineages TEXT NOT NULL,
            PRIMARY KEY (owner, sha256)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX entries_by_digest ON entries (sha256)",
        # Bytes of small artifacts. Those of large ones are files.
        "CREATE TABLE small_blobs (sha256 BLOB NOT NULL PRIMARY KEY, data BLOB NOT NULL)",
    ),
)
"""Statements of each step. The version of a file is the number of steps that it has had."""


def migrate(connection: sqlite3.Connection) -> None:
    """Brings an opened file to the current version, each step in a transaction.

    Raises:
        ValueError: The file is of a later version of Celeste.
        sqlite3.Error: The file can't be written.
    """
    while (version := _version(connection)) != len(STEPS):
        if version > len(STEPS):
            text = f"the database has version {version}, and this version of Celeste knows {len(STEPS)}: update Celeste"
            raise ValueError(text)
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) == version:  # another server may have taken the step meanwhile
                for statement in STEPS[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
