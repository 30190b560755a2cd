"""The port of the database: transactions that read and write rows, on SQLite or PostgreSQL."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

__all__ = ["Records", "Row", "Rows", "Transaction", "Unit", "Value"]

T = TypeVar("T")
Value = str | int | bytes | None
"""A value of a column. There are no booleans, fractions or times: true is 1, and times are microseconds since 1970."""
Row = tuple[Any, ...]
Rows = list[Row]


class Transaction(Protocol):
    """Statements in SQL that both databases know. `$1` is the first value, in each place where it is written.

    Only the methods of a transaction are awaited in it, and work lets their errors pass. PostgreSQL must know the type
    of each value, from the column that the value meets or from a CAST.
    """

    async def rows(self, statement: str, *values: Value) -> Rows:
        """Returns all rows of a statement."""

    async def row(self, statement: str, *values: Value) -> Row | None:
        """Returns the first row of a statement; None without any."""

    async def change(self, statement: str, *values: Value) -> int:
        """Runs a statement that returns no rows, and returns how many rows it inserted, updated or deleted."""


Unit = Callable[[Transaction], Awaitable[T]]
"""Work in one transaction. It may run again if its transaction failed, so it must change nothing but rows."""


class Records(Protocol):
    """The database of a server."""

    async def read(self, unit: Unit[T]) -> T:
        """Runs work that changes nothing, and returns its result. Raises StorageUnavailable."""

    async def write(self, unit: Unit[T]) -> T:
        """Runs work in a transaction, and returns its result once it is durable.

        Raises:
            StorageFull: There is no room; nothing was changed.
            StorageUnavailable: The database can't be written; nothing was changed, unless the connection was lost at
                the commit: then nobody knows.
        """
