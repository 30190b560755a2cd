"""Room that is handed out in the order of arrival: bytes that calls hold, and places for calls at work."""

import asyncio
from collections import deque

from celeste_image.core.errors import MemoryBudget, QueueFull

__all__ = ["ByteBudget", "Hold", "Slots"]

MOST_WAITING = 1000
"""Calls that wait hold little, but not nothing: one more is refused at once."""
RETRY_SECONDS = 1.0
UNLIMITED = 1 << 62


class ByteBudget:
    """Bytes that may be held together, given out in the order of arrival.

    Two ways in. Bytes that are not here yet are reserved, which may wait. Bytes that are here already, such as a
    picture that an engine made, are counted at once, also beyond the total: to refuse them would free nothing and
    lose the work. Then reservations wait until the sum is below the total again.

    Args:
        total_bytes: Bytes at most. What is larger than all of it gets in alone.
        wait_seconds: How long a reservation may wait.
    """

    def __init__(self, total_bytes: int = UNLIMITED, wait_seconds: float = 5.0) -> None:
        self.total_bytes = total_bytes
        self.held_bytes = 0
        self._wait_seconds = wait_seconds
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @property
    def waiting(self) -> int:
        """How many reservations wait."""
        return len(self._waiting)

    async def reserve(self, size_bytes: int) -> "Hold":
        """Returns a hold of so many bytes once there is room, no earlier than those who came before.

        Raises:
            MemoryBudget: There was none in time, or too many wait already.
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
        """Returns a hold of so many bytes that are here already."""
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
        """Takes a reservation back that nobody waits for any more, granted or not."""
        if entry[0].done():
            self.change(-entry[1])
        else:
            self._waiting.remove(entry)
            self._move()

    def change(self, size_bytes: int) -> None:
        """Counts so many bytes more, or less; for Hold."""
        self.held_bytes += size_bytes
        self._move()

    def _move(self) -> None:
        """Lets in those who wait, while the first of them fits."""
        while self._waiting and self._fits(self._waiting[0][1]):
            turn, size_bytes = self._waiting.popleft()
            self.held_bytes += size_bytes
            turn.set_result(None)


class Hold:
    """Bytes that one call holds of a budget; as a context manager it is closed at the end."""

    def __init__(self, budget: ByteBudget, size_bytes: int) -> None:
        self._budget = budget
        self.size_bytes = size_bytes
        self._closed = False

    def __enter__(self) -> "Hold":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def resize(self, size_bytes: int) -> None:
        """Holds so many bytes instead; more of them without waiting, since they are here already."""
        if not self._closed:
            self._budget.change(size_bytes - self.size_bytes)
            self.size_bytes = size_bytes

    def close(self) -> None:
        """Gives all of it back, once."""
        self.resize(0)
        self._closed = True


class Slots:
    """Places for calls at work, and a queue of bounded length before them.

    Args:
        places: Calls at work at most.
        queue: Calls that may wait.
    """

    def __init__(self, places: int, queue: int) -> None:
        self._free = places
        self._queue = queue
        self._waiting: deque[asyncio.Event] = deque()

    def enter(self) -> asyncio.Event | None:
        """Takes a place and returns None, or joins the queue and returns what is set when something moved there.

        Raises:
            QueueFull: As many calls wait as may.
        """
        if self._free and not self._waiting:
            self._free -= 1
            return None
        if len(self._waiting) >= self._queue:
            raise QueueFull(f"{len(self._waiting)} calls wait already", retry_after=1.0)
        turn = asyncio.Event()
        self._waiting.append(turn)
        return turn

    def position(self, turn: asyncio.Event) -> int:
        """Returns the place in the queue, from 1, or 0 after taking a free place for the first in it."""
        position = self._waiting.index(turn) + 1
        if position == 1 and self._free:
            self._free -= 1
            self._waiting.popleft()
            self._move()
            return 0
        return position

    def leave(self, turn: asyncio.Event | None) -> None:
        """Gives the place back, in the queue or at work."""
        if turn is not None and turn in self._waiting:
            self._waiting.remove(turn)
        else:
            self._free += 1
        self._move()

    def _move(self) -> None:
        for turn in self._waiting:
            turn.set()
