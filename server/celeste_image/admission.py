"""Admission: hands out memory and slots to calls in order of arrival, and refuses calls when too many wait."""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator

from celeste_image.core.errors import MemoryBudget, QueueFull

__all__ = ["UNLIMITED", "ByteBudget", "Hold", "Slots", "Turn"]

MOST_WAITING = 1000
"""Most reservations that wait. A waiting call holds some memory, so one more is refused at once."""
RETRY_SECONDS = 1.0
TELL_SECONDS, AGAIN_SECONDS = 0.05, 0.1
"""A call hears of a new position at most every TELL_SECONDS times the position. The others are looked at again after
AGAIN_SECONDS."""
WALK_SECONDS = 20e-6
"""Pause for each place in the queue between two walks through it. A walk takes 0.2 us a place."""
UNLIMITED = 1 << 62


class ByteBudget:
    """A limit of the bytes that calls hold together, handed out in order of arrival.

    `reserve` is for bytes that are still to come, and may wait. `count` is for bytes that are here already, such as an
    image that an engine made. They are counted at once, even beyond the limit: refusing them would free no memory and
    lose the work. Reservations then wait until the sum is below the limit again.

    Args:
        total_bytes: The limit. A larger reservation is admitted when no bytes are held.
        wait_seconds: Longest wait of a reservation.
    """

    def __init__(self, total_bytes: int = UNLIMITED, wait_seconds: float = 5.0) -> None:
        self.total_bytes = total_bytes
        self.held_bytes = 0
        self._wait_seconds = wait_seconds
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @property
    def waiting(self) -> int:
        """Number of reservations that wait."""
        return len(self._waiting)

    def change_limit(self, total_bytes: int, wait_seconds: float) -> None:
        """Sets the limit and the longest wait. What is held stays, also beyond the limit."""
        self.total_bytes, self._wait_seconds = total_bytes, wait_seconds
        self._move()

    async def reserve(self, size_bytes: int) -> "Hold":
        """Returns a hold of bytes that are still to come, once earlier reservations are admitted and there is room.

        Raises:
            MemoryBudget: There was no room in time, or too many reservations wait.
        """
        if not size_bytes or (not self._waiting and self._fits(size_bytes)):
            return self.count(size_bytes)
        if len(self._waiting) >= MOST_WAITING:
            raise self._used_up(size_bytes)
        entry = (asyncio.get_running_loop().create_future(), size_bytes)
        self._waiting.append(entry)
        try:
            await asyncio.wait([entry[0]], timeout=self._wait_seconds)
        except asyncio.CancelledError:
            self._leave(entry)
            raise
        if not entry[0].done():
            self._leave(entry)
            raise self._used_up(size_bytes)
        return Hold(self, size_bytes)

    def count(self, size_bytes: int) -> "Hold":
        """Returns a hold of bytes that are here already."""
        self.held_bytes += size_bytes
        return Hold(self, size_bytes)

    def _fits(self, size_bytes: int) -> bool:
        return self.held_bytes + size_bytes <= self.total_bytes or not self.held_bytes

    def _used_up(self, size_bytes: int) -> MemoryBudget:
        return MemoryBudget(
            f"calls hold {self.held_bytes:,} of the {self.total_bytes:,} bytes that they may hold together; "
            f"there was no room for {size_bytes:,} more",
            metadata={"limit": str(self.total_bytes), "value": str(self.held_bytes + size_bytes)},
            retry_after=RETRY_SECONDS,
        )

    def _leave(self, entry: tuple[asyncio.Future[None], int]) -> None:
        """Takes back a reservation whose call has left, admitted or not."""
        if entry[0].done():
            self.change(-entry[1])
        else:
            self._waiting.remove(entry)
            self._move()

    def change(self, size_bytes: int) -> None:
        """Adds bytes to the sum, or subtracts them; for Hold."""
        self.held_bytes += size_bytes
        self._move()

    def _move(self) -> None:
        """Admits waiting reservations in order, while the first one fits."""
        while self._waiting and self._fits(self._waiting[0][1]):
            turn, size_bytes = self._waiting.popleft()
            self.held_bytes += size_bytes
            turn.set_result(None)


class Hold:
    """Bytes that one call holds of a budget. As a context manager, it gives them back at the end."""

    def __init__(self, budget: ByteBudget, size_bytes: int) -> None:
        self._budget = budget
        self.size_bytes = size_bytes
        self._closed = False

    def __enter__(self) -> "Hold":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def resize(self, size_bytes: int) -> None:
        """Changes the number of bytes. More bytes are counted without waiting, since they are here already."""
        if not self._closed:
            self._budget.change(size_bytes - self.size_bytes)
            self.size_bytes = size_bytes

    def close(self) -> None:
        """Gives all bytes back; later calls do nothing."""
        self.resize(0)
        self._closed = True


class Turn:
    """A call's way to a slot.

    Attributes:
        operation: What the calls of one operation have in common, by identity.
        small: Whether the call is small work.
        has_slot: Whether the call has its slot.
        is_own: Whether its slot is one of small work, not one for all.
        since: When the call came, by the clock of Slots.
        position: The position in the queue that was told last, from 1; 0 if none was.
        tell_at: When a new position may be told, by the clock of the event loop.
    """

    def __init__(self, operation: object, since: float, *, small: bool) -> None:
        self.operation, self.small = operation, small
        self.has_slot = self.is_own = False
        self.since = since
        self.position, self.tell_at = 0, 0.0
        self._news = asyncio.Event()

    @property
    def line(self) -> "Line":
        """The place in the queue that the call shares with the other calls of its operation."""
        return self.operation, self.small

    async def news(self) -> int:
        """Waits for the slot or for another position. Returns the position in the queue; 0 with the slot."""
        await self._news.wait()
        self._news.clear()
        return 0 if self.has_slot else self.position

    def tell(self, position: int) -> None:
        """Tells the call its position; for Slots."""
        self.position = position
        self._news.set()

    def give(self, *, own: bool) -> None:
        """Gives the call its slot; for Slots."""
        self.has_slot, self.is_own = True, own
        self._news.set()


