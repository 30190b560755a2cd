"""Images that end the process that decodes them."""

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.support.pictures import plain
from tests.support.servers import workers

from celeste_image.core.errors import EngineLost, ImageRefused
from celeste_image.imaging.guard import Guard, ImageLimits
from celeste_image.sandbox.pool import WorkerPool

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENGINE = "tests.imaging.engines.fragile"


@contextlib.asynccontextmanager
async def pool_of(size: int) -> AsyncIterator[WorkerPool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        pool = WorkerPool(ENGINE, size=size)
    yield pool
    await pool.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    async with pool_of(2) as pool:
        yield pool


@pytest.fixture
def guard(pool: WorkerPool) -> Guard:
    return Guard(pool, ImageLimits(max_bytes=1000))


async def refusal(guard: Guard, data: bytes) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        await guard.inspect(data)
    return caught.value


async def test_an_image_that_ends_two_processes_is_refused_from_then_on(guard: Guard, pool: WorkerPool) -> None:
    data = b"crash:1"
    error = await refusal(guard, data)
    assert error.metadata == {"sha256": hashlib.sha256(data).hexdigest()}
    await guard.inspect(b"good")
    pids = pool.pids
    for _ in range(3):
        assert (await refusal(guard, data)).metadata == error.metadata
    assert pool.pids == pids, "the refusal cost no process"
    assert (await guard.inspect(b"another")).size_bytes == 7


async def test_concurrent_callers_with_the_same_bad_image_cost_one_process_each(guard: Guard) -> None:
    answers = await asyncio.gather(*(guard.inspect(b"crash:2") for _ in range(6)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {ImageRefused}
    assert guard.losses[hashlib.sha256(b"crash:2").hexdigest()] <= 7, "the first caller may cost one more"


async def test_a_process_that_ends_once_harms_nobody() -> None:
    async with pool_of(1) as pool:
        guard = Guard(pool, ImageLimits(max_bytes=1000))
        await guard.inspect(b"good")
        first = pool.pids
        assert (await guard.inspect(b"used")).size_bytes == 4
        assert pool.pids != first, "the first process ended"
    assert not guard.losses, "the image is not blamed"


async def test_only_the_latest_are_remembered(pool: WorkerPool) -> None:
    guard = Guard(pool, ImageLimits(max_bytes=1000), remembered=2)
    for name in (b"crash:a", b"crash:b", b"crash:a", b"crash:c"):
        await refusal(guard, name)
    assert list(guard.losses) == [hashlib.sha256(name).hexdigest() for name in (b"crash:a", b"crash:c")]


async def test_a_decoder_that_cannot_start_blames_no_image() -> None:
    guard = Guard(WorkerPool("celeste_image.there.is.no.such.engine"), ImageLimits())
    for _ in range(3):
        with pytest.raises(EngineLost):
            await guard.inspect(b"good")
    assert not guard.losses


async def test_a_real_decoder_that_is_killed_at_work_is_replaced() -> None:
    pool = WorkerPool("celeste_image.imaging.guard_engine")
    guard = Guard(pool, ImageLimits())
    await guard.inspect(plain(50, 40))
    reading = asyncio.create_task(guard.inspect(plain(5000, 4000)))
    while pool.pids:
        await asyncio.sleep(0)
    for pid in workers("celeste_image.imaging.guard_engine"):
        os.kill(pid, signal.SIGKILL)
    assert (await reading).width == 5000
    await pool.close()
