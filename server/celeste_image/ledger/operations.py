"""Operations: counts each operation that ended, in a row that is written shortly behind the answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
import structlog

from celeste_image.core.caller import Caller
from celeste_image.core.errors import CelesteError
from celeste_image.database import Records, Transaction, Value
from celeste_image.database.times import to_micros
from celeste_image.ledger.ids import first_id, new_id

__all__ = ["EndedOperation", "Operations", "labels_text"]

log = structlog.get_logger("celeste_image.ledger")

MOST_WAITING = 20_000
"""Most rows that wait for a database that can't be written. Older ones are given up then."""
TOGETHER = 50
"""Rows of one statement."""
SWEPT_TOGETHER = 1000
"""Rows that one transaction of a sweep deletes: other writes wait no longer than that."""
COLUMNS = (
    "id, tenant, caller, request_id, model, operation, started, ended, "
    "outcome, images, pixels, compute_micros, reused, labels"
)
WIDTH = len(COLUMNS.split(","))

DELETE_OPERATIONS = """
    DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE id < $1 ORDER BY id LIMIT $2)
"""
DELETE_CALLS = """
    DELETE FROM calls WHERE id IN
        (SELECT id FROM calls WHERE id < $1 AND state = 'settled' ORDER BY id LIMIT $2)
"""


@dataclass(frozen=True, slots=True)
class EndedOperation:
    """An operation that ended, however.

    Attributes:
        caller: Who asked for it.
        request_id: Id of its request.
        model: Id of the model that did it, or was tried last; empty if none was found.
        operation: Kind of the operation, as `OperationKind` names it.
        started: When it began.
        ended: When it ended.
        outcome: Reason of the error; empty after a success.
        images: Images stored.
        pixels: Area of these images together.
        compute_seconds: Time that engines of this server worked; None if no engine did.
        is_reused: Whether the result is that of an earlier operation.
        labels: Labels of the request.
    """

    caller: Caller
    request_id: str
    model: str
    operation: str
    started: datetime
    ended: datetime
    outcome: str = ""
    images: int = 0
    pixels: int = 0
    compute_seconds: float | None = None
    is_reused: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


class Operations:
    """The operations that ended, of all tenants.

    `add` takes no time and never fails. A server that is killed loses the counts of the last `interval_seconds`; no
    cost is among them, since the calls that cost money have rows of their own.

    Args:
        records: The database.
        keep: How long rows are kept: those of operations, and those of calls that are settled.
        interval_seconds: Longest time between the end of an operation and its row.
        sleep: Waits for a number of seconds.
        now: The time in UTC.
    """

    def __init__(
        self,
        records: Records,
        keep: timedelta,
        *,
        interval_seconds: float = 0.2,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._records, self._keep, self._interval = records, keep, interval_seconds
        self._sleep, self._now = sleep, now
        self._waiting: list[EndedOperation] = []
        self._writing = asyncio.Lock()
        self._batch: list[tuple[Value, ...]] = []
        """Rows that were taken to be written. They have their ids: a second try must not count them twice."""
        self._task: asyncio.Task[None] | None = None
        self._is_failing = self._is_closed = False

    def add(self, operation: EndedOperation) -> None:
        """Counts an operation; after `close`, nothing is counted."""
        if self._is_closed:
            return
        self._waiting.append(operation)
        if self._task is None:
            self._task = asyncio.create_task(self._write_behind())

    async def flush(self) -> None:
        """Writes what waits. After a failure, the rows wait for the next time, and the log says so once."""
        async with self._writing:
            taken, self._waiting = self._waiting, []
            rows = self._batch + [_row(operation) for operation in taken]
            if lost := len(rows[:-MOST_WAITING]):
                log.error("usage lost", operations=lost)
            rows = self._batch = rows[-MOST_WAITING:]
            if not rows:
                return
            try:
                await self._records.write(lambda db: _insert(db, rows))
            except CelesteError as error:
                if not self._is_failing:
                    log.warning("usage not written", reason=error.reason, waiting=len(rows))
                self._is_failing = True
            else:
                self._batch, self._is_failing = [], False

    async def sweep(self) -> int:
        """Deletes the rows whose time is over, and returns how many. Calls that are not settled stay.

        Raises:
            StorageFull: The database can't be written.
            StorageUnavailable: Likewise.
        """
        before, count = first_id(self._now() - self._keep), 0
        for statement in (DELETE_OPERATIONS, DELETE_CALLS):
            deleted = SWEPT_TOGETHER
            while deleted == SWEPT_TOGETHER:
                deleted = await self._delete(statement, before)
                count += deleted
        return count

    async def _delete(self, statement: str, before: str) -> int:
        return await self._records.write(lambda db: db.change(statement, before, SWEPT_TOGETHER))

    async def close(self) -> None:
        """Writes what waits, for the last time."""
        self._is_closed = True
        async with self._writing:  # a write that runs is worth its wait
            if task := self._task:
                task.cancel()
        if task:
            await asyncio.gather(task, return_exceptions=True)
        await self.flush()
        if self._batch:
            log.error("usage lost", operations=len(self._batch))

    async def _write_behind(self) -> None:
        try:
            while self._waiting or self._batch:
                await self._sleep(self._interval)
                await self.flush()
        finally:
            self._task = None


def labels_text(labels: Mapping[str, str]) -> str:
    """Returns labels as the column has them: JSON with sorted keys, without spaces."""
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()


def _row(ended: EndedOperation) -> tuple[Value, ...]:
    started = to_micros(ended.started)
    return (
        new_id(started),
        ended.caller.tenant,
        ended.caller.name,
        ended.request_id,
        ended.model,
        ended.operation,
        started,
        to_micros(ended.ended),
        ended.outcome,
        ended.images,
        ended.pixels,
        None if ended.compute_seconds is None else round(ended.compute_seconds * 1e6),
        int(ended.is_reused),
        labels_text(ended.labels),
    )


async def _insert(db: Transaction, rows: Sequence[tuple[Value, ...]]) -> None:
    for start in range(0, len(rows), TOGETHER):
        some = rows[start : start + TOGETHER]
        values = [value for row in some for value in row]
        await db.change(_statement(len(some)), *values)


def _statement(rows: int) -> str:
    """Returns the statement that inserts a number of rows, unless they are there already."""
    places = (
        ", ".join(f"${number}" for number in range(first, first + WIDTH)) for first in range(1, rows * WIDTH + 1, WIDTH)
    )
    listed = "), (".join(places)
    return f"INSERT INTO operations ({COLUMNS}) VALUES ({listed}) ON CONFLICT (id) DO NOTHING"  # noqa: S608
