"""The byte budget: in the order of arrival, never lost, never beyond for what is still to come."""

import asyncio
import random
from collections.abc import AsyncGenerator

import pytest
from tests.support import pictures, stores
from tests.support.fake_provider import REQUEST, Fake, collect, picture, routed

from celeste_image.admission import MOST_WAITING, ByteBudget
from celeste_image.core.call import Call
from celeste_image.core.caller import ANONYMOUS
from celeste_image.core.edits import Erase, Mask
from celeste_image.core.errors import ArtifactNotFound, MemoryBudget, NotAnImage
from celeste_image.core.events import Event, Progress, Saved
from celeste_image.core.image import ImageFacts, ImageInput
from celeste_image.core.request import Analyze, Edit, ImageRequest
from celeste_image.pipeline.load import ImagesIn, loading
from celeste_image.pipeline.save import saving


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_fits_gets_in_at_once_and_gives_back_once() -> None:
    budget = ByteBudget(100, 0)
    first = await budget.reserve(60)
    second = await budget.reserve(40)
    with pytest.raises(MemoryBudget):
        await budget.reserve(1)
    first.close()
    first.close()
    first.resize(50)
    assert budget.held_bytes == 40
    with second:
        pass
    assert budget.held_bytes == 0


async def test_the_first_to_come_is_the_first_to_get_in_even_if_the_next_would_fit() -> None:
    budget = ByteBudget(100)
    hold = await budget.reserve(80)
    order: list[int] = []

    async def call(number: int, size: int) -> None:
        with await budget.reserve(size):
            order.append(number)
            await asyncio.sleep(0)

    calls = [asyncio.create_task(call(number, size)) for number, size in enumerate((90, 10, 100, 5))]
    await settle()
    assert order == []
    hold.close()
    await asyncio.gather(*calls)
    assert order == [0, 1, 2, 3]
    assert (budget.held_bytes, budget.waiting) == (0, 0)


async def test_nothing_needs_no_room() -> None:
    budget = ByteBudget(10, 0)
    await budget.reserve(10)
    assert (await budget.reserve(0)).size == 0
    assert (budget.held_bytes, budget.waiting) == (10, 0)


async def test_who_waits_in_vain_is_told_when_to_come_back() -> None:
    budget = ByteBudget(100, 0.01)
    hold = await budget.reserve(100)
    with pytest.raises(MemoryBudget) as caught:
        await budget.reserve(30)
    assert caught.value.retry_after
    assert caught.value.metadata == {"limit": "100", "value": "130"}
    hold.close()
    assert (budget.held_bytes, budget.waiting) == (0, 0)


async def test_who_gives_up_lets_the_next_in() -> None:
    budget = ByteBudget(100)
    hold = await budget.reserve(50)
    large = asyncio.create_task(budget.reserve(80))
    small = asyncio.create_task(budget.reserve(50))
    await settle()
    assert not small.done()
    large.cancel()
    await settle()
    assert small.done()
    hold.close()
    (await small).close()
    assert budget.held_bytes == 0


@pytest.mark.parametrize("turns", range(5))
async def test_who_is_cancelled_in_the_moment_it_gets_in_gives_back(turns: int) -> None:
    budget = ByteBudget(100)
    hold = await budget.reserve(100)
    first = asyncio.create_task(budget.reserve(100))
    second = asyncio.create_task(budget.reserve(100))
    await settle()
    hold.close()
    for _ in range(turns):
        await asyncio.sleep(0)
    if not first.done():
        first.cancel()
        (await second).close()
    else:
        (await first).close()
        (await second).close()
    assert (budget.held_bytes, budget.waiting) == (0, 0)


async def test_what_is_here_already_is_counted_beyond_the_total_and_others_wait() -> None:
    budget = ByteBudget(100)
    counted = budget.count(150)
    waiting = asyncio.create_task(budget.reserve(10))
    await settle()
    assert not waiting.done()
    counted.resize(95)
    await settle()
    assert not waiting.done()
    counted.resize(90)
    hold = await waiting
    hold.resize(30)
    assert budget.held_bytes == 120
    counted.close()
    hold.close()
    assert budget.held_bytes == 0


async def test_what_is_larger_than_everything_gets_in_alone() -> None:
    budget = ByteBudget(100)
    hold = await budget.reserve(1)
    giant = asyncio.create_task(budget.reserve(1000))
    await settle()
    assert not giant.done()
    hold.close()
    (await giant).close()
    assert budget.held_bytes == 0


