"""Operations: written behind the answer, once, together, and kept while the database is away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio
from structlog.testing import capture_logs
from tests.support.spending import CallRow, insert_call, open_records
from tests.support.waiting import until

from celeste_image.core.caller import ANONYMOUS
from celeste_image.core.errors import StorageUnavailable
from celeste_image.core.usage import EntryFilter
from celeste_image.database import Records
from celeste_image.database.times import to_micros
from celeste_image.ledger import EndedOperation, Operations, list_entries
from celeste_image.ledger.operations import MOST_WAITING

BEGAN = datetime(2026, 11, 20, tzinfo=UTC)
DONE = EndedOperation(ANONYMOUS, "r", "local/compose", "generate", BEGAN, BEGAN, images=1, pixels=64)
KEEP = timedelta(days=400)


class Away:
    """A database that can be away, and that counts what is written; a write that `loses` its answer is durable."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.is_away = self.loses = False
        self.writes = 0

    async def read(self, unit: Any) -> Any:
        return await self._records.read(unit)

    async def write(self, unit: Any) -> Any:
        if self.is_away:
            raise StorageUnavailable("away")
        self.writes += 1
        result = await self._records.write(unit)
        if self.loses:
            raise StorageUnavailable("the connection was lost")
        return result


@pytest_asyncio.fixture
async def records(tmp_path: Path) -> AsyncIterator[Away]:
    async with open_records(tmp_path) as opened:
        yield Away(opened)


async def count(records: Away) -> int:
    row = await records.read(lambda db: db.row("SELECT COUNT(*) FROM operations"))
    return int(row[0])


async def test_what_ends_within_the_interval_is_one_transaction(records: Away) -> None:
    waits: list[float] = []
    gate = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await gate.wait()

    operations = Operations(records, KEEP, interval_seconds=0.2, sleep=sleep)
    for number in range(500):
        operations.add(replace(DONE, request_id=str(number)))
    await until(lambda: waits)
    assert (waits, await count(records)) == ([0.2], 0)
    gate.set()
    await until(lambda: records.writes)
    await operations.close()
    assert (records.writes, await count(records)) == (1, 500)


async def test_a_flush_writes_at_once_and_the_end_writes_the_rest(records: Away) -> None:
    operations = Operations(records, KEEP, interval_seconds=3600)
    operations.add(DONE)
    await operations.flush()
    assert await count(records) == 1
    await operations.flush()
    operations.add(DONE)
    await operations.close()
    assert (records.writes, await count(records)) == (2, 2)
    operations.add(DONE)
    await operations.close()
    assert await count(records) == 2, "after the end, nothing is counted"


async def test_rows_wait_while_the_database_is_away_and_the_log_says_so_once(records: Away) -> None:
    operations = Operations(records, KEEP, interval_seconds=0)
    records.is_away = True
    with capture_logs() as logged:
        for _ in range(3):
            operations.add(DONE)
            await operations.flush()
    told = [{"event": "usage not written", "log_level": "warning", "reason": "STORAGE_UNAVAILABLE", "waiting": 1}]
    assert logged == told
    records.is_away = False
    await until(lambda: records.writes)
    await operations.close()
    assert await count(records) == 3


async def test_a_second_try_counts_nothing_twice(records: Away) -> None:
    operations = Operations(records, KEEP, interval_seconds=3600)
    operations.add(DONE)
    records.loses = True
    await operations.flush()
    assert await count(records) == 1, "it was written, and nobody knew"
    records.loses = False
    await operations.close()
    assert (records.writes, await count(records)) == (2, 1)


async def test_the_oldest_rows_are_given_up_when_too_many_wait(records: Away) -> None:
    operations = Operations(records, KEEP, interval_seconds=3600)
    records.is_away = True
    for number in range(MOST_WAITING + 5):
        operations.add(replace(DONE, request_id=str(number)))
    with capture_logs() as logged:
        await operations.flush()
    lost = [line["operations"] for line in logged if line["event"] == "usage lost"]
    records.is_away = False
    await operations.close()
    first = await records.read(lambda db: db.row("SELECT request_id FROM operations WHERE request_id IN ('4', '5')"))
    assert (lost, first, await count(records)) == ([5], ("5",), MOST_WAITING)


async def test_what_is_lost_at_the_end_is_told(records: Away) -> None:
    operations = Operations(records, KEEP)
    operations.add(DONE)
    records.is_away = True
    with capture_logs() as logged:
        await operations.close()
    assert [line["event"] for line in logged] == ["usage not written", "usage lost"]


async def test_a_sweep_deletes_what_is_old_and_settled(records: Away) -> None:
    now = BEGAN + KEEP
    operations = Operations(records, KEEP, interval_seconds=3600, now=lambda: now)
    second = timedelta(seconds=1)
    for started in [BEGAN - second] * 1001 + [BEGAN, BEGAN + second]:
        operations.add(replace(DONE, started=started))
    await operations.flush()
    kept = []
    for state in ("settled", "uncertain", "open"):
        old = await insert_call(records, CallRow("a", started=to_micros(BEGAN - second), state=state))
        new = await insert_call(records, CallRow("a", started=to_micros(BEGAN), state=state))
        kept += [new] if state == "settled" else [old, new]
    assert await operations.sweep() == 1002
    assert await count(records) == 2
    left = await list_entries(records, "a", EntryFilter())
    assert sorted(entry.id for entry in left) == sorted(kept)
    assert await operations.sweep() == 0
    await operations.close()
