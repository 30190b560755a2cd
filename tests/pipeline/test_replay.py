"""replaying: a repeated request id gets the first outcome, on whichever server it comes to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_provider import CALL, REQUEST, saved
from tests.support.waiting import until

from celeste_image.core.call import Call
from celeste_image.core.caller import Caller
from celeste_image.core.errors import (
    CelesteError,
    OutcomeUnknown,
    QueueFull,
    RequestIdReused,
    SafetyBlocked,
    StorageUnavailable,
)
from celeste_image.core.events import Completed, Event, Fidelity, Progress, Reused, Run, Started
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import ResultSource
from celeste_image.database import SqliteRecords
from celeste_image.ledger import CallState, Ended, EndedOperation, FileOwner, Ledger, Outcome, PaidCall, Requests
from celeste_image.pipeline import replay
from celeste_image.pipeline.complete import completing
from celeste_image.store.backend import Backend
from celeste_image.store.open import open_backend

NAMED = replace(CALL, is_named=True)
OTHER = replace(REQUEST, prompt="something else")
MADE: list[Event] = [Started("fake", "fake/one"), saved()]
AGAIN: list[Event] = [Reused(ResultSource.REPLAYED), *MADE]
JOINED: list[Event] = [MADE[0], Reused(ResultSource.REPLAYED), MADE[1]]
"""Nothing is made before Reused, and a stream begins with Started."""


class Work:
    """The rest of the pipeline. It ends at once, or when it is told to."""

    def __init__(self, *errors: CelesteError | None, waits: bool = False) -> None:
        self.calls: list[Call] = []
        self.go = asyncio.Event()
        self._errors = list(errors)
        if not waits:
            self.go.set()

    async def __call__(self, request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        self.calls.append(call)
        yield MADE[0]
        yield Progress(0.5)
        await self.go.wait()
        error = self._errors.pop(0) if self._errors else None
        if error:
            raise error
        yield MADE[1]


def replaying(work: Run, requests: Requests, *, paid: bool = True, **others: Any) -> Run:
    return replay.replaying(work, requests, lambda _: paid, **others)


class Servers:
    """Servers on one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.backends: list[Backend] = []
        self.owners: list[FileOwner] = []
        self.now = datetime(2026, 12, 1, tzinfo=UTC)

    def start(self) -> Requests:
        folder = self._folder / "store"
        backend, owner = open_backend(folder.as_uri(), {}), FileOwner(folder / "servers")
        self.backends.append(backend)
        self.owners.append(owner)
        return Requests(SqliteRecords(backend), owner, timedelta(hours=24), lambda: self.now)

    async def kill(self, index: int) -> None:
        await self.owners[index].close()

    def ledger(self, index: int) -> Ledger:
        return Ledger(SqliteRecords(self.backends[index]), self.owners[index], lambda: self.now)


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncGenerator[Servers, None]:
    made = Servers(tmp_path)
    yield made
    for backend in made.backends:
        await backend.close()


async def ask(run: Run, request: ImageRequest = REQUEST, call: Call = NAMED) -> list[Event]:
    async with aclosing(run(request, call)) as events:
        return [event async for event in events]


async def refusal(run: Run) -> RequestIdReused:
    """Returns the error of another request with the same id."""
    with pytest.raises(RequestIdReused) as caught:
        await ask(run, OTHER)
    return caught.value


def without_progress(events: list[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Progress)]


async def looks(_: float) -> None:
    """Stands for a pause between two looks."""
    await asyncio.sleep(0.001)


async def test_a_repeat_gets_the_first_outcome_also_from_another_server(servers: Servers) -> None:
    work = Work()
    first, second = servers.start(), servers.start()
    run = replaying(work, first)
    assert without_progress(await ask(run)) == MADE
    assert await ask(run) == AGAIN
    assert await ask(replaying(work, second)) == AGAIN
    assert len(work.calls) == 1


async def test_another_body_with_the_same_id_is_refused(servers: Servers) -> None:
    work = Work(waits=True)
    run, elsewhere = replaying(work, servers.start()), replaying(work, servers.start())
    task = asyncio.create_task(ask(run))
    await until(lambda: work.calls)
    refused = [await refusal(road) for road in (run, elsewhere)]
    work.go.set()
    await task
    refused.append(await refusal(run))
    assert [error.metadata for error in refused] == [{"started": "2026-12-01T00:00:00+00:00"}] * 3
    assert len(work.calls) == 1


