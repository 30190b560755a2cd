"""limiting: so many at a time, the rest in the order of arrival, and no place is ever lost."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from tests.support.fake_provider import CALL, PAINTER, REQUEST, Fake, collect, routed

from celeste_image.admission import Slots
from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import NotAnImage, QueueFull
from celeste_image.core.events import CandidateRun, Event, Progress, Queued, Run
from celeste_image.core.request import Generate, ImageRequest
from celeste_image.pipeline.limit import limiting

DONE = Progress(1.0)


class Gate:
    """Work that begins, and ends when it is told to; the prompt is its name."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.begun: list[str] = []
        self.most = 0
        self._open: dict[str, asyncio.Event] = {}

    async def __call__(self, request: ImageRequest, call: Candidate) -> AsyncGenerator[Event, None]:
        assert isinstance(request, Generate)
        name = request.prompt
        self.running.append(name)
        self.begun.append(name)
        self.most = max(self.most, len(self.running))
        try:
            await self._open.setdefault(name, asyncio.Event()).wait()
            yield DONE
        finally:
            self.running.remove(name)

    def end(self, *names: str) -> None:
        for name in names:
            self._open.setdefault(name, asyncio.Event()).set()


class Reader:
    """Reads a run to its end and keeps what came."""

    def __init__(self, run: Run, name: str) -> None:
        self.seen: list[Event] = []
        self.task = asyncio.create_task(self._read(run, Generate(prompt=name)))

    async def _read(self, run: Run, request: ImageRequest) -> None:
        async with aclosing(run(request, CALL)) as events:
            async for event in events:
                self.seen.append(event)

    @property
    def positions(self) -> list[int]:
        return [event.position for event in self.seen if isinstance(event, Queued)]


