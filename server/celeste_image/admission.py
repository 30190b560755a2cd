"""Admission: hands out memory and slots to calls in order of arrival, and refuses calls when too many wait."""

import asyncio
from collections import deque

from celeste_image.core.errors import MemoryBudget, QueueFull

__all__ = ["ByteBudget", "Hold", "Slots", "Turn"]

MOST_WAITING = 1000
"""Most reservations that wait. A waiting call holds some memory, so one more is refused at once."""
RETRY_SECONDS = 1.0
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
        small: Whether its work is small.
        own: Whether it holds a slot of small work, not one for all.
        moved: Set when the queue moves.
    """

    def __init__(self, *, small: bool) -> None:
        self.small, self.own = small, False
        self.moved = asyncio.Event()


class Slots:
    """Slots for running calls, with a queue of limited length.

    Small work has slots of its own beside those for all. So it waits for other small work at most, never for large.

    Args:
        slots: Most calls that run at a time.
        queue: Most calls that wait, and as many of small work.
        small: Most calls of small work that run beside them.
    """

    def __init__(self, slots: int, queue: int, small: int = 0) -> None:
        self._free, self._free_small = slots, small
        self._queue = queue
        self._waiting: list[Turn] = []

    def enter(self, *, small: bool = False) -> Turn:
        """Returns a turn, which joins the queue; `position` takes its slot as soon as there is one.

        Raises:
            QueueFull: The queue has its full length, and there is no slot.
        """
        turn = Turn(small=small)
        waiting = sum(other.small is small for other in self._waiting)
        self._waiting.append(turn)
        if waiting >= self._queue and not self._can_run(turn):
            self._waiting.remove(turn)
            raise QueueFull(f"{waiting} calls wait already", retry_after=RETRY_SECONDS)
        return turn

    def position(self, turn: Turn) -> int:
        """Returns the position in the queue, from 1; 0 once the call has taken a slot.

        Small work counts only small work before it.
        """
        if not self._can_run(turn):
            return 1 + sum(other.small or not turn.small for other in self._before(turn))
        turn.own = self._has_own(turn)
        if turn.own:
            self._free_small -= 1
        else:
            self._free -= 1
        self._waiting.remove(turn)
        self._move()
        return 0

    def leave(self, turn: Turn) -> None:
        """Leaves the queue, or gives the slot back."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.own:
            self._free_small += 1
        else:
            self._free += 1
        self._move()

    def _can_run(self, turn: Turn) -> bool:
        return self._has_own(turn) or (self._free > 0 and not self._before(turn))

    def _has_own(self, turn: Turn) -> bool:
        return turn.small and self._free_small > 0 and not any(other.small for other in self._before(turn))

    def _before(self, turn: Turn) -> list[Turn]:
        return self._waiting[: self._waiting.index(turn)]

    def _move(self) -> None:
        for turn in self._waiting:
            turn.moved.set()
