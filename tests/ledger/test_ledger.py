"""The ledger on SQLite and PostgreSQL: what is written when, what others see, and what a dead server leaves."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.postgres import Postgres
from tests.support.servers import running

from celeste_image.core.caller import ANONYMOUS, Caller
from celeste_image.core.errors import StorageFull, StorageUnavailable
from celeste_image.core.money import Cost, CostBasis, Money, Quantity
from celeste_image.database import Access, PostgresRecords, Records, SqliteRecords
from celeste_image.database.schema import STEPS
from celeste_image.ledger import CallState, Ended, FileOwner, Ledger, LockOwner, Owner, PaidCall
from celeste_image.store.open import DATABASE, open_backend

PAID = PaidCall(ANONYMOUS, "a-request", "bfl", "bfl/flux-pro", "generate")
COST = Cost(Money("USD", 45_000_000), basis=CostBasis.REPORTED)
EXPECTED = Cost(uncertain=Money("USD", 40_000_000))
UNKNOWN = Cost(unpriced_calls=1)
DONE = Ended(CallState.SETTLED, owed=True, images=1, billed=(Quantity("credit", 4.5),), cost=COST)
BEGAN = datetime(2026, 12, 1, tzinfo=UTC)


class Servers:
    """Servers on one database, each with a ledger of its own."""

    def __init__(self) -> None:
        self.now = BEGAN
        self._closing = AsyncExitStack()

    async def start(self) -> Ledger:
        records, owner = await self.open()
        ledger = Ledger(records, owner, self._time)
        await ledger.begin()
        return ledger

    async def open(self) -> tuple[Records, Owner]:
        """Returns what a new server has of the database."""
        raise NotImplementedError

    def later(self, close: Callable[[], Awaitable[None]]) -> None:
        """Has something closed at the end."""
        self._closing.push_async_callback(close)

    def _time(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    async def close(self) -> None:
        await self._closing.aclose()


class OnFile(Servers):
    """Those on a folder store."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    async def open(self) -> tuple[Records, FileOwner]:
        backend = open_backend(self.folder.as_uri(), {})
        self.later(backend.close)
        return SqliteRecords(backend), FileOwner(self.folder / "servers")


