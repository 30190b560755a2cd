"""The schema on PostgreSQL: the same steps as for SQLite, in PostgreSQL's words."""

import re
from typing import TYPE_CHECKING

import structlog

from celeste_image.database.check import TABLES, FileReport
from celeste_image.database.schema import STEPS, check_version

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["look_at_postgres", "migrate_postgres", "translated"]

log = structlog.get_logger("celeste_image.database")

VERSION_TABLE = "celeste_schema"
LOCK = 0x63656C65737465
"""Advisory lock of whoever changes the schema: "celeste" in ASCII."""
STEP_SECONDS = 600.0
"""Timeout of a statement of a step: an index of a large table takes long."""
CREATE = f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (id INTEGER PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)"
SET_VERSION = f"""
    INSERT INTO {VERSION_TABLE} (id, version) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET version = excluded.version
"""  # noqa: S608  # a name of ours
WORDS = {"INTEGER": "BIGINT", "BLOB": "BYTEA", "TEXT": 'TEXT COLLATE "C"'}
"""Types of columns. Texts compare by their bytes, as in SQLite, in whatever language the database was made."""


def translated(statement: str) -> str:
    """Returns a statement of a step as PostgreSQL takes it."""
    statement = re.sub(r"\)\s*WITHOUT ROWID\s*$", ")", statement)
    return re.sub(rf"\b({'|'.join(WORDS)})\b", lambda word: WORDS[word[0]], statement)


async def migrate_postgres(connection: "Connection") -> int:
    """Brings the tables to the current version, in one transaction; returns the version before.

    Servers that start together wait for each other, so each step is taken once. The session's timeout of statements is
    long afterwards.

    Raises:
        ValueError: The tables are of a later version of Celeste.
        asyncpg.PostgresError: The tables can't be changed.
    """
    before = await _version(connection)
    check_version(before)
    if before == len(STEPS):
        return before
    await connection.execute(f"SET statement_timeout = {STEP_SECONDS * 1000:.0f}")
    await connection.execute(f"SELECT pg_advisory_lock({LOCK})", timeout=STEP_SECONDS)
    try:
        before = await _take_steps(connection)
    finally:
        await connection.execute(f"SELECT pg_advisory_unlock({LOCK})")
    if before != len(STEPS):
        log.info("database migrated", before=before, version=len(STEPS))
    return before


async def _take_steps(connection: "Connection") -> int:
    """Takes the steps that are missing, and returns the version before.

    The lock is held already: a transaction that waited for it would not see tables that were made meanwhile.
    """
    async with connection.transaction():
        before = await _version(connection)  # another server may have taken the steps
        check_version(before)
        await connection.execute(CREATE)
        for step in STEPS[before:]:
            for statement in step:
                await connection.execute(translated(statement), timeout=STEP_SECONDS)
        await connection.execute(SET_VERSION, len(STEPS))
    return before


async def look_at_postgres(connection: "Connection") -> FileReport:
    """Returns the version of the tables and the number of their rows. Raises asyncpg.PostgresError.

    Damage is PostgreSQL's to find: the report has no problems.
    """
    await connection.execute(f"SET statement_timeout = {STEP_SECONDS * 1000:.0f}")
    rows = {}
    for name in TABLES:
        if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name):
            rows[name] = await connection.fetchval(f"SELECT count(*) FROM {name}", timeout=STEP_SECONDS)  # noqa: S608
    return FileReport(await _version(connection), len(STEPS), rows, ())


async def _version(connection: "Connection") -> int:
    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", VERSION_TABLE):
        return 0
    return int(await connection.fetchval(f"SELECT version FROM {VERSION_TABLE}") or 0)  # noqa: S608  # a name of ours
