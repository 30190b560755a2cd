"""Flights: callers with the same key share one run."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from tests.support.fake_provider import saved
from tests.support.waiting import until

from celeste_image.core.errors import ProviderFailed
from celeste_image.core.events import Event, Progress, Started
from celeste_image.pipeline.flights import Flights, Start


class Work:
    """Work that ends when it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.runs = self.stopped = 0
        self.go = asyncio.Event()
        self._error = error

    async def __call__(self) -> AsyncGenerator[Event, None]:
        self.runs += 1
        try:
            yield Started("fake", "fake/one")
            yield Progress(0.5)
            await self.go.wait()
            if self._error:
                raise self._error
            yield saved()
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped += 1
            raise


async def read(flights: Flights, work: Start, key: object = "key") -> list[Event]:
    async with aclosing(flights.join(key, work)) as events:
        return [event async for event in events]


async def test_a_hundred_callers_share_one_run() -> None:
    flights, work = Flights(), Work()
    tasks = [asyncio.create_task(read(flights, work)) for _ in range(100)]
    await until(lambda: work.runs == 1)
    late = asyncio.create_task(read(flights, work))
    await asyncio.sleep(0)
    work.go.set()
    told = await asyncio.gather(*tasks, late)
    assert work.runs == 1
    assert all(events[0] == Started("fake", "fake/one") for events in told)
    assert all(events[-1] == saved() for events in told)
    assert "key" not in flights
    assert await read(flights, work) == [Started("fake", "fake/one"), Progress(0.5), saved()], (
        "work that is over is done again"
    )


async def test_other_keys_run_apart() -> None:
    flights, work = Flights(), Work()
    work.go.set()
    await asyncio.gather(read(flights, work, 1), read(flights, work, 2))
    assert work.runs == 2


async def test_the_work_goes_on_when_the_first_caller_leaves() -> None:
    flights, work = Flights(), Work()
    first = asyncio.create_task(read(flights, work))
    second = asyncio.create_task(read(flights, work))
    await until(lambda: work.runs == 1)
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.go.set()
    assert (await second)[-1] == saved()
    assert (work.runs, work.stopped) == (1, 0)


async def test_the_last_one_who_leaves_stops_the_work_and_waits_for_its_end() -> None:
    flights, work = Flights(), Work()
    tasks = [asyncio.create_task(read(flights, work)) for _ in range(3)]
    await until(lambda: work.runs == 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert work.stopped == 1
    assert "key" not in flights


async def test_who_comes_while_the_work_is_stopped_starts_anew_after_its_end() -> None:
    flights, work, log = Flights(), Work(), list[str]()

    async def slow_to_stop() -> AsyncGenerator[Event, None]:
        log.append("begin")
        try:
            yield Started("fake", "fake/one")
            await work.go.wait()
        finally:
            await asyncio.sleep(0.01)
            log.append("end")

    first = asyncio.create_task(read(flights, slow_to_stop))
    await until(lambda: log)
    first.cancel()
    await asyncio.sleep(0)
    second = asyncio.create_task(read(flights, slow_to_stop))
    await asyncio.wait([first])
    work.go.set()
    assert await second == [Started("fake", "fake/one")]
    assert log == ["begin", "end", "begin", "end"]


async def test_all_get_the_error_and_each_its_own() -> None:
    flights, work = Flights(), Work(ProviderFailed("broken", metadata={"owed": "true"}))
    tasks = [asyncio.create_task(read(flights, work)) for _ in range(3)]
    await until(lambda: work.runs == 1)
    work.go.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [ProviderFailed] * 3
    assert len({id(error) for error in errors}) == 3
    assert {error.metadata["owed"] for error in errors if isinstance(error, ProviderFailed)} == {"true"}


async def test_closing_in_the_middle_stops_the_work() -> None:
    flights, work = Flights(), Work()
    async with aclosing(flights.join("key", work)) as events:
        assert await anext(events) == Started("fake", "fake/one")
    assert work.stopped == 1


async def test_one_who_was_told_an_error_starts_anew_at_once() -> None:
    flights, broken, work = Flights(), Work(ProviderFailed("broken")), Work()

    async def twice() -> list[Event]:
        with pytest.raises(ProviderFailed):
            await read(flights, broken)
        return await read(flights, work)

    tasks = [asyncio.create_task(twice()) for _ in range(3)]
    await until(lambda: broken.runs == 1)
    work.go.set()
    broken.go.set()
    async with asyncio.timeout(10):
        assert [events[-1] for events in await asyncio.gather(*tasks)] == [saved()] * 3
    assert (broken.runs, work.runs) == (1, 1)