class OnPostgres(Servers):
    """Those on a PostgreSQL that has run for long."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    async def open(self) -> tuple[Records, LockOwner]:
        records, owner = PostgresRecords(self._access), LockOwner(self._access, calm_seconds=0)
        self.later(records.close)
        self.later(owner.close)
        return records, owner


@pytest.fixture
async def on_file(tmp_path: Path) -> AsyncGenerator[OnFile, None]:
    made = OnFile(tmp_path / "store")
    yield made
    await made.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def servers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Servers, None]:
    if request.param == "sqlite":
        on_file = OnFile(tmp_path / "store")
        yield on_file
        await on_file.close()
        return
    server: Postgres = request.getfixturevalue("postgres")
    async with server.database() as name:
        made = OnPostgres(server.access(name))
        yield made
        await made.close()


async def test_a_call_is_open_until_its_end_is_written(servers: Servers) -> None:
    ledger = await servers.start()
    name = await ledger.open(PAID)
    (entry,) = await ledger.entries("anonymous")
    assert (entry.id, entry.call, entry.outcome.state, entry.ended) == (name, PAID, CallState.OPEN, None)
    assert entry.started == BEGAN + timedelta(milliseconds=1)
    await ledger.submitted(name, "job-7")
    await ledger.end(name, DONE)
    (entry,) = await ledger.entries("anonymous")
    assert entry.call.ticket == "job-7"
    assert (entry.outcome, entry.ended) == (DONE, BEGAN + timedelta(milliseconds=2))
    await ledger.end(name, Ended(CallState.UNCERTAIN, "INTERNAL"))
    assert (await ledger.entries("anonymous"))[0].outcome == DONE, "an end that is written stays"
    assert ledger.uncertain == 0


async def test_calls_of_a_dead_server_are_uncertain_and_those_of_a_running_one_are_not(servers: Servers) -> None:
    dead, running = await servers.start(), await servers.start()
    lost = await dead.open(PAID)
    await dead.submitted(lost, "job-1")
    ended = await dead.open(PAID)
    await dead.end(ended, DONE)
    going = await running.open(PAID)
    assert await running.recover() == 0, "the other one still runs"
    await dead.close()
    third = await servers.start()
    assert await third.recover() == 1
    assert third.uncertain == 1
    states = {entry.id: entry.outcome.state for entry in await third.entries("anonymous")}
    assert states == {lost: CallState.UNCERTAIN, ended: CallState.SETTLED, going: CallState.OPEN}
    (entry,) = await third.entries("anonymous", states=[CallState.UNCERTAIN])
    assert (entry.id, entry.call.ticket, entry.outcome.reason) == (lost, "job-1", "SERVER_UNAVAILABLE")
    assert await third.recover() == 0, "each is found once"
    await dead.end(lost, DONE)
    assert third.uncertain == 1
    await running.end(going, DONE)
    assert (await third.entries("anonymous"))[0].outcome == DONE


async def test_the_files_of_dead_servers_are_removed_and_those_of_running_ones_are_not(
    on_file: OnFile,
) -> None:
    folder = on_file.folder / "servers"
    ledger, beside = await on_file.start(), FileOwner(folder)
    (folder / ("0" * 32)).touch()
    (folder / "a note").touch()
    assert await ledger.recover() == 0
    left = {path.name for path in folder.iterdir()}
    assert len(left) == 3
    assert {beside.name, "a note"} < left
    await beside.close()
    await ledger.close()
    assert [path.name for path in folder.iterdir()] == ["a note"]


async def test_a_try_that_goes_on_with_a_job_has_the_row_of_the_try_that_submitted_it(servers: Servers) -> None:
    ledger = await servers.start()
    name = await ledger.open(PAID)
    await ledger.submitted(name, "job-1")
    await ledger.end(name, Ended(CallState.UNCERTAIN, "OUTCOME_UNKNOWN"))
    assert ledger.uncertain == 1
    resumed = PaidCall(ANONYMOUS, "a-request", "bfl", "bfl/flux-pro", "generate", "job-1")
    assert await ledger.open(resumed) == name
    assert ledger.uncertain == 0
    await ledger.end(name, DONE)
    (entry,) = await ledger.entries("anonymous")
    assert entry.outcome == DONE
    foreign = PaidCall(Caller("another", "x"), "a-request", "bfl", "bfl/flux-pro", "generate", "job-1")
    assert await ledger.open(foreign) != name, "a ticket of another tenant is a row of its own"


async def test_a_tenant_sees_its_own_entries_newest_first_page_by_page(servers: Servers) -> None:
    ledger = await servers.start()
    names = [await ledger.open(PAID) for _ in range(5)]
    other = await ledger.open(PaidCall(Caller("another", "x"), "r", "bfl", "bfl/flux-pro", "edit"))
    assert [entry.id for entry in await ledger.entries("another")] == [other]
    first = await ledger.entries("anonymous", limit=3)
    rest = await ledger.entries("anonymous", limit=3, before=first[-1].id)
    assert [entry.id for entry in first + rest] == names[::-1]
    assert await ledger.entries("anonymous", request_id="another") == []
    assert len(await ledger.entries("anonymous", request_id="a-request")) == 5


async def test_without_a_row_on_the_disk_there_is_no_call_and_a_lost_end_is_no_failure(
    on_file: OnFile, tmp_path: Path
) -> None:
    ledger = await on_file.start()
    name = await ledger.open(PAID)
    (tmp_path / "store" / DATABASE).rename(tmp_path / "moved")
    with pytest.raises(StorageUnavailable):
        await ledger.open(PAID)
    await ledger.end(name, DONE)
    (tmp_path / "moved").rename(tmp_path / "store" / DATABASE)
    (entry,) = await ledger.entries("anonymous")
    assert entry.outcome.state is CallState.OPEN
    await ledger.close()
    later = await on_file.start()
    assert await later.recover() == 1


async def test_an_end_that_is_written_soon_is_written_before_the_ledger_closes(servers: Servers) -> None:
    ledger = await servers.start()
    name = await ledger.open(PAID)
    ledger.end_soon(name, Ended(CallState.UNCERTAIN, "CANCELLED"))
    await ledger.close()
    (entry,) = await (await servers.start()).entries("anonymous")
    assert entry.outcome == Ended(CallState.UNCERTAIN, "CANCELLED", cost=UNKNOWN)


async def test_a_server_starts_though_the_calls_of_dead_ones_cannot_be_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: Ledger) -> int:
        raise StorageFull("the disk is full")

    monkeypatch.setattr(Ledger, "recover", full)
    with capture_logs() as logged:
        async with running(store={"url": (tmp_path / "store").as_uri(), "reserve_bytes": 0}) as server:
            assert server.address
    assert [line["error"] for line in logged if line["event"] == "paid calls not looked for"] == [
        "StorageFull: the disk is full"
    ]


async def test_a_call_that_is_cancelled_while_its_row_is_written_was_never_sent(servers: Servers) -> None:
    ledger = await servers.start()
    for _ in range(20):
        task = asyncio.create_task(ledger.open(PAID))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await ledger.close()
    for entry in await ledger.entries("anonymous"):
        nothing = Cost(Money("USD", 0), basis=CostBasis.CALCULATED)
        assert entry.outcome == Ended(CallState.SETTLED, "CANCELLED", owed=False, cost=nothing)


async def test_an_open_call_may_cost_what_it_costs_if_it_succeeds(servers: Servers) -> None:
    dead = await servers.start()
    name = await dead.open(PAID, EXPECTED)
    await dead.submitted(name, "job-1")
    (entry,) = await dead.entries("anonymous")
    assert entry.cost == EXPECTED
    await dead.close()
    later = await servers.start()
    await later.recover()
    (entry,) = await later.entries("anonymous", states=[CallState.UNCERTAIN])
    assert entry.cost == EXPECTED, "nobody knows better"
    resumed = replace(PAID, ticket="job-1")
    await later.open(resumed, EXPECTED)
    await later.end(name, DONE)
    assert (await later.entries("anonymous"))[0].cost == COST
    await later.open(resumed, EXPECTED)
    (entry,) = await later.entries("anonymous", states=[CallState.OPEN])
    assert entry.cost == EXPECTED, "it is paid once, whoever asks for the job again"


async def test_quantities_of_earlier_versions_are_read(servers: Servers) -> None:
    ledger = await servers.start()
    name = await ledger.open(PAID)
    await ledger.end(name, replace(DONE, billed=(Quantity("credit", 0.1), Quantity("credit", 2.0, "bfl/other"))))
    (entry,) = await ledger.entries("anonymous")
    assert entry.outcome.billed == (Quantity("credit", 0.1), Quantity("credit", 2.0, "bfl/other"))
    earlier = '{"input_text_token": 9.0}'
    await ledger.records.write(lambda db: db.change("UPDATE calls SET billed = $1", earlier))
    (entry,) = await ledger.entries("anonymous")
    assert entry.outcome.billed == (Quantity("input_text_token", 9.0),)


async def test_rows_of_earlier_versions_have_an_unknown_cost_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with closing(sqlite3.connect(folder / DATABASE)) as database, database:
        for statement in (each for step in STEPS[:3] for each in step):
            database.execute(statement)
        database.execute("PRAGMA user_version = 3")
        for name, state, owed in (("a", "settled", 1), ("b", "settled", 0), ("c", "uncertain", None)):
            facts = (name, "s", "anonymous", "anonymous", "r", "bfl", "bfl/flux-pro", "generate", 1, state, "", owed, 0)
            columns = "id, server, tenant, caller, request_id, provider, model, operation, started, state, reason, owed"
            places = ", ".join("?" * len(facts))
            database.execute(f"INSERT INTO calls ({columns}, images, billed) VALUES ({places}, '{{}}')", facts)
    servers = OnFile(folder)
    uncertain, free, paid = await (await servers.start()).entries("anonymous")
    assert (uncertain.cost, paid.cost) == (UNKNOWN, UNKNOWN)
    assert free.cost == Cost(Money("USD", 0), basis=CostBasis.CALCULATED)
    await servers.close()


@pytest.mark.parametrize(
    ("state", "cost"),
    [
        (CallState.SETTLED, Cost(Money("EUR", 5), Money("EUR", 7), CostBasis.ESTIMATED)),
        (CallState.SETTLED, Cost(uncertain=Money("EUR", 7), unpriced_calls=1)),
        (CallState.SETTLED, UNKNOWN),
        (CallState.UNCERTAIN, EXPECTED),
        (CallState.UNCERTAIN, UNKNOWN),
    ],
)
async def test_a_cost_is_read_as_it_was_written(servers: Servers, state: CallState, cost: Cost) -> None:
    ledger = await servers.start()
    await ledger.end(await ledger.open(PAID, EXPECTED), Ended(state, cost=cost))
    (entry,) = await ledger.entries("anonymous")
    assert entry.cost == cost
