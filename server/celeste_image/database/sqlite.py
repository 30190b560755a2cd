"""The port of the database on an SQLite file."""

import re
import sqlite3
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from celeste_image.database.base import Row, Rows, Unit, Value
from celeste_image.database.database import Work

__all__ = ["SqliteRecords", "Threads"]

T = TypeVar("T")


class Threads(Protocol):
    """Runs work in the threads of an SQLite file; see `Database`. The errors are those of `Records`."""

    async def read_rows(self, work: Work[T]) -> T:
        """Runs work that reads."""

    async def write_rows(self, work: Work[T]) -> T:
        """Runs work in a transaction."""


class SqliteRecords:
    """The rows of an SQLite file; see `Records`."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def read(self, unit: Unit[T]) -> T:
        """Reads; see `Records.read`."""
        return await self._threads.read_rows(lambda db: _finish(unit(_Transaction(db))))

    async def write(self, unit: Unit[T]) -> T:
        """Writes; see `Records.write`."""
        return await self._threads.write_rows(lambda db: _finish(unit(_Transaction(db))))


class _Transaction:
    """A transaction in the thread of the file: no await in it waits."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    async def rows(self, statement: str, *values: Value) -> Rows:
        return self._db.execute(_numbered(statement), values).fetchall()

    async def row(self, statement: str, *values: Value) -> Row | None:
        found: Row | None = self._db.execute(_numbered(statement), values).fetchone()
        return found

    async def change(self, statement: str, *values: Value) -> int:
        return self._db.execute(_numbered(statement), values).rowcount


@lru_cache(maxsize=200)
def _numbered(statement: str) -> str:
    """Returns a statement with its values as SQLite numbers them."""
    return re.sub(r"\$(\d+)", r"?\1", statement)


def _finish(work: Any) -> Any:
    """Runs a coroutine that never waits to its end, and returns its result."""
    coroutine: Coroutine[None, None, Any] = work
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError("a transaction may await its own methods alone")
