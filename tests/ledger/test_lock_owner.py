"""The lock of a server on a real PostgreSQL: who is dead, who is only slow, and what a restarted database says."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs
from tests.support.postgres import PASSWORD, Postgres
from tests.support.waiting import until

from celeste_image.core.caller import ANONYMOUS
from celeste_image.core.errors import StorageUnavailable
from celeste_image.database import PostgresRecords
from celeste_image.ledger import CallState, Ledger, LockOwner, PaidCall

PAID = PaidCall(ANONYMOUS, "a-request", "bfl", "bfl/flux-pro", "generate")
AWAY_SECONDS = 0.5
SERVER = f"""
import asyncio, sys
from celeste_image.core.caller import ANONYMOUS
from celeste_image.database import Access, PostgresRecords
from celeste_image.ledger import Ledger, LockOwner, PaidCall

async def main():
    access = Access(sys.argv[1], lambda: {PASSWORD!r})
    ledger = Ledger(PostgresRecords(access), LockOwner(access))
    await ledger.begin()
    name = await ledger.open(PaidCall(ANONYMOUS, "of-another", "bfl", "bfl/flux-pro", "generate"))
    print(name, file=sys.stderr, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Place:
    """A database, and the servers on it."""

    def __init__(self, server: Postgres, name: str) -> None:
        self.server, self.name = server, name
        self.clock = Clock()
        self._closing = AsyncExitStack()

    async def owner(self, calm_seconds: float = 10.0, seconds: float = 5.0) -> LockOwner:
        access = self.server.access(self.name, seconds=seconds)
        owner = LockOwner(access, ping_seconds=0.05, calm_seconds=calm_seconds, clock=self.clock)
        self._closing.push_async_callback(owner.close)
        await owner.begin()
        return owner

    async def ledger(self) -> Ledger:
        records = PostgresRecords(self.server.access(self.name))
        self._closing.push_async_callback(records.close)
        return Ledger(records, await self.owner(calm_seconds=0))

    async def process(self) -> tuple[asyncio.subprocess.Process, str]:
        """Starts a server with an open call in a process of its own; returns it with the call's id."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            SERVER,
            self.server.url(self.name),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )

        async def end() -> None:
            if process.returncode is None:
                process.kill()
                await process.wait()

        self._closing.push_async_callback(end)
        assert process.stderr
        async with asyncio.timeout(30):
            return process, (await process.stderr.readline()).decode().strip()

    async def close(self) -> None:
        await self._closing.aclose()


@pytest.fixture
async def place(postgres: Postgres) -> AsyncGenerator[Place, None]:
    async with postgres.database() as name:
        made = Place(postgres, name)
        yield made
        await made.close()


def is_held(owner: LockOwner) -> Callable[[], bool]:
    def held() -> bool:
        try:
            owner.check()
        except StorageUnavailable:
            return False
        return True

    return held


async def test_a_server_that_closes_is_gone_and_one_that_runs_is_not(place: Place) -> None:
    one, two = await place.owner(calm_seconds=0), await place.owner(calm_seconds=0)
    assert await one.gone([one.name, two.name, "never-was"]) == ["never-was"]
    await two.close()
    assert await one.gone([two.name, one.name]) == [two.name]
    assert await one.gone([]) == []


async def test_before_it_has_begun_no_call_is_opened(place: Place) -> None:
    owner = LockOwner(place.server.access(place.name))
    with pytest.raises(StorageUnavailable):
        owner.check()
    with pytest.raises(StorageUnavailable):
        await owner.gone(["another"])


async def test_calls_of_a_killed_process_are_uncertain_within_seconds(place: Place) -> None:
    ledger = await place.ledger()
    process, name = await place.process()
    mine = await ledger.open(PAID)
    assert await ledger.recover() == 0
    process.kill()
    await process.wait()
    async with asyncio.timeout(5):
        while not await ledger.recover():
            await asyncio.sleep(0.01)
    states = {entry.id: entry.outcome.state for entry in await ledger.entries("anonymous")}
    assert states == {name: CallState.UNCERTAIN, mine: CallState.OPEN}
    assert ledger.uncertain == 1


async def test_calls_of_a_process_that_stands_still_stay_open(place: Place) -> None:
    ledger = await place.ledger()
    process, name = await place.process()
    os.kill(process.pid, signal.SIGSTOP)
    try:
        for _ in range(50):
            assert await ledger.recover() == 0
    finally:
        os.kill(process.pid, signal.SIGCONT)
    (entry,) = await ledger.entries("anonymous")
    assert (entry.id, entry.outcome.state) == (name, CallState.OPEN)


async def test_after_a_restart_of_the_database_it_locks_again_and_declares_nobody_gone_at_first(place: Place) -> None:
    owner, other = await place.owner(), await place.owner()
    place.clock.seconds += 10
    assert await owner.gone(["dead", other.name]) == ["dead"]
    with capture_logs() as logged:
        await asyncio.to_thread(place.server.kill)
        try:
            await until(lambda: not is_held(owner)())
            with pytest.raises(StorageUnavailable):
                await owner.gone(["dead"])
        finally:
            await asyncio.to_thread(place.server.start)
        await until(lambda: is_held(owner)() and is_held(other)())
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == ["paid calls refused"] * 2
    assert [line["event"] for line in logged if line["log_level"] == "info"] == ["paid calls taken again"] * 2
    new = await place.owner()
    for each in (owner, new):
        assert await each.gone(["dead", other.name]) == [], "others may need time to lock again"
    place.clock.seconds += 10
    for each in (owner, new):
        assert await each.gone(["dead", other.name]) == ["dead"]


async def test_while_the_database_stands_still_no_call_is_opened(place: Place) -> None:
    owner = await place.owner(seconds=AWAY_SECONDS)
    other = await place.owner(seconds=AWAY_SECONDS)
    with place.server.standing_still():
        await until(lambda: not is_held(owner)() and not is_held(other)())
    await until(lambda: is_held(owner)() and is_held(other)())
    place.clock.seconds += 10
    assert await owner.gone([other.name]) == []


async def test_a_session_that_an_administrator_ends_is_opened_again(place: Place) -> None:
    owner, other = await place.owner(), await place.owner()
    place.clock.seconds += 10
    ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    with capture_logs() as logged:
        assert len(await place.server.run(ended)) == 2
        await until(lambda: sum(line["event"] == "paid calls taken again" for line in logged) == 2)
    assert is_held(owner)()
    place.clock.seconds += 10
    assert await owner.gone([other.name]) == []


async def test_a_server_that_starts_while_the_database_is_away_is_ready_when_it_is_back(place: Place) -> None:
    await asyncio.to_thread(place.server.kill)
    try:
        owner = await place.owner()
        assert not is_held(owner)()
    finally:
        await asyncio.to_thread(place.server.start)
    await until(is_held(owner))