async def test_tenants_have_ids_of_their_own(servers: Servers) -> None:
    work = Work()
    run = replaying(work, servers.start())
    await ask(run)
    assert without_progress(await ask(run, OTHER, replace(NAMED, caller=Caller("b", "b")))) == MADE


async def test_free_work_without_an_id_is_not_written_down(servers: Servers) -> None:
    work, requests = Work(), servers.start()
    run = replaying(work, requests, paid=False)
    await ask(run, call=CALL)
    assert (await requests.claim(CALL.caller, CALL.request_id, b"1")).is_ours


async def test_a_repeat_while_the_first_runs_waits_for_it(servers: Servers) -> None:
    work = Work(waits=True)
    here, elsewhere = replaying(work, servers.start()), replaying(work, servers.start(), sleep=looks)
    first = asyncio.create_task(ask(here))
    await until(lambda: work.calls)
    repeats = [asyncio.create_task(ask(run)) for run in (here, elsewhere)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in repeats)
    work.go.set()
    assert without_progress(await first) == MADE
    assert [without_progress(await task) for task in repeats] == [JOINED, AGAIN]
    assert len(work.calls) == 1


async def test_the_work_goes_on_when_its_first_caller_leaves_and_another_waits(servers: Servers) -> None:
    work = Work(waits=True)
    run = replaying(work, servers.start())
    first = asyncio.create_task(ask(run))
    await until(lambda: work.calls)
    second = asyncio.create_task(ask(run))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    work.go.set()
    assert without_progress(await second) == MADE
    assert len(work.calls) == 1


async def test_a_repeat_is_not_counted_again(servers: Servers) -> None:
    work, counted = Work(waits=True), list[EndedOperation]()
    run = completing(replaying(work, servers.start()), count=counted.append)
    tasks = [asyncio.create_task(ask(run)) for _ in range(3)]
    await until(lambda: work.calls)
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    work.go.set()
    results = [events[-1].result for events in await asyncio.gather(*tasks[1:]) if isinstance(events[-1], Completed)]
    assert [result.source for result in results] == [ResultSource.MADE, ResultSource.REPLAYED]
    assert sum(operation.images for operation in counted) == 1


