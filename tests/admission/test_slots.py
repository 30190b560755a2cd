"""The queue for slots: fair to askers, and no call is begun or kept waiting that can't end in time."""

import asyncio
from collections.abc import Hashable

import pytest

from celeste_image.admission import Slots, Turn
from celeste_image.core.errors import DeadlineExceeded, QueueFull


class Clock:
    """A clock that a test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Queue:
    """Slots with calls that are begun and ended one by one."""

    def __init__(self, slots: int, queue: int = 100) -> None:
        self.clock = Clock()
        self.slots = Slots(slots, queue, clock=self.clock)

    def enter(self, who: Hashable = None, within: float | None = None, work: Hashable = "draw") -> Turn:
        deadline = None if within is None else self.clock.now + within
        return self.slots.enter(object(), who=who, work=work, deadline=deadline)

    def run(self, seconds: float, work: Hashable = "draw") -> None:
        """Makes a call that takes so long, alone."""
        turn = self.enter(work=work)
        self.clock.now += seconds
        self.slots.leave(turn, took=seconds)


async def test_askers_get_slots_in_turn() -> None:
    queue = Queue(1)
    running = queue.enter("many")
    turns = {name: queue.enter(name.rstrip("0123456789")) for name in ("many1", "many2", "many3", "few1", "one1")}
    few = queue.enter("few")
    begun = []
    while True:
        queue.slots.leave(running)
        now = [name for name, turn in turns.items() if turn.has_slot]
        if not now:
            break
        begun.append(now[0])
        running = turns.pop(now[0])
    assert begun == ["many1", "few1", "one1", "many2"]
    assert few.has_slot, "the second of an asker comes before the third of another"
    queue.slots.leave(few)
    assert turns["many3"].has_slot


async def test_a_full_queue_has_room_for_an_asker_with_fewer_calls() -> None:
    queue = Queue(1, queue=3)
    queue.enter("greedy")
    waiting = [queue.enter("greedy") for _ in range(3)]
    with pytest.raises(QueueFull):
        queue.enter("greedy")
    newcomers = [queue.enter("modest"), queue.enter("shy")]
    for turn, is_out in zip(waiting, (False, True, True), strict=True):
        if is_out:
            with pytest.raises(QueueFull, match="others have fewer") as caught:
                await turn.news()
            assert caught.value.retry_after
            assert caught.value.retry_after >= 1
        else:
            assert await turn.news() == 1
    assert [await turn.news() for turn in newcomers] == [2, 3]
    assert queue.slots.waiting == 3
    with pytest.raises(QueueFull):
        queue.enter("modest")


async def test_one_at_ten_times_its_share_has_no_effect_on_nine_others() -> None:
    """A call takes 10 ms; one asker sends 1,000 a second, nine send 10 each, with deadlines of a second."""
    queue = Queue(1, queue=50)
    running: Turn | None = None
    open_turns: list[tuple[str, Turn]] = []
    refused = {"greedy": 0, "modest": 0}
    done = {"greedy": 0, "modest": 0}

    def come(who: str, name: str) -> None:
        try:
            open_turns.append((name, queue.enter(who, within=1.0)))
        except QueueFull:
            refused[name] += 1

    for step in range(2000):  # each of 1 ms
        queue.clock.now += 0.001
        come("greedy", "greedy")
        if step % 11 == 0:
            come(f"modest {step // 11 % 9}", "modest")
        if step % 10 == 0:
            if running:
                queue.slots.leave(running)
            running = None
        for name, turn in list(open_turns):
            if turn.has_slot and running is None:
                running = turn
                done[name] += 1
                open_turns.remove((name, turn))
            elif turn._refusal:
                refused[name] += 1
                open_turns.remove((name, turn))
    assert refused["modest"] == 0
    assert done["modest"] >= 170
    assert done["modest"] + done["greedy"] >= 195, "no slot stands idle"


async def test_a_call_that_could_not_end_in_time_is_refused_when_it_comes() -> None:
    queue = Queue(2)
    for _ in range(5):
        queue.run(1.0)
    for _ in range(2):
        queue.enter()
    assert await queue.enter(within=1.9).news() == 1  # 1.5 s, and a quarter to spare
    with pytest.raises(QueueFull, match="too long for the deadline") as caught:
        queue.enter(within=2.4)
    assert caught.value.retry_after
    assert await queue.enter(within=2.6).news() == 2
    assert await queue.enter().news() == 3, "without a deadline there is time"


async def test_a_call_whose_time_ran_out_in_the_queue_is_never_begun() -> None:
    queue = Queue(1)
    for _ in range(5):
        queue.run(1.0)
    running = queue.enter()
    late, patient = queue.enter(within=2.5), queue.enter(within=9.0)
    assert [await late.news(), await patient.news()] == [1, 2]
    queue.clock.now += 2.0
    queue.slots.leave(running)
    with pytest.raises(QueueFull, match="can't end in time any more"):
        await late.news()
    assert patient.has_slot
    queue.slots.leave(late)
    queue.slots.leave(patient)
    assert (queue.slots.used, queue.slots.waiting) == (0, 0)


async def test_no_call_begins_whose_deadline_is_nearer_than_the_fastest_recent_one() -> None:
    queue = Queue(1)
    for seconds in (3.0, 1.0, 2.0):
        queue.run(seconds)
    with pytest.raises(DeadlineExceeded, match="the fastest recent call took 1 s; nothing was begun"):
        queue.enter(within=0.9)
    queue.slots.leave(queue.enter(within=1.1))
    queue.slots.leave(queue.enter(within=0.1, work="another kind"))
    queue.clock.now += 31
    assert queue.enter(within=0.1).has_slot, "what was long ago says nothing"


async def test_a_call_that_its_caller_left_says_nothing_of_its_work() -> None:
    queue = Queue(1)
    for took in (None, 5.0):
        for _ in range(3):
            turn = queue.enter()
            queue.clock.now += 5.0
            queue.slots.leave(turn, took=took)
        if took is None:
            queue.slots.leave(queue.enter(within=1.0))
    with pytest.raises(DeadlineExceeded):
        queue.enter(within=1.0)


async def test_a_cold_start_says_nothing_of_the_calls_after_it() -> None:
    queue = Queue(1)
    queue.run(10.0)
    assert queue.enter(within=1.0).has_slot


async def test_refused_calls_cost_an_asker_no_turns() -> None:
    queue = Queue(1, queue=5)
    running = queue.enter("other")
    greedy = [queue.enter("greedy") for _ in range(5)]
    for _ in range(50):
        with pytest.raises(QueueFull):
            queue.enter("greedy")
    while len(greedy) > 1:
        queue.slots.leave(greedy.pop())
    waiting = [*greedy, queue.enter("greedy"), *(queue.enter("modest") for _ in range(3))]
    begun = []
    while waiting:
        queue.slots.leave(running)
        running = next(turn for turn in waiting if turn.has_slot)
        waiting.remove(running)
        begun.append(running.who)
    assert begun == ["greedy", "modest", "greedy", "modest", "modest"]


async def test_only_the_one_whose_turn_it_is_wakes_up() -> None:
    queue = Queue(1)
    running = queue.enter()
    turns = [queue.enter() for _ in range(5)]
    assert [await turn.news() for turn in turns] == [1, 2, 3, 4, 5]
    waits = [asyncio.ensure_future(turn.news()) for turn in turns]
    await asyncio.sleep(0)
    queue.slots.leave(running)
    for _ in range(3):
        await asyncio.sleep(0)
    assert [wait.done() for wait in waits][:1] == [True]
    for wait in waits[1:]:
        wait.cancel()


async def test_a_look_at_the_queue_says_what_a_call_would_find() -> None:
    queue = Queue(1, queue=2)
    queue.slots.check(who="one")
    for _ in range(3):
        queue.run(1.0)
    queue.slots.leave(queue.enter())
    queue.enter("one")
    queue.slots.check(who="one", deadline=queue.clock.now + 2.5)
    with pytest.raises(QueueFull):
        queue.slots.check(who="one", deadline=queue.clock.now + 2.2)
    queue.enter("one")
    queue.enter("one")
    with pytest.raises(QueueFull) as caught:
        queue.slots.check(who="one")
    assert caught.value.retry_after
    queue.slots.check(who="another")
    assert queue.slots.waiting == 2, "nobody joined"
    both = Slots(1, 0, small=1)
    both.enter(object())
    both.check()
    both.enter(object(), small=True)
    with pytest.raises(QueueFull):
        both.check()