Line = tuple[object, bool]


class Slots:
    """Slots for running calls, with a queue of limited length.

    A free slot goes to the first in the queue, and nobody else is woken. Several calls of one operation, as of a
    request for several images, have one place in the queue; after each slot, that place is the last one. An operation
    that has a slot or waits is never refused.

    Small work has slots of its own beside those for all. So it waits for other small work at most, never for large.

    Positions are told as the queue moves, but at most every 50 ms times the position: with thousands of waiting calls,
    each move would otherwise be thousands of messages. So 5,000 calls are told 200 positions a second in all. An
    operation with a slot is told none.

    Args:
        slots: Most calls that run at a time.
        queue: Most operations that wait, and as many of small work.
        small: Most calls of small work that run beside them.
        clock: The clock of the waits that metrics show, in seconds.
    """

    def __init__(self, slots: int, queue: int, small: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.total = slots + small
        """Slots, used and free, with those of small work."""
        self._free, self._free_small = slots, small
        self._queue = queue
        self._waiting: OrderedDict[Line, deque[Turn]] = OrderedDict()
        self._small: OrderedDict[Line, None] = OrderedDict()
        """The lines of small work among those that wait, in the same order."""
        self._running: Counter[object] = Counter()
        """Slots by operation; operations without one are not in it."""
        self._telling: asyncio.TimerHandle | None = None
        self._walk_at = 0.0

    @property
    def used(self) -> int:
        """Number of calls that have a slot."""
        return self.total - self._free - self._free_small

    @property
    def waiting(self) -> int:
        """Number of calls that wait for a slot."""
        return sum(map(len, self._waiting.values()))

    def oldest_seconds(self) -> float:
        """Returns how long the call that waits longest has waited; 0 if none waits."""
        since = min((turn.since for turns in self._waiting.values() for turn in turns), default=None)
        return 0.0 if since is None else self._clock() - since

    def enter(self, operation: object, *, small: bool = False) -> Turn:
        """Returns a turn, which has its slot or joins the queue.

        Raises:
            QueueFull: The queue has its full length, there is no slot, and the operation is not here yet.
        """
        turn = Turn(operation, self._clock(), small=small)
        waiting = len(self._small) if small else len(self._waiting) - len(self._small)
        is_first = turn.line not in self._waiting and operation not in self._running
        self._join(turn)
        self._give()
        if is_first and not turn.has_slot:
            if waiting >= self._queue:
                self._leave_queue(turn)
                raise QueueFull(f"{waiting} calls wait already", retry_after=RETRY_SECONDS)
            turn.tell(len(self._small) if small else len(self._waiting))
        return turn

    def leave(self, turn: Turn) -> None:
        """Leaves the queue, or gives the slot back."""
        if not turn.has_slot:
            self._leave_queue(turn)
        else:
            self._running[turn.operation] -= 1
            if not self._running[turn.operation]:
                del self._running[turn.operation]
            if turn.is_own:
                self._free_small += 1
            else:
                self._free += 1
        self._give()
        if self._waiting and not self._telling:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_at(max(loop.time(), self._walk_at), self._tell)

    def _join(self, turn: Turn) -> None:
        self._waiting.setdefault(turn.line, deque()).append(turn)
        if turn.small:
            self._small.setdefault(turn.line)

    def _leave_queue(self, turn: Turn) -> None:
        turns = self._waiting[turn.line]
        turns.remove(turn)
        if not turns:
            del self._waiting[turn.line]
            self._small.pop(turn.line, None)

    def _give(self) -> None:
        """Gives free slots to the first in the queue."""
        while self._free_small and self._small:
            self._free_small -= 1
            self._give_to(next(iter(self._small)), own=True)
        while self._free and self._waiting:
            self._free -= 1
            self._give_to(next(iter(self._waiting)), own=False)

    def _give_to(self, line: Line, *, own: bool) -> None:
        turn = self._waiting[line][0]
        self._running[turn.operation] += 1
        turn.give(own=own)
        self._leave_queue(turn)
        if line in self._waiting:
            self._waiting.move_to_end(line)
            if turn.small:
                self._small.move_to_end(line)

    def _tell(self) -> None:
        """Tells new positions to those who may be told again, and comes back for the others."""
        loop, is_behind = asyncio.get_running_loop(), False
        now = loop.time()
        for position, turn in self._positions():
            if position == turn.position:
                continue
            if now >= turn.tell_at:
                turn.tell_at = now + position * TELL_SECONDS
                turn.tell(position)
            else:
                is_behind = True
        self._walk_at = now + len(self._waiting) * WALK_SECONDS
        self._telling = loop.call_at(max(now + AGAIN_SECONDS, self._walk_at), self._tell) if is_behind else None

    def _positions(self) -> Iterator[tuple[int, Turn]]:
        """Yields the positions in the queue with the calls that may be told of them: the first of each operation.

        Small work counts only small work before it.
        """
        small = large = 0
        for (operation, is_small), turns in self._waiting.items():
            small, large = small + is_small, large + (not is_small)
            if operation not in self._running:
                yield (small if is_small else small + large), turns[0]
