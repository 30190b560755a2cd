"""PostgreSQL: who is refused, how the tables are made, and a database that is killed, restarted or stands still."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs
from tests.support.ports import free_port
from tests.support.postgres import PASSWORD, Postgres

from celeste_image.core.errors import StorageFull, StorageUnavailable
from celeste_image.database import Access, PostgresRecords, Transaction
from celeste_image.database.postgres import TRIES
from celeste_image.database.postgres_access import failure
from celeste_image.database.postgres_schema import VERSION_TABLE, look_at_postgres, migrate_postgres, translated
from celeste_image.database.schema import STEPS

INSERT = "INSERT INTO small_blobs (sha256, data) VALUES ($1, $2)"
COUNT = "SELECT COUNT(*) FROM small_blobs"
AWAY_SECONDS = 0.4
"""Timeout of these tests for a database that does not answer."""


@pytest.fixture
async def name(postgres: Postgres) -> AsyncGenerator[str, None]:
    async with postgres.database() as made:
        yield made


async def put(rows: PostgresRecords, key: bytes) -> int:
    return await rows.write(lambda db: db.change(INSERT, key, b""))


async def count(rows: PostgresRecords) -> int:
    found = await rows.read(lambda db: db.row(COUNT))
    assert found
    return int(found[0])


async def test_a_wrong_password_is_refused_and_not_shown(postgres: Postgres, name: str) -> None:
    rows = PostgresRecords(dataclasses.replace(postgres.access(name), password=lambda: "another-secret"))
    with pytest.raises(ValueError, match=r"^database.password: 127.0.0.1:\d+/test_\w+ refuses the user: ") as caught:
        await rows.begin()
    assert "another-secret" not in str(caught.value)
    with capture_logs() as logged, pytest.raises(StorageUnavailable) as unavailable:
        await put(rows, b"1")
    assert "another-secret" not in f"{logged} {unavailable.value}"
    assert logged[0]["sqlstate"] == "28P01"


async def test_a_database_that_does_not_exist_is_refused(postgres: Postgres) -> None:
    with pytest.raises(ValueError, match=r'^database.url: .*database "absent" does not exist'):
        await PostgresRecords(postgres.access("absent")).begin()


async def test_an_unknown_option_of_the_url_is_refused(postgres: Postgres, name: str) -> None:
    access = Access(f"{postgres.url(name)}?sslmod=require", lambda: PASSWORD)
    with pytest.raises(ValueError, match=r'^database.url: .*unrecognized configuration parameter "sslmod"'):
        await PostgresRecords(access).begin()


async def test_a_database_without_tls_is_refused_if_the_url_wants_tls(postgres: Postgres, name: str) -> None:
    access = Access(f"{postgres.url(name)}?sslmode=require", lambda: PASSWORD)
    with pytest.raises((ValueError, StorageUnavailable)):
        await PostgresRecords(access).begin()


async def test_a_port_on_which_nobody_listens_is_unavailable() -> None:
    rows = PostgresRecords(Access(f"postgresql://celeste@127.0.0.1:{free_port()}/x"))
    with pytest.raises(StorageUnavailable):
        await rows.begin()


async def test_a_user_that_may_not_make_tables_is_refused(postgres: Postgres, name: str) -> None:
    user = f"of_{name}"
    await postgres.run(f"CREATE ROLE {user} LOGIN PASSWORD 'a-password'")
    try:
        access = Access(postgres.url(name).replace("celeste@", f"{user}@"), lambda: "a-password")
        with pytest.raises(ValueError, match=r"^database.url: .*permission denied"):
            await PostgresRecords(access).begin()
    finally:
        await postgres.run(f"DROP ROLE {user}")


async def test_servers_that_start_together_take_each_step_once(postgres: Postgres, name: str) -> None:
    servers = [PostgresRecords(postgres.access(name)) for _ in range(6)]
    with capture_logs() as logged:
        await asyncio.gather(*(server.begin() for server in servers))
    assert [line for line in logged if line["event"] == "database migrated"] == [
        {"event": "database migrated", "before": 0, "version": len(STEPS), "log_level": "info"}
    ]
    assert await postgres.run(f"SELECT version FROM {VERSION_TABLE}", name=name) == [(len(STEPS),)]
    for server in servers:
        await server.close()


async def test_the_tables_of_a_later_version_are_refused(postgres: Postgres, name: str) -> None:
    rows = PostgresRecords(postgres.access(name))
    await rows.begin()
    await rows.close()
    await postgres.run(f"UPDATE {VERSION_TABLE} SET version = {len(STEPS) + 1}", name=name)
    with pytest.raises(ValueError, match=f"has version {len(STEPS) + 1}.*update Celeste"):
        await PostgresRecords(postgres.access(name)).begin()


async def test_the_tables_of_an_earlier_version_get_the_steps_that_they_lack(postgres: Postgres, name: str) -> None:
    connection = await postgres.access(name).connect()
    for statement in STEPS[0]:
        await connection.execute(translated(statement))
    await connection.execute(f"CREATE TABLE {VERSION_TABLE} (id INTEGER PRIMARY KEY, version BIGINT NOT NULL)")
    await connection.execute(f"INSERT INTO {VERSION_TABLE} VALUES (1, 1)")
    assert await migrate_postgres(connection) == 1
    assert await migrate_postgres(connection) == len(STEPS)
    report = await look_at_postgres(connection)
    assert (report.version, report.rows["calls"]) == (len(STEPS), 0)
    await connection.close()


def test_a_step_of_sqlite_in_the_words_of_postgresql() -> None:
    assert translated("CREATE TABLE a (x INTEGER, y BLOB, z TEXT NOT NULL\n) WITHOUT ROWID\n") == (
        'CREATE TABLE a (x BIGINT, y BYTEA, z TEXT COLLATE "C" NOT NULL\n)'
    )


@pytest.mark.parametrize(
    ("state", "kind"),
    [("53100", StorageFull), ("53400", StorageFull), ("53300", StorageUnavailable), ("57P03", StorageUnavailable)],
)
def test_a_database_without_room_is_told_from_one_that_is_busy(state: str, kind: type[Exception]) -> None:
    error = type("Failed", (Exception,), {"sqlstate": state})("of a value")
    found = failure(error, "test")
    assert type(found) is kind
    assert "of a value" not in str(found)


async def test_after_a_kill_and_a_restart_it_works_again_by_itself(postgres: Postgres, name: str) -> None:
    rows = PostgresRecords(postgres.access(name))
    await asyncio.gather(*(put(rows, b"%d" % number) for number in range(8)))
    await asyncio.to_thread(postgres.kill)
    try:
        with pytest.raises(StorageUnavailable):
            await put(rows, b"lost")
        with pytest.raises(StorageUnavailable):
            await count(rows)
    finally:
        await asyncio.to_thread(postgres.start)
    assert await asyncio.gather(*(count(rows) for _ in range(8))) == [8] * 8, "what was written is there"
    await rows.close()


async def test_what_was_acknowledged_before_a_kill_is_there_after_it(postgres: Postgres, name: str) -> None:
    rows = PostgresRecords(postgres.access(name))
    await rows.begin()
    acknowledged: list[bytes] = []

    async def writer(number: int) -> None:
        for turn in range(10_000):
            key = b"%d/%d" % (number, turn)
            try:
                await put(rows, key)
            except StorageUnavailable:
                return
            acknowledged.append(key)

    writers = [asyncio.ensure_future(writer(number)) for number in range(4)]
    while len(acknowledged) < 100:
        await asyncio.sleep(0.005)
    await asyncio.to_thread(postgres.kill)
    await asyncio.gather(*writers)
    await asyncio.to_thread(postgres.start)
    found = {key for (key,) in await rows.read(lambda db: db.rows("SELECT sha256 FROM small_blobs"))}
    assert set(acknowledged) <= found
    assert len(found) - len(acknowledged) <= len(writers), "of a lost commit nobody knows"
    await rows.close()


async def test_while_the_database_stands_still_each_call_ends_soon(postgres: Postgres, name: str) -> None:
    rows = PostgresRecords(postgres.access(name, seconds=AWAY_SECONDS), connections=4)
    await put(rows, b"1")
    with postgres.standing_still():
        async with asyncio.timeout(20):
            works = [put(rows, b"%d" % number) for number in range(2, 12)] + [count(rows) for _ in range(4)]
            results = await asyncio.gather(*works, return_exceptions=True)
            assert {type(result) for result in results} == {StorageUnavailable}
            fresh = PostgresRecords(postgres.access(name, seconds=AWAY_SECONDS))
            with pytest.raises(StorageUnavailable):
                await fresh.begin()
            results = await asyncio.gather(*(put(fresh, b"x") for _ in range(10)), return_exceptions=True)
            assert {type(result) for result in results} == {StorageUnavailable}
    async with asyncio.timeout(20):
        while True:
            try:
                assert await count(rows) == 1, "a unit that was given up was rolled back"
                break
            except StorageUnavailable:  # the database is catching up
                await asyncio.sleep(0.05)
    await put(rows, b"2")
    assert await count(rows) == 2
    await rows.close()


async def test_a_session_that_an_administrator_ends_costs_no_call(postgres: Postgres, name: str) -> None:
    rows = PostgresRecords(postgres.access(name))
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
    runs = 0

    async def unit(db: Transaction) -> int:
        nonlocal runs
        runs += 1
        if runs == 1:
            assert (True,) in await postgres.run(ended, name)  # the session of the migration may be ending, too
        return await db.change(INSERT, b"1", b"")

    assert await rows.write(unit) == 1
    assert runs == 2
    assert await count(rows) == 1
    await rows.close()


async def test_a_unit_that_hides_a_failed_statement_is_not_taken_for_done(postgres: Postgres, name: str) -> None:
    rows = PostgresRecords(postgres.access(name))

    async def unit(db: Transaction) -> None:
        await db.change(INSERT, b"1", b"")
        with suppress(Exception):
            await db.change(INSERT, b"1", b"")

    with pytest.raises(StorageUnavailable):
        await rows.write(unit)
    assert await count(rows) == 0
    await rows.close()


async def test_a_transaction_that_conflicts_until_the_last_try_is_unavailable(postgres: Postgres, name: str) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    rows = PostgresRecords(postgres.access(name), sleep=sleep)
    conflict = "DO $$ BEGIN RAISE EXCEPTION 'told' USING ERRCODE = 'serialization_failure'; END $$"
    with pytest.raises(StorageUnavailable):
        await rows.write(lambda db: db.change(conflict))
    assert len(pauses) == TRIES - 1
    assert await put(rows, b"1") == 1
    await rows.close()