async def test_too_many_that_wait_are_refused_at_once() -> None:
    budget = ByteBudget(1)
    hold = await budget.reserve(1)
    waiting = [asyncio.create_task(budget.reserve(1)) for _ in range(MOST_WAITING)]
    await settle()
    with pytest.raises(MemoryBudget):
        await budget.reserve(1)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    hold.close()
    assert (budget.held_bytes, budget.waiting) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
async def test_no_byte_is_lost_in_any_tumult(seed: int) -> None:
    draw = random.Random(seed)
    budget = ByteBudget(100, 0.005)
    most = 0

    async def call() -> None:
        nonlocal most
        with await budget.reserve(draw.randint(0, 100)) as hold:
            most = max(most, budget.held_bytes)
            await asyncio.sleep(draw.choice((0, 0, 0.001)))
            hold.resize(draw.randint(0, hold.size))
            await asyncio.sleep(0)

    calls: list[asyncio.Task[None]] = []
    for _ in range(500):
        calls.append(asyncio.create_task(call()))
        if draw.random() < 0.3:
            draw.choice(calls).cancel()
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {type(None), MemoryBudget, asyncio.CancelledError}
    assert most <= 100
    assert (budget.held_bytes, budget.waiting) == (0, 0)


class Decoder:
    """A guard that sees what is held while it works."""

    def __init__(self, budget: ByteBudget) -> None:
        self.seen: list[int] = []
        self._budget = budget

    async def inspect(self, data: bytes, deadline: float | None) -> ImageFacts:
        self.seen.append(self._budget.held_bytes)
        if not data:
            raise NotAnImage("no")
        return ImageFacts("image/png", 8, 8, len(data), "0" * 64, "RGB", False)


async def test_artifacts_are_counted_before_they_are_read_and_until_the_work_is_over() -> None:
    store = stores.memory()
    image = ImageInput(artifact=(await store.put(ANONYMOUS.tenant, pictures.plain(8, 8))).name)
    mask = ImageInput(artifact=(await store.put(ANONYMOUS.tenant, pictures.plain(16, 16))).name)
    size = len(pictures.plain(8, 8)) + len(pictures.plain(16, 16))
    budget = ByteBudget(2 * size, 0)
    guard = Decoder(budget)
    working: list[int] = []

    async def work(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        working.append(budget.held_bytes)
        yield Progress(1.0)

    request = Edit(image=image, edit=Erase(Mask(mask)))
    await collect(loading(work, ImagesIn(store, guard, budget)), request)  # type: ignore[arg-type]
    assert guard.seen == [2 * size, 2 * size]
    assert working == [2 * size]
    assert budget.held_bytes == 0
    with budget.count(1), pytest.raises(MemoryBudget):
        await collect(loading(work, ImagesIn(store, guard, budget)), request)  # type: ignore[arg-type]
    assert len(working) == 1
    assert len(guard.seen) == 2, "nothing was read"


async def test_a_load_that_fails_holds_nothing() -> None:
    store = stores.memory()
    budget = ByteBudget()
    guard = Decoder(budget)
    with pytest.raises(ArtifactNotFound) as caught:
        missing = ImageInput(artifact="artifacts/sha256-" + "0" * 64)
        await collect(loading(Fake(), ImagesIn(store, guard, budget)), Analyze(image=missing))  # type: ignore[arg-type]
    assert caught.value.violations[0].field == "image"
    empty = ImageInput(artifact=(await store.put(ANONYMOUS.tenant, b"")).name)
    with pytest.raises(NotAnImage):
        await collect(loading(Fake(), ImagesIn(store, guard, budget)), Analyze(image=empty))  # type: ignore[arg-type]
    assert budget.held_bytes == 0


async def test_a_picture_is_counted_while_it_is_stored_even_when_there_is_no_room() -> None:
    budget = ByteBudget(1, 0)
    seen: list[int] = []

    class Store:
        async def check_room(self) -> None: ...

        async def put(self, owner: str, data: bytes, **facts: object) -> object:
            seen.append(budget.held_bytes)
            return await stores.memory().put(owner, data)

    (event,) = await collect(routed(saving(Fake(picture(b"x" * 1000)), Store(), budget)), REQUEST)  # type: ignore[arg-type]
    assert isinstance(event, Saved)
    assert seen == [1000]
    assert budget.held_bytes == 0