async def test_who_joins_gets_the_report_of_the_model_that_did_it(servers: Servers) -> None:
    """As the first caller does: the lines of a model that failed before are void."""
    go, begun = asyncio.Event(), asyncio.Event()
    lines = [Fidelity(FidelityLine("size", FidelityOutcome.HONORED, message=name)) for name in ("one", "two")]

    async def work(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        yield Started("fake", "fake/one")
        yield lines[0]
        yield Started("fake", "fake/two", 2)
        yield lines[1]
        begun.set()
        await go.wait()
        yield saved()

    run = replaying(work, servers.start())
    first = asyncio.create_task(ask(run))
    await begun.wait()
    second = asyncio.create_task(ask(run))
    await asyncio.sleep(0.01)
    go.set()
    await first
    assert [event for event in await second if isinstance(event, Fidelity)] == [lines[1]]


async def test_the_own_body_is_not_refused_after_a_caller_left(servers: Servers) -> None:
    """The second caller comes while the work of the first one is being stopped, the third one after it."""
    stopped = asyncio.Event()
    work = Work(waits=True)

    async def slow_to_stop(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(work(request, call)) as events:
                async for event in events:
                    yield event
        finally:
            await stopped.wait()

    run = replaying(slow_to_stop, servers.start())
    first = asyncio.create_task(ask(run))
    await until(lambda: work.calls)
    first.cancel()
    await asyncio.sleep(0)
    second = asyncio.create_task(ask(run))
    await asyncio.sleep(0.01)
    stopped.set()
    await until(lambda: len(work.calls) == 2)
    third = asyncio.create_task(ask(run))
    await asyncio.sleep(0.01)
    work.go.set()
    assert [without_progress(events) for events in await asyncio.gather(second, third)] == [MADE, JOINED]
    await asyncio.wait([first])


@pytest.mark.parametrize("is_killed", [True, False])
async def test_a_repeat_goes_on_where_the_first_was_lost(servers: Servers, is_killed: bool) -> None:
    """Its server was killed, or its caller left."""
    work, requests = Work(waits=True), servers.start()
    first = asyncio.create_task(ask(replaying(work, requests)))
    await until(lambda: work.calls)
    paid = PaidCall(CALL.caller, CALL.request_id, "fake", "fake/one", "generate", images=range(2, 4))
    name = await servers.ledger(0).open(paid)
    await servers.ledger(0).submitted(name, "job-1")
    if is_killed:
        await servers.kill(0)
    else:
        first.cancel()
        await asyncio.wait([first])
        await requests.close()
    again = Work()
    elsewhere = replaying(again, servers.start(), sleep=looks)
    assert without_progress(await ask(elsewhere)) == MADE
    (earlier,) = again.calls[0].earlier
    assert (earlier.id, earlier.model, earlier.images, earlier.ticket) == (name, "fake/one", range(2, 4), "job-1")
    assert not earlier.is_settled
    with pytest.raises(RequestIdReused):
        await ask(elsewhere, OTHER)
    first.cancel()
    await asyncio.wait([first])


async def test_a_receipt_comes_back(servers: Servers) -> None:
    requests, ledger = servers.start(), servers.ledger(0)
    name = await ledger.open(PaidCall(CALL.caller, CALL.request_id, "fake", "fake/one", "generate"))
    receipt = Outcome(MADE, SafetyBlocked("no", metadata={"owed": "true"})).encode()
    await ledger.end(name, Ended(CallState.SETTLED, "SAFETY_BLOCKED", True, 1, receipt=receipt))
    work = Work()
    await ask(replaying(work, requests))
    (earlier,) = work.calls[0].earlier
    assert (earlier.is_settled, earlier.is_owed, earlier.has_receipt) == (True, True, True)
    assert list(earlier.events) == MADE
    assert isinstance(earlier.error, SafetyBlocked)


async def test_what_the_provider_refused_is_refused_again(servers: Servers) -> None:
    work = Work(SafetyBlocked("no", metadata={"stage": "prompt"}))
    run = replaying(work, servers.start())
    for _ in range(2):
        with pytest.raises(SafetyBlocked) as caught:
            await ask(run)
        assert caught.value.metadata == {"stage": "prompt"}
    assert len(work.calls) == 1


@pytest.mark.parametrize("error", [QueueFull("full"), OutcomeUnknown("?", metadata={"final": "false"})])
async def test_after_other_errors_a_repeat_begins_again(servers: Servers, error: CelesteError) -> None:
    work, requests = Work(error), servers.start()
    run = replaying(work, requests)
    with pytest.raises(type(error)):
        await ask(run)
    await requests.close()
    assert without_progress(await ask(run)) == MADE
    with pytest.raises(RequestIdReused):
        await ask(run, OTHER)


async def test_an_outcome_is_forgotten_after_its_time(servers: Servers) -> None:
    work, requests = Work(), servers.start()
    run = replaying(work, requests)
    await ask(run)
    servers.now += timedelta(hours=24)
    assert await requests.sweep() == 1
    assert without_progress(await ask(run, OTHER)) == MADE
    servers.now += timedelta(hours=24)
    assert without_progress(await ask(run)) == MADE, "it is not swept yet, and its time is over"


async def test_an_id_that_is_free_again_has_none_of_the_calls_before(servers: Servers) -> None:
    requests, ledger = servers.start(), servers.ledger(0)
    work = Work(QueueFull("full"), QueueFull("full"))
    run = replaying(work, requests)
    for request in (REQUEST, OTHER):
        with pytest.raises(QueueFull):
            await ask(run, request)
        await requests.close()
        name = await ledger.open(PaidCall(CALL.caller, CALL.request_id, "fake", "fake/one", "generate"))
        await ledger.end(name, Ended(CallState.SETTLED, "", True, 1, receipt=Outcome(MADE).encode()))
        servers.now += timedelta(hours=24 if request == REQUEST else 1)
    await ask(run, OTHER)
    assert [[call.id for call in each.earlier] for each in work.calls] == [[], [], [name]]


async def test_nothing_begins_that_can_not_be_written_down(servers: Servers) -> None:
    work, requests = Work(), servers.start()
    await servers.backends[0].close()
    with pytest.raises(StorageUnavailable):
        await ask(replaying(work, requests))
    assert not work.calls


async def test_a_hundred_repeats_on_two_servers_are_one_run(servers: Servers) -> None:
    work = Work(waits=True)
    roads = [replaying(work, servers.start(), sleep=looks) for _ in range(2)]
    tasks = [asyncio.create_task(ask(roads[number % 2])) for number in range(100)]
    await until(lambda: work.calls)
    await asyncio.sleep(0.01)
    work.go.set()
    for events in await asyncio.gather(*tasks):
        assert without_progress(events) in (MADE, AGAIN, JOINED)
    assert len(work.calls) == 1
