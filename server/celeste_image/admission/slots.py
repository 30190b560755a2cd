"""Slots: places for running calls, and a queue that is fair to askers and knows deadlines."""

import asyncio
import random
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from heapq import merge
from operator import attrgetter

from celeste_image.admission.pace import Pace
from celeste_image.admission.turns import Line, Turn
from celeste_image.core.errors import CelesteError, DeadlineExceeded, QueueFull

__all__ = ["Slots"]

RETRY_SECONDS = 1.0
TELL_SECONDS, AGAIN_SECONDS = 0.05, 0.1
"""A call hears of a new position at most every TELL_SECONDS times the position. The others are looked at again after
AGAIN_SECONDS."""
WALK_SECONDS = 20e-6
"""Pause for each place in the queue between two walks through it. A walk takes 0.2 us a place."""
MOST_ASKERS = 1000
"""Askers whose places are remembered before those that were served are forgotten."""
USUAL, SLOW = 0.5, 0.95
"""Parts of the recent calls of a kind that were as fast: a call begins if half of them could end in time, and lines up
if nearly all could after its wait."""
SPARE = 1.25
"""Times that the expected wait and work must fit in the deadline of a call that lines up. An estimate is often a tenth
short; without spare time each such call would be refused after its wait, or be cut off while a provider is paid."""


RANK = attrgetter("rank")


