"""Database: writes that wait together are one commit, one that fails takes no other with it, and nothing is lost."""

import asyncio
import gc
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.waiting import until

from celeste_image.database import Database, probe
from celeste_image.database.database import READERS, TOGETHER
from celeste_image.database.schema import STEPS

INSERT = "INSERT INTO small_blobs (sha256, data) VALUES (?, ?)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "database.sqlite3"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(path)
    yield database
    database.close()


async def put(database: Database, number: int) -> None:
    await database.write(lambda db: db.execute(INSERT, (b"%d" % number, b"data")))


async def count(database: Database) -> int:
    (rows,) = await database.read(lambda db: db.execute("SELECT count(*) FROM small_blobs").fetchone())
    return int(rows)


async def count_by_all_readers(database: Database) -> list[int]:
    together = threading.Barrier(READERS)

    def work(db: sqlite3.Connection) -> int:
        together.wait(10)
        return int(db.execute("SELECT count(*) FROM small_blobs").fetchone()[0])

    return await asyncio.gather(*(database.read(work) for _ in range(READERS)))


class Held:
    """Work that keeps the writer busy until it is released, and notes the transactions from then on."""

    def __init__(self) -> None:
        self.begun, self.release = threading.Event(), threading.Event()
        self.statements: list[str] = []

    def __call__(self, db: sqlite3.Connection) -> None:
        self.begun.set()
        assert self.release.wait(10)
        db.set_trace_callback(self.statements.append)

    def commits(self) -> int:
        return self.statements.count("COMMIT") - 1  # without its own


async def held(database: Database, works: list[asyncio.Task[None]]) -> Held:
    hold = Held()
    works.append(asyncio.ensure_future(database.write(hold)))
    await asyncio.to_thread(hold.begun.wait, 10)
    return hold


async def test_writes_that_wait_are_one_commit(database: Database) -> None:
    works: list[asyncio.Task[None]] = []
    hold = await held(database, works)
    works += [asyncio.ensure_future(put(database, number)) for number in range(TOGETHER + 1)]
    await asyncio.sleep(0)
    assert not any(work.done() for work in works)
    hold.release.set()
    await asyncio.gather(*works)
    assert hold.commits() == 2
    assert await count(database) == TOGETHER + 1


async def test_a_work_that_fails_takes_no_other_with_it(database: Database) -> None:
    def fails(db: sqlite3.Connection) -> None:
        db.execute(INSERT, (b"of the failed one", b""))
        raise KeyError("of the work")

    works: list[asyncio.Task[None]] = []
    hold = await held(database, works)
    writes = (put(database, 1), database.write(fails), put(database, 1), put(database, 2))
    works += [asyncio.ensure_future(write) for write in writes]
    await asyncio.sleep(0)
    hold.release.set()
    results = await asyncio.gather(*works, return_exceptions=True)
    assert [type(result) for result in results] == [
        type(None),
        type(None),
        KeyError,
        sqlite3.IntegrityError,
        type(None),
    ]
    assert await count(database) == 2


async def test_a_write_of_a_cancelled_caller_is_left_out_if_it_has_not_begun(database: Database) -> None:
    works: list[asyncio.Task[None]] = []
    hold = await held(database, works)
    given_up, kept = (asyncio.ensure_future(put(database, number)) for number in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    hold.release.set()
    await kept
    assert await count(database) == 1
    works[0].cancel()


async def test_reads_go_on_while_a_write_takes_long(database: Database) -> None:
    await put(database, 1)
    works: list[asyncio.Task[None]] = []
    hold = await held(database, works)
    assert await asyncio.wait_for(count(database), 10) == 1
    hold.release.set()
    await works[0]


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.read(lambda db: db.execute(INSERT, (b"1", b"")))


async def test_two_servers_write_one_file(path: Path, database: Database) -> None:
    other = Database(path)
    await asyncio.gather(*(put(database, n) for n in range(0, 40, 2)), *(put(other, n) for n in range(1, 40, 2)))
    assert await count(database) == await count(other) == 40
    other.close()


async def test_what_was_written_is_there_after_a_restart(path: Path, database: Database) -> None:
    await put(database, 1)
    database.close()
    again = Database(path)
    assert await count(again) == 1
    again.close()


async def test_a_closed_database_refuses_writes_and_has_done_those_before(path: Path) -> None:
    database = Database(path)
    writes = [asyncio.ensure_future(put(database, number)) for number in range(10)]
    await asyncio.sleep(0)
    await asyncio.to_thread(database.close)
    await asyncio.gather(*writes)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        await put(database, 11)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM small_blobs").fetchone() == (10,)


async def test_a_database_that_nobody_closes_ends_its_thread(path: Path) -> None:
    def writers() -> int:
        return sum(thread.name == "celeste-database-writer" for thread in threading.enumerate())

    before = writers()
    database = Database(path)
    await put(database, 1)
    assert writers() == before + 1
    del database
    gc.collect()
    await until(lambda: writers() == before)


@pytest.mark.parametrize("how", ["moved", "replaced"])
async def test_a_file_that_is_no_longer_in_its_place_takes_no_writes(path: Path, database: Database, how: str) -> None:
    """What is written into a deleted file would be gone with the process."""
    await put(database, 1)
    os.rename(path, path.with_name("away"))
    if how == "replaced":
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    with pytest.raises(OSError):  # noqa: PT011  # any kind
        await put(database, 2)
    assert await count_by_all_readers(database) == [1] * READERS, "a reader has the file open from the beginning"
    os.rename(path.with_name("away"), path)
    await put(database, 2)
    assert await count(database) == 2


async def test_a_probe_writes_and_changes_nothing(path: Path, database: Database) -> None:
    log = path.with_name(path.name + "-wal")
    before = log.stat().st_size
    await database.write(probe)
    assert log.stat().st_size > before
    again = Database(path)
    again.close()


def test_a_file_of_a_later_version_is_refused(path: Path) -> None:
    Database(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(ValueError, match=f"has version {len(STEPS) + 1}.*update Celeste"):
        Database(path)


def test_a_step_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(path).close()
    with monkeypatch.context() as patch:
        patch.setattr("celeste_image.database.schema.STEPS", (*STEPS, ("CREATE TABLE later (a)", "no statement")))
        with pytest.raises(OSError, match="syntax error"):
            Database(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
        assert not db.execute("SELECT * FROM sqlite_schema WHERE name = 'later'").fetchall()
    Database(path).close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(4080)])
def test_a_file_that_is_no_database_is_an_error_of_the_disk(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OSError, match="database") as caught:
        Database(path)
    assert caught.value.filename == str(path)


def test_a_server_that_starts_waits_for_another_that_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (a)")
        other.execute("BEGIN IMMEDIATE")

        def ends(seconds: float) -> None:
            waits.append(seconds)
            other.execute("COMMIT")

        monkeypatch.setattr("celeste_image.database.database.time.sleep", ends)
        Database(path).close()
    assert len(waits) == 1


def test_servers_that_start_together_make_one_new_file(path: Path) -> None:
    errors: list[BaseException] = []
    start = threading.Barrier(4)

    def opened() -> None:
        start.wait()
        try:
            Database(path).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=opened) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