async def settle() -> None:
    """Lets everything happen that needs no more than the loop."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_who_finds_a_place_is_not_told_of_a_queue() -> None:
    assert await collect(routed(limiting(Fake(DONE), Slots(1, 0)))) == [DONE]


async def test_the_rest_waits_in_the_order_of_arrival_and_is_told_where() -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(2, 10)))
    readers = {name: Reader(run, name) for name in "abcde"}
    await settle()
    assert gate.running == ["a", "b"]
    assert [readers[name].positions for name in "abcde"] == [[], [], [1], [2], [3]]
    gate.end("b")
    await settle()
    assert gate.running == ["a", "c"]
    assert [readers[name].positions for name in "cde"] == [[1], [2, 1], [3, 2]]
    gate.end(*"acde")
    await asyncio.gather(*(reader.task for reader in readers.values()))
    assert gate.begun == list("abcde")
    assert gate.most == 2
    assert all(reader.seen[-1] == DONE for reader in readers.values())


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(1, 1)))
    readers = [Reader(run, name) for name in "ab"]
    await settle()
    with pytest.raises(QueueFull) as caught:
        await collect(run)
    assert caught.value.retry_after
    gate.end("a", "b")
    await asyncio.gather(*(reader.task for reader in readers))
    assert await collect(routed(limiting(Fake(DONE), Slots(1, 0)))) == [DONE]


async def test_a_refused_call_takes_no_place() -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(1, 0)))
    reader = Reader(run, "a")
    await settle()
    for _ in range(3):
        with pytest.raises(QueueFull):
            await collect(run)
    gate.end("a", "b")
    await reader.task
    await Reader(run, "b").task


async def test_the_place_is_free_after_an_end_a_failure_a_close_and_a_cancellation() -> None:
    slots = Slots(1, 0)
    for _ in range(3):
        await collect(routed(limiting(Fake(DONE), slots)))
        with pytest.raises(NotAnImage):
            await collect(routed(limiting(Fake(NotAnImage("no")), slots)))
        closed = Fake(DONE, DONE)
        running = routed(limiting(closed, slots))(REQUEST, CALL)
        await anext(running)
        await running.aclose()
        assert closed.closed == 1, "the work has stopped before the place is free"
        gate = Gate()
        reader = Reader(routed(limiting(gate, slots)), "a")
        await settle()
        reader.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader.task
        assert gate.running == []


async def test_who_leaves_the_queue_lets_the_others_move_up() -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(1, 10)))
    readers = {name: Reader(run, name) for name in "abcd"}
    await settle()
    readers["b"].task.cancel()
    await settle()
    assert [readers[name].positions for name in "cd"] == [[2, 1], [3, 2]]
    gate.end(*"acd")
    await asyncio.gather(*(readers[name].task for name in "acd"))
    assert gate.begun == list("acd")


async def test_who_is_closed_while_told_of_the_queue_leaves_it() -> None:
    gate = Gate()
    slots = Slots(1, 1)
    run = routed(limiting(gate, slots))
    reader = Reader(run, "a")
    await settle()
    waiting = run(Generate(prompt="b"), CALL)
    assert await anext(waiting) == Queued(1)
    await waiting.aclose()
    last = Reader(run, "c")
    await settle()
    assert last.positions == [1]
    gate.end("a", "c")
    await asyncio.gather(reader.task, last.task)


@pytest.mark.parametrize("turns", range(8))
async def test_who_is_cancelled_in_the_moment_its_turn_comes_passes_it_on(turns: int) -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(1, 10)))
    readers = {name: Reader(run, name) for name in "abc"}
    await settle()
    gate.end("a", "c")
    for _ in range(turns):
        await asyncio.sleep(0)
    readers["b"].task.cancel()
    async with asyncio.timeout(5):
        await readers["c"].task
    assert readers["b"].task.cancelled()
    assert gate.running == []


async def test_a_newcomer_does_not_overtake_who_waits() -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(1, 10)))
    first = Reader(run, "a")
    await settle()
    waiting = run(Generate(prompt="b"), CALL)
    assert await anext(waiting) == Queued(1)
    gate.end("a")
    await first.task
    newcomer = Reader(run, "c")
    await settle()
    assert gate.begun == ["a"], "the place is kept for who came first, even if it is slow to take it"
    gate.end("b", "c")
    assert [event async for event in waiting] == [DONE]
    await newcomer.task
    assert gate.begun == list("abc")


async def test_who_is_slow_to_take_its_place_holds_up_nobody() -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(2, 10)))
    first = [Reader(run, name) for name in "ab"]
    await settle()
    slow = run(Generate(prompt="c"), CALL)
    assert await anext(slow) == Queued(1)
    following = [Reader(run, name) for name in "de"]
    await settle()
    gate.end("a", "b")
    await asyncio.gather(*(reader.task for reader in first))
    await settle()
    assert gate.running == ["d"], "the other free place is kept for who came first"
    taking = asyncio.ensure_future(anext(slow))
    await settle()
    assert gate.running == ["d", "c"], "both free places are taken"
    assert following[1].positions[-1] == 1
    gate.end("c", "d", "e")
    assert await taking == DONE
    await slow.aclose()
    await asyncio.gather(*(reader.task for reader in following))


@pytest.mark.parametrize("seed", range(5))
async def test_no_place_is_lost_in_any_tumult(seed: int) -> None:
    """Hundreds of calls that end, fail, are cancelled or closed at random moments; then all places are free."""
    draw = random.Random(seed)
    slots = Slots(3, 8)
    working = most = 0

    async def work(request: ImageRequest, call: Candidate) -> AsyncGenerator[Event, None]:
        nonlocal working, most
        working += 1
        most = max(most, working)
        try:
            for step in range(draw.randint(0, 6)):
                await asyncio.sleep(0)
                yield Progress(step / 6)
            if draw.random() < 0.2:
                raise NotAnImage("no")
        finally:
            working -= 1

    run = routed(limiting(work, slots))

    async def call() -> None:
        async with aclosing(run(REQUEST, CALL)) as events:
            patience = draw.randint(0, 20)
            async for _ in events:
                patience -= 1
                if patience < 0:
                    return

    calls: list[asyncio.Task[None]] = []
    for _ in range(300):
        calls.append(asyncio.create_task(call()))
        if draw.random() < 0.3:
            draw.choice(calls).cancel()
        for _ in range(draw.randint(0, 4)):
            await asyncio.sleep(0)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {
        type(None),
        NotAnImage,
        QueueFull,
        asyncio.CancelledError,
    }
    assert (working, most) == (0, 3)
    gate = Gate()
    readers = [Reader(routed(limiting(gate, slots)), name) for name in "abcd"]
    await settle()
    assert gate.running == list("abc")
    gate.end(*"abcd")
    await asyncio.gather(*(reader.task for reader in readers))


def is_small(request: ImageRequest) -> bool:
    assert isinstance(request, Generate)
    return request.prompt.startswith("small")


async def test_small_work_waits_for_small_work_alone() -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(1, 10, small=1), is_small))
    names = ["large 1", "large 2", "large 3", "small 1", "small 2", "small 3"]
    readers = {name: Reader(run, name) for name in names}
    await settle()
    assert gate.running == ["large 1", "small 1"]
    assert [readers[name].positions for name in names] == [[], [1], [2], [], [1], [2]]
    gate.end("small 1")
    await settle()
    assert gate.running == ["large 1", "small 2"]
    gate.end(*names)
    await asyncio.gather(*(reader.task for reader in readers.values()))
    assert gate.most == 2


async def test_small_work_takes_a_slot_for_all_in_order_of_arrival() -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(1, 10, small=1), is_small))
    names = ["small 1", "small 2", "large", "small 3"]
    readers = {name: Reader(run, name) for name in names}
    await settle()
    assert gate.running == ["small 1", "small 2"], "small work may take all slots"
    gate.end("small 2")
    await settle()
    assert gate.running == ["small 1", "large"], "the first in the queue takes the slot for all"
    gate.end("small 1")
    await settle()
    assert gate.running == ["large", "small 3"]
    gate.end(*names)
    await asyncio.gather(*(reader.task for reader in readers.values()))


async def test_a_queue_full_of_large_work_refuses_no_small_work() -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(1, 1, small=1), is_small))
    names = ["large 1", "large 2", "small 1", "small 2"]
    readers = [Reader(run, name) for name in names]
    await settle()
    for kind in ("large", "small"):
        with pytest.raises(QueueFull, match="1 calls wait already"):
            await collect(run, Generate(prompt=f"{kind} 3"))
    gate.end(*names)
    await asyncio.gather(*(reader.task for reader in readers))


async def test_small_work_that_leaves_gives_its_slot_to_small_work() -> None:
    gate = Gate()
    run = routed(limiting(gate, Slots(1, 10, small=1), is_small))
    readers = {name: Reader(run, name) for name in ("large", "small 1", "small 2", "small 3")}
    await settle()
    readers["small 2"].task.cancel()
    readers["small 1"].task.cancel()
    await settle()
    assert gate.running == ["large", "small 3"]
    gate.end("large", "small 3")
    await asyncio.gather(readers["large"].task, readers["small 3"].task)


@pytest.mark.parametrize("seed", range(20))
async def test_no_slot_of_either_kind_is_ever_lost(seed: int) -> None:
    """Calls come, end and leave by chance; afterwards all slots are free."""
    dice = random.Random(seed)
    gate, slots = Gate(), Slots(2, 5, small=2)
    run = routed(limiting(gate, slots, is_small))
    readers: list[Reader] = []
    for number in range(60):
        readers.append(Reader(run, f"{dice.choice(['small', 'large'])} {number}"))
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        if dice.random() < 0.5:
            dice.choice(readers).task.cancel()
        if gate.running and dice.random() < 0.5:
            gate.end(dice.choice(gate.running))
        assert len([name for name in gate.running if name.startswith("large")]) <= 2
    gate.end(*(f"{kind} {number}" for number in range(60) for kind in ("small", "large")))
    async with asyncio.timeout(10):
        await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)
    assert gate.most <= 4
    last = [Reader(run, name) for name in ("large a", "large b", "small a", "small b")]
    await settle()
    assert len(gate.running) == 4
    gate.end("large a", "large b", "small a", "small b")
    await asyncio.gather(*(reader.task for reader in last))


def of_one_operation(run: CandidateRun) -> Run:
    """Returns a run whose calls are all of one operation, as when a request is split."""
    candidate = Candidate(CALL, PAINTER)

    def start(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        return run(request, candidate)

    return start


async def test_calls_of_one_operation_share_a_place_in_the_queue() -> None:
    gate = Gate()
    run = limiting(gate, Slots(2, 2))
    several = of_one_operation(run)
    names = ["a1", "a2", "a3", "a4", "a5"]
    readers = {name: Reader(several, name) for name in names}
    await settle()
    assert gate.running == ["a1", "a2"]
    readers["b"] = Reader(routed(run), "b")
    await settle()
    with pytest.raises(QueueFull, match="2 calls wait already"):
        await collect(routed(run))
    gate.end("a1")
    await settle()
    assert gate.running == ["a2", "a3"], "the operation was the first in the queue, and is the last one now"
    gate.end("a2", "a3")
    await settle()
    assert gate.running == ["b", "a4"]
    gate.end("b", "a4", "a5")
    await asyncio.gather(*(reader.task for reader in readers.values()))
    assert readers["b"].positions == [2, 1]
    assert [readers[name].positions for name in names] == [[]] * 5, "it has a slot, so it waits for none"
    assert gate.most == 2


async def test_an_operation_that_is_here_already_is_not_refused() -> None:
    gate = Gate()
    run = limiting(gate, Slots(1, 0))
    several = of_one_operation(run)
    readers = [Reader(several, name) for name in ("a1", "a2", "a3")]
    await settle()
    assert gate.running == ["a1"]
    with pytest.raises(QueueFull):
        await collect(routed(run))
    gate.end("a1", "a2", "a3")
    await asyncio.gather(*(reader.task for reader in readers))
    assert gate.begun == ["a1", "a2", "a3"]


async def test_an_operation_without_a_slot_is_told_its_position_once() -> None:
    gate = Gate()
    run = limiting(gate, Slots(1, 10))
    first, second = Reader(routed(run), "a"), Reader(routed(run), "b")
    await settle()
    several = of_one_operation(run)
    readers = [Reader(several, name) for name in ("c1", "c2")]
    await settle()
    gate.end("a")
    await settle()
    assert [reader.positions for reader in readers] == [[2, 1], []]
    readers[0].task.cancel()
    await settle()
    assert [reader.positions for reader in readers] == [[2, 1], [1]], "another of its calls is the next one now"
    gate.end("b", "c2")
    await asyncio.gather(first.task, second.task, readers[1].task)


async def test_positions_of_a_queue_that_moves_fast_are_told_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time stands still here, so who was told of a move hears of no other before the time goes on."""
    gate = Gate()
    run = routed(limiting(gate, Slots(1, 10)))
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    readers = {name: Reader(run, name) for name in "abcdef"}
    await settle()
    gate.end("a")
    await settle()
    assert [readers[name].positions for name in "cdef"] == [[2, 1], [3, 2], [4, 3], [5, 4]]
    gate.end("b")
    await settle()
    assert gate.running == ["c"], "slots are given at once"
    assert [readers[name].positions for name in "def"] == [[3, 2], [4, 3], [5, 4]]
    now += 0.12
    await settle()
    assert [readers[name].positions for name in "def"] == [[3, 2, 1], [4, 3], [5, 4]], "the first ones sooner"
    gate.end("c")
    await settle()
    now += 0.2
    await settle()
    assert [readers[name].positions for name in "ef"] == [[4, 3, 1], [5, 4, 2]], "never a position that is past"
    gate.end(*"def")
    await asyncio.gather(*(reader.task for reader in readers.values()))


@pytest.mark.parametrize("seed", range(10))
async def test_no_slot_of_an_operation_of_several_calls_is_ever_lost(seed: int) -> None:
    """Operations of one to five calls, some small, end and leave by chance; positions only fall."""
    dice = random.Random(seed)
    gate, slots = Gate(), Slots(2, 4, small=1)
    run = limiting(gate, slots, is_small)
    readers: list[Reader] = []
    for number in range(40):
        several, kind = of_one_operation(run), dice.choice(["small", "large"])
        readers += [Reader(several, f"{kind} {number}.{part}") for part in range(dice.randint(1, 5))]
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        if dice.random() < 0.5:
            dice.choice(readers).task.cancel()
        if gate.running and dice.random() < 0.7:
            gate.end(dice.choice(gate.running))
    gate.end(*(f"{kind} {number}.{part}" for number in range(40) for part in range(5) for kind in ("small", "large")))
    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {type(None), QueueFull, asyncio.CancelledError}
    assert gate.most <= 3
    last = [Reader(routed(run), name) for name in ("large a", "large b", "small a")]
    await settle()
    assert len(gate.running) == 3
    gate.end("large a", "large b", "small a")
    await asyncio.gather(*(reader.task for reader in last))