class Slots:
    """Slots for running calls, with a queue of limited length.

    A free slot goes to the first in the queue, and nobody else is woken. Several calls of one operation, as of a
    request for several images, have one place in the queue; after each slot, that place is the last one. An operation
    that has a slot or waits for another is never refused for the length of the queue.

    The queue is fair: of the askers that wait, each gets a slot in turn, and if it is full, the last place of the asker
    with the most places goes to a newcomer with fewer. Calls of one asker keep their order.

    The queue knows deadlines: a call is refused when it comes if it would hardly end in time after its wait, and when
    its turn comes if it can't any more. What a call takes is what calls of the same kind of work took lately.

    Small work has slots of its own beside those for all. So it waits for other small work at most, never for large.

    Positions are told as the queue moves, but at most every 50 ms times the position: with thousands of waiting calls,
    each move would otherwise be thousands of messages. So 5,000 calls are told 200 positions a second in all. An
    operation with a slot is told none.

    Args:
        slots: Most calls that run at a time.
        queue: Most operations that wait, and as many of small work.
        small: Most calls of small work that run beside them.
        clock: The time in seconds that deadlines count by.
    """

    def __init__(self, slots: int, queue: int, small: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slots = {False: slots, True: slots + small}
        self._free, self._free_small = slots, small
        self._queue = queue
        self._lines: dict[tuple[object, bool], Line] = {}
        self._order: dict[bool, list[Line]] = {False: [], True: []}
        """The lines that wait, in the order in which they are served: of large and of small work."""
        self._waiting = 0
        self._running: Counter[object] = Counter()
        """Slots by operation; operations without one are not in it."""
        self._paces = {False: Pace(), True: Pace()}
        self._round, self._arrivals = 0, 0
        """Rank of the line that was served last, and lines so far."""
        self._last_rounds: dict[Hashable, int] = {}
        """Rank of the last place of each asker in the queue."""
        self._telling: asyncio.TimerHandle | None = None
        self._walk_at = 0.0

    @property
    def total(self) -> int:
        """Slots, used and free, with those of small work."""
        return self._slots[True]

    @property
    def used(self) -> int:
        """Number of calls that have a slot."""
        return self.total - self._free - self._free_small

    @property
    def is_full(self) -> bool:
        """Whether no slot for all is free."""
        return not self._free

    @property
    def waiting(self) -> int:
        """Number of calls that wait for a slot."""
        return self._waiting

    def oldest_seconds(self) -> float:
        """Returns how long the call that waits longest has waited; 0 if none waits."""
        since = min((turn.since for line in self._lines.values() for turn in line.turns), default=None)
        return 0.0 if since is None else self._clock() - since

    def enter(
        self,
        operation: object,
        *,
        small: bool = False,
        who: Hashable = None,
        work: Hashable = None,
        deadline: float | None = None,
        is_watched: bool = True,
    ) -> Turn:
        """Returns a turn, which has its slot or joins the queue.

        Args:
            operation: What the calls of one operation have in common, by identity.
            small: Whether the call is small work.
            who: The asker.
            work: The kind of work.
            deadline: When the caller stops waiting, by the clock; None means never.
            is_watched: Whether the call hears of its positions; to wake it for each costs as much as to refuse another.

        Raises:
            QueueFull: The operation is not here yet, and the queue has its full length or is too long for the deadline.
            DeadlineExceeded: No recent call of this kind of work was as fast as the deadline demands.
        """
        now = self._clock()
        turn = Turn(operation, now, small=small, who=who, work=work, deadline=deadline, is_watched=is_watched)
        is_first = (operation, small) not in self._lines and operation not in self._running
        if is_first and deadline is not None:
            self._check_fastest(turn, now)
        line = self._join(turn)
        self._give(now)
        if is_first and not turn.has_slot:
            order = self._order[small]
            ahead = bisect_left(order, line.rank, key=RANK)
            try:
                self._check_wait(turn, ahead, now)
                if len(order) > self._queue:
                    self._make_room(line, order)
            except CelesteError:
                self._leave_queue(turn)
                raise
            if is_watched:
                turn.tell(ahead + 1 + (0 if small else bisect_left(self._order[True], line.rank, key=RANK)))
        return turn

    def check(self, *, who: Hashable = None, deadline: float | None = None) -> None:
        """Raises QueueFull if a call that came now would be refused, were it quick. It joins no queue.

        It is taken to be of the kind of the quickest among the latest calls, or to take no time without such.
        """
        now, refusals = self._clock(), list[QueueFull]()
        rank = (self._next_round(who), self._arrivals + 1)
        kinds = (False,) if self._slots[True] == self._slots[False] else (False, True)
        for small in kinds:
            order = self._order[small]
            ahead = bisect_left(order, rank, key=RANK)
            wait = self._wait_behind(ahead, small)
            is_free = self._free or (small and self._free_small)
            is_late = deadline is not None and now + SPARE * (wait + self._paces[small].quickest(now)) > deadline
            if not is_free and (is_late or (len(order) >= self._queue and ahead == len(order))):
                refusals.append(_full(f"{ahead} calls wait already, about {wait:.3g} s", wait))
        if len(refusals) == len(kinds):
            raise refusals[0]

    def leave(self, turn: Turn, *, took: float | None = None) -> None:
        """Leaves the queue, or gives the slot back.

        Args:
            turn: The turn.
            took: What the work took, or took at least when its deadline passed, in seconds; None if nobody knows.
        """
        if turn.has_slot:
            now = self._clock()
            pace = self._paces[turn.small]
            pace.count(now - turn.since)
            if took is not None:
                pace.add(turn.work, took, now)
            self._running[turn.operation] -= 1
            if not self._running[turn.operation]:
                del self._running[turn.operation]
            if turn.is_own:
                self._free_small += 1
            else:
                self._free += 1
            self._give(now)
        elif self._leave_queue(turn):
            self._give(self._clock())
        if self._waiting and not self._telling:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_at(max(loop.time(), self._walk_at), self._tell)

    def _check_fastest(self, turn: Turn, now: float) -> None:
        """Raises DeadlineExceeded if no recent call was as fast as the deadline demands."""
        assert turn.deadline is not None
        recent = self._paces[turn.small].recent(turn.work, now)
        if recent and now + recent[0] > turn.deadline:
            raise DeadlineExceeded(
                f"the deadline is in {max(0.0, turn.deadline - now):.3g} s, and the fastest recent call took "
                f"{recent[0]:.3g} s; nothing was begun"
            )

    def _check_wait(self, turn: Turn, ahead: int, now: float) -> None:
        """Raises QueueFull if the wait and the work would take longer than the deadline allows."""
        if turn.deadline is None:
            return
        pace = self._paces[turn.small]
        wait = self._wait_behind(ahead, turn.small)
        if now + SPARE * (wait + _part(pace.recent(turn.work, now), SLOW)) > turn.deadline:
            raise _full(f"{ahead} calls wait already, about {wait:.3g} s, which is too long for the deadline", wait)

    def _wait_behind(self, ahead: int, small: bool) -> float:
        """Returns how long a call waits, in seconds, with so many before it."""
        return (ahead + 1) * self._paces[small].mean / self._slots[small]

    def _make_room(self, line: Line, order: list[Line]) -> None:
        """Refuses the last line that may be refused, if it is of an asker with more places than the newcomer's.

        Raises:
            QueueFull: The newcomer is the last one.
        """
        text = f"{len(order) - 1} calls wait already"
        wait = self._wait_behind(len(order) - 1, line.key[1])
        for last in reversed(order):
            if last is line:
                raise _full(text, wait)
            if last.key[0] not in self._running and last.who != line.who:
                for turn in list(last.turns):
                    self._leave_queue(turn)
                    turn.refuse(_full(f"{text}, and others have fewer", wait))
                return

    def _join(self, turn: Turn) -> Line:
        line = self._lines.get((turn.operation, turn.small))
        if line is None:
            line = self._lines[turn.operation, turn.small] = Line(turn)
            self._line_up(line)
        line.turns.append(turn)
        self._waiting += 1
        return line

    def _next_round(self, who: Hashable) -> int:
        return max(self._round, self._last_rounds.get(who, 0)) + 1

    def _line_up(self, line: Line) -> None:
        """Gives a line the last place among those of its asker."""
        self._arrivals += 1
        round_ = self._next_round(line.who)
        if len(self._last_rounds) > MOST_ASKERS:
            self._last_rounds = {who: last for who, last in self._last_rounds.items() if last > self._round}
        self._last_rounds[line.who] = round_
        line.rank = (round_, self._arrivals)
        insort(self._order[line.key[1]], line, key=RANK)

    def _step_out(self, line: Line) -> None:
        order = self._order[line.key[1]]
        del order[bisect_left(order, line.rank, key=RANK)]

    def _leave_queue(self, turn: Turn) -> bool:
        """Takes a turn out of the queue. Returns False if it is not there any more."""
        line = self._lines.get((turn.operation, turn.small))
        if line is None or turn not in line.turns:
            return False
        line.turns.remove(turn)
        self._waiting -= 1
        if not line.turns:
            self._step_out(line)
            del self._lines[line.key]
            if self._last_rounds.get(line.who) == line.rank[0]:
                self._last_rounds[line.who] -= 1  # a place that was not used is not counted against the asker
            if not self._lines:
                self._last_rounds.clear()
        return True

    def _give(self, now: float) -> None:
        """Gives free slots to the first in the queue. Those that can't end in time any more are refused."""
        small, large = self._order[True], self._order[False]
        while self._free_small and small:
            if self._give_to(small[0], now, own=True):
                self._free_small -= 1
        while self._free and (small or large):
            if self._give_to(min((order[0] for order in (small, large) if order), key=RANK), now, own=False):
                self._free -= 1

    def _give_to(self, line: Line, now: float, *, own: bool) -> bool:
        """Gives the first call of a line a slot, or refuses it. Returns whether it has one."""
        turn = line.turns[0]
        in_time = turn.deadline is None or self._is_in_time(turn, now)
        if in_time:
            self._round = max(self._round, line.rank[0])
            self._running[turn.operation] += 1
            turn.give(now, own=own)
        else:
            wait = now - turn.since
            turn.refuse(_full(f"the call waited for {wait:.3g} s, and can't end in time any more", wait))
        self._leave_queue(turn)
        if line.turns and in_time:
            self._step_out(line)
            self._line_up(line)
        return in_time

    def _is_in_time(self, turn: Turn, now: float) -> bool:
        """Returns whether a call may end in time. One that has not waited was checked when it came."""
        assert turn.deadline is not None
        if now <= turn.since:
            return True
        return now + _part(self._paces[turn.small].recent(turn.work, now), USUAL) <= turn.deadline

    def _tell(self) -> None:
        """Tells new positions to those who may be told again, and comes back for the others."""
        loop, is_behind = asyncio.get_running_loop(), False
        now = loop.time()
        for position, turn in self._positions():
            if position == turn.position or not turn.is_watched:
                continue
            if now >= turn.tell_at:
                turn.tell_at = now + position * TELL_SECONDS
                turn.tell(position)
            else:
                is_behind = True
        self._walk_at = now + len(self._lines) * WALK_SECONDS
        self._telling = loop.call_at(max(now + AGAIN_SECONDS, self._walk_at), self._tell) if is_behind else None

    def _positions(self) -> Iterator[tuple[int, Turn]]:
        """Yields the positions in the queue with the calls that may be told of them: the first of each operation.

        Small work counts only small work before it.
        """
        small = large = 0
        for line in merge(*self._order.values(), key=RANK):
            operation, is_small = line.key
            small, large = small + is_small, large + (not is_small)
            if operation not in self._running:
                yield (small if is_small else small + large), line.turns[0]


def _part(times: list[float], part: float) -> float:
    """Returns a quantile of sorted times; 0 for an empty list."""
    return times[int(part * (len(times) - 1))] if times else 0.0


def _full(text: str, wait: float) -> QueueFull:
    """Returns the refusal of a call. Callers come back after the wait, and not all in one moment."""
    return QueueFull(text, retry_after=max(RETRY_SECONDS, wait) * random.uniform(1.0, 1.5))  # noqa: S311
