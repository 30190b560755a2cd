"""The port of the database, on an SQLite file and on a real PostgreSQL: the same units give the same results."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.support.postgres import Postgres

from celeste_image.core.errors import CelesteError, StorageUnavailable
from celeste_image.database import PostgresRecords, Records, SqliteRecords, Transaction
from celeste_image.store.open import open_backend

INSERT = "INSERT INTO small_blobs (sha256, data) VALUES ($1, $2)"
ALL = "SELECT sha256, data FROM small_blobs ORDER BY sha256"
ENTRY = """
    INSERT INTO entries (owner, sha256, media_type, size_bytes, width, height, created, touched, lineages)
    VALUES ($1, $2, 'image/png', $3, 1, 1, $3, $3, '[]')
"""
CALL = """
    INSERT INTO calls (id, server, tenant, caller, request_id, provider, model, operation, ticket, started, state,
        reason, images, billed)
    VALUES ($1, $2, $2, $2, $2, $2, $2, $2, $3, 0, 'open', '', 0, '{}')
"""


@pytest.fixture(params=["sqlite", "postgres"])
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Records, None]:
    if request.param == "sqlite":
        backend = open_backend(tmp_path.as_uri(), {})
        yield SqliteRecords(backend)
        await backend.close()
        return
    server: Postgres = request.getfixturevalue("postgres")
    async with server.database() as name:
        rows = PostgresRecords(server.access(name))
        yield rows
        await rows.close()


async def test_a_unit_is_written_as_a_whole_and_its_result_comes_back(records: Records) -> None:
    async def unit(db: Transaction) -> str:
        assert await db.change(INSERT, b"\0\xff", b"one") == 1
        assert await db.row(ALL) == (b"\0\xff", b"one"), "it sees its own changes"
        assert await db.change(INSERT, b"two", b"") == 1
        return "done"

    assert await records.write(unit) == "done"
    assert await records.read(lambda db: db.rows(ALL)) == [(b"\0\xff", b"one"), (b"two", b"")]


async def test_a_unit_that_raises_changes_nothing_and_its_error_comes_back(records: Records) -> None:
    async def unit(db: Transaction) -> None:
        await db.change(INSERT, b"one", b"")
        raise KeyError("of the unit")

    with pytest.raises(KeyError, match="of the unit"):
        await records.write(unit)
    assert await records.read(lambda db: db.rows(ALL)) == []
    assert await records.write(lambda db: db.change(INSERT, b"one", b"")) == 1, "it works on"


async def test_changes_tell_their_number_of_rows(records: Records) -> None:
    async def unit(db: Transaction) -> list[int]:
        for number in range(3):
            await db.change(INSERT, b"%d" % number, b"old")
        return [
            await db.change("UPDATE small_blobs SET data = $1 WHERE sha256 > $2", b"new", b"0"),
            await db.change("UPDATE small_blobs SET data = $1 WHERE sha256 = $2", b"new", b"absent"),
            await db.change(f"{INSERT} ON CONFLICT (sha256) DO NOTHING", b"1", b""),
            await db.change("DELETE FROM small_blobs WHERE data = $1", b"new"),
            await db.change("DELETE FROM small_blobs"),
        ]

    assert await records.write(unit) == [2, 0, 0, 2, 1]


async def test_a_placeholder_may_be_written_twice_and_in_any_order(records: Records) -> None:
    await records.write(lambda db: db.change(ENTRY, "ann", b"digest", 7))
    query = "SELECT size_bytes, created, touched FROM entries WHERE sha256 = $2 AND (owner = $1 OR lineages = $1)"
    assert await records.read(lambda db: db.row(query, "ann", b"digest")) == (7, 7, 7)
    assert await records.read(lambda db: db.row(query, "ben", b"digest")) is None


@pytest.mark.parametrize("number", [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)])
async def test_integers_of_64_bits_come_back_exactly(records: Records, number: int) -> None:
    await records.write(lambda db: db.change(ENTRY, "ann", b"digest", number))
    ((found, total),) = await records.read(
        lambda db: db.rows("SELECT touched, SUM(touched) FROM entries GROUP BY touched")
    )
    assert (found, total) == (number, number)
    assert (type(found), type(total)) == (int, int)


async def test_null_is_none_and_texts_come_back_as_they_are(records: Records) -> None:
    for name, ticket in (("a", None), ("b", ""), ("c", "ß \U0001f98a 'quoted' $1 ?1 %s")):
        await records.write(lambda db, name=name, ticket=ticket: db.change(CALL, name, "x", ticket))  # type: ignore[misc]
    rows = await records.read(lambda db: db.rows("SELECT ticket FROM calls ORDER BY id"))
    assert rows == [(None,), ("",), ("ß \U0001f98a 'quoted' $1 ?1 %s",)]
    (found,) = await records.read(lambda db: db.rows("SELECT COUNT(*), MAX(started), SUM(owed) FROM calls"))
    assert found == (3, 0, None)


async def test_texts_are_in_the_order_of_their_bytes(records: Records) -> None:
    names = ["Z", "a", "_", "b", "A", "-", "ä", "0"]
    for name in names:
        await records.write(lambda db, name=name: db.change(CALL, name, "x", None))  # type: ignore[misc]
    rows = await records.read(lambda db: db.rows("SELECT id FROM calls ORDER BY id"))
    assert [name for (name,) in rows] == sorted(names, key=str.encode)


async def test_units_side_by_side_lose_no_change(records: Records) -> None:
    await records.write(lambda db: db.change(ENTRY, "ann", b"digest", 0))
    add = "UPDATE entries SET touched = touched + 1 WHERE owner = $1"
    await asyncio.gather(*(records.write(lambda db: db.change(add, "ann")) for _ in range(50)))
    assert await records.read(lambda db: db.row("SELECT touched FROM entries")) == (50,)


async def test_of_units_that_insert_one_key_one_wins(records: Records) -> None:
    async def unit(db: Transaction) -> int:
        return await db.change(f"{INSERT} ON CONFLICT (sha256) DO NOTHING", b"key", b"")

    assert sum(await asyncio.gather(*(records.write(unit) for _ in range(20)))) == 1


async def test_units_that_lock_rows_in_turn_against_each_other_all_end(records: Records) -> None:
    """On PostgreSQL they are deadlocks, of which one side runs again."""
    for owner in ("ann", "ben"):
        await records.write(lambda db, owner=owner: db.change(ENTRY, owner, b"digest", 0))  # type: ignore[misc]
    add = "UPDATE entries SET touched = touched + 1 WHERE owner = $1"

    async def both(first: str, second: str) -> None:
        async def unit(db: Transaction) -> None:
            await db.change(add, first)
            await db.change(add, second)

        await records.write(unit)

    pairs = [("ann", "ben"), ("ben", "ann")] * 2
    await asyncio.gather(*(both(*pair) for pair in pairs))
    assert await records.read(lambda db: db.rows("SELECT touched FROM entries")) == [(4,), (4,)]


async def test_a_read_changes_nothing(records: Records) -> None:
    with pytest.raises(StorageUnavailable):
        await records.read(lambda db: db.change(INSERT, b"one", b""))
    assert await records.read(lambda db: db.rows(ALL)) == []


@pytest.mark.parametrize(
    "statement", ["SELEKT a_secret FROM calls", "SELECT a_secret FROM calls", f"{INSERT}, ($1, $2)"]
)
async def test_a_statement_that_fails_is_told_without_its_text(records: Records, statement: str) -> None:
    values = (b"a_secret", b"a_secret") if "$1" in statement else ()
    with pytest.raises(CelesteError) as caught:
        await records.write(lambda db: db.change(statement, *values))
    assert caught.value.reason == "STORAGE_UNAVAILABLE"
    assert "a_secret" not in str(caught.value)
    assert await records.read(lambda db: db.rows(ALL)) == []


async def test_a_caller_that_leaves_leaves_no_half_of_a_unit(records: Records) -> None:
    async def unit(db: Transaction) -> None:
        for number in range(20):
            await db.change(INSERT, b"%d" % number, b"")

    for turns in range(1, 30, 3):
        work = asyncio.ensure_future(records.write(unit))
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

        async def count(db: Transaction) -> int:
            found = await db.row("SELECT COUNT(*) FROM small_blobs")
            await db.change("DELETE FROM small_blobs")
            return int(found[0]) if found else 0

        assert await records.write(count) in (0, 20)
