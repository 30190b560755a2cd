"""What metrics tell of a pool: its processes, the tasks that wait, and why processes ended."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import aclosing

import pytest

from celeste_image.core.errors import EngineLost
from celeste_image.gauges import watch_workers
from celeste_image.sandbox.pool import WorkerPool
from celeste_image.sandbox.workers import Workers
from celeste_image.telemetry.instruments import INSTRUMENTS, POOL, WORKER_ENDS, WORKERS, WORKERS_WAITING
from celeste_image.telemetry.series import begin_recording, end_recording

MakePool = Callable[..., WorkerPool]


@pytest.fixture(autouse=True)
def _recording() -> Iterator[None]:
    begin_recording(INSTRUMENTS)
    POOL.allow(["acts"])
    yield
    end_recording()


def ends() -> dict[str, float]:
    return {reason: number for (_, reason), number in WORKER_ENDS.read()}


async def run(pool: WorkerPool, act: str, **task: object) -> None:
    async with asyncio.timeout(30), aclosing(pool.run({"act": act, **task})) as frames:
        async for _ in frames:
            pass


async def test_processes_and_waiting_tasks_are_shown(make_pool: MakePool) -> None:
    workers = Workers()
    workers.pools["acts"] = pool = make_pool(name="acts", size=2)
    end = watch_workers(workers)

    def shown() -> tuple[float, float, float]:
        processes = dict(WORKERS.read())
        return processes["acts", "busy"], processes["acts", "idle"], dict(WORKERS_WAITING.read())["acts",]

    await run(pool, "echo")
    assert shown() == (0, 1, 0)
    running = [pool.run({"act": "hang"}) for _ in range(2)]
    for each in running:
        await anext(each)
    waiting = asyncio.create_task(run(pool, "echo"))
    await asyncio.sleep(0)
    assert shown() == (2, 0, 1)
    await running[0].aclose()
    await waiting
    assert shown() == (1, 1, 0)
    left = asyncio.create_task(run(pool, "echo"))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    await running[1].aclose()
    assert shown()[::2] == (0, 0)
    end()
    assert not WORKERS.read()


@pytest.mark.parametrize(
    ("act", "task", "reason"),
    [
        ("killed", {"signal": signal.SIGKILL}, "crashed"),
        ("leaves", {"status": 0}, "crashed"),
        ("babbles", {"hex": "ff" * 12, "then": "hang"}, "malformed"),
        ("hang", {}, "late"),
    ],
)
async def test_a_lost_process_is_counted_once(
    make_pool: MakePool, act: str, task: dict[str, object], reason: str
) -> None:
    pool = make_pool(name="acts", seconds=0.5)
    with pytest.raises(EngineLost):
        await run(pool, act, **task)
    assert ends() == {reason: 1}
    await pool.close()
    assert ends() == {reason: 1}


async def test_a_process_that_nobody_needs_is_counted(make_pool: MakePool) -> None:
    pool = make_pool(name="acts")
    running = pool.run({"act": "hang"})
    await anext(running)
    await running.aclose()
    assert ends() == {"cancelled": 1}
    await run(pool, "echo")
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while pool.pids:
            await asyncio.sleep(0)
    await run(pool, "echo")
    assert ends() == {"cancelled": 1, "crashed": 1}
    await pool.close()
    assert ends() == {"cancelled": 1, "crashed": 1, "closed": 1}
