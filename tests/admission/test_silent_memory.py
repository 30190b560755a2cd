"""Memory of calls that wait for their callers: others take it, and an asker holds little of it in silence."""

import asyncio
from collections.abc import Hashable

import pytest
from tests.support.waiting import until

from celeste_image.admission import ByteBudget, Hold, asker, budget
from celeste_image.core.errors import MemoryBudget, QueueFull


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Caller:
    """A call that reserves memory and then waits for its caller, who is silent until `send`."""

    def __init__(self, memory: ByteBudget, who: Hashable, size: int) -> None:
        self._memory, self._size = memory, size
        self._sent = asyncio.Event()
        self.hold: Hold | None = None
        asker.set(who)
        self.task = asyncio.create_task(self._call())

    def send(self) -> None:
        self._sent.set()

    async def _call(self) -> str:
        with await self._memory.reserve(self._size, silent=True) as self.hold:
            try:
                async with asyncio.timeout(60) as limit:
                    self.hold.falls_silent(limit)
                    await self._sent.wait()
            except TimeoutError:
                raise self.hold.eviction() from None
            self.hold.speaks()
            await asyncio.Event().wait()
        return ""


def held(calls: list[Caller]) -> int:
    return sum(call.hold is not None for call in calls)


async def ended(calls: list[Caller]) -> None:
    for call in calls:
        call.task.cancel()
    await asyncio.gather(*(call.task for call in calls), return_exceptions=True)


async def test_askers_get_memory_in_turn() -> None:
    memory = ByteBudget(10)
    order: list[Hashable] = []

    async def call(who: Hashable) -> None:
        asker.set(who)
        with await memory.reserve(10):
            order.append(who)
            await asyncio.sleep(0)

    first = await memory.reserve(10)
    calls = [asyncio.create_task(call(who)) for who in ("many", "many", "many", "few", "one")]
    await settle()
    first.close()
    await asyncio.gather(*calls)
    assert order == ["many", "few", "one", "many", "many"]
    assert (memory.held, memory.waiting) == (0, 0)


async def test_silent_calls_of_few_askers_leave_half_of_a_large_budget_to_others() -> None:
    memory = ByteBudget(128, 60)
    silent = [Caller(memory, number % 3, 1) for number in range(200)]
    await settle()
    assert memory.held == 64
    other = Caller(memory, "other", 1)
    await settle()
    assert other.hold
    for call in silent:
        call.send()
    await settle()
    assert memory.held == 128, "what is here may fill all of it"
    await ended([*silent, other])
    assert (memory.held, memory.waiting) == (0, 0)


async def test_each_asker_has_a_share_of_that_half() -> None:
    memory = ByteBudget(128, 60)
    first = [Caller(memory, "first", 1) for _ in range(100)]
    await settle()
    assert held(first) == 64
    others = [Caller(memory, who, 1) for who in ("second", "third") for _ in range(20)]
    await settle()
    assert held(others) == 2 * 128 // budget.SHARE
    await ended([*first, *others])


async def test_who_waits_gets_the_memory_of_the_longest_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the asker with the most of it, and of no asker with less than who waits."""
    monkeypatch.setattr(budget, "SILENT_SECONDS", 0.02)
    memory = ByteBudget(20, 60)
    modest = [Caller(memory, "modest", 1)]
    greedy = [Caller(memory, "greedy", 1) for _ in range(19)]
    await settle()
    assert memory.held == 20
    greedy[0].send()
    newcomer = Caller(memory, "newcomer", 2)
    with pytest.raises(MemoryBudget, match=r"the caller sent nothing for 0\.02 s, and others needed its memory"):
        await greedy[1].task
    with pytest.raises(MemoryBudget) as caught:
        await greedy[2].task
    assert caught.value.retry_after
    await until(lambda: newcomer.hold and newcomer.hold.size == 2)
    await asyncio.sleep(0.05)
    alive = [call for call in (*modest, *greedy) if not call.task.done()]
    assert len(alive) == 18, "no more than was needed"
    assert modest[0] in alive
    await ended([*alive, newcomer])
    assert (memory.held, memory.waiting) == (0, 0)


async def test_nobody_is_ended_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SILENT_SECONDS", 0.001)
    memory = ByteBudget(20, 60)
    calls = [Caller(memory, "one", 1) for _ in range(20)]
    await asyncio.sleep(0.02)
    assert not [call for call in calls if call.task.done()]
    await ended(calls)


async def test_who_sends_keeps_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SILENT_SECONDS", 0.005)
    memory = ByteBudget(2, 0.05)
    calls = [Caller(memory, who, 1) for who in ("one", "two")]
    for call in calls:
        call.send()
    await settle()
    with pytest.raises(MemoryBudget, match="calls hold 2 of the 2 bytes"):
        await memory.reserve(1)
    assert not [call for call in calls if call.task.done()]
    await ended(calls)


async def test_too_many_that_wait_leave_room_for_an_asker_with_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MOST_WAITING", 10)
    memory = ByteBudget(1, 60)
    first = await memory.reserve(1)
    greedy = [Caller(memory, "greedy", 1) for _ in range(10)]
    await settle()
    modest = Caller(memory, "modest", 1)
    with pytest.raises(MemoryBudget):
        await greedy[-1].task
    assert memory.waiting == 10
    first.close()
    await settle()
    assert held(greedy) == 1
    await ended([greedy[0]])
    await settle()
    assert modest.hold, "the next in turn"
    await ended([*greedy, modest])
    assert (memory.held, memory.waiting) == (0, 0)


async def test_an_asker_has_a_limit_of_its_own() -> None:
    calls = budget.Budget(5, 0, asker_total=2, unit="calls")
    holds = []
    for who in ("one", "two"):
        asker.set(who)
        holds += [calls.take(1), calls.take(1)]
        with pytest.raises(QueueFull) as caught:
            calls.take(1)
        assert caught.value.retry_after
    asker.set("three")
    holds.append(calls.take(1))
    with pytest.raises(QueueFull, match="calls hold 5 of the 5 calls"):
        calls.take(1)
    for hold in holds:
        hold.close()
    asker.set("one")
    assert calls.take(1).size == 1
