"""Turns and lines: who waits for a slot, and where."""

import asyncio
from collections import deque
from collections.abc import Hashable

from celeste_image.core.errors import CelesteError

__all__ = ["Line", "Turn"]


class Turn:
    """A call's way to a slot.

    Attributes:
        operation: What the calls of one operation have in common, by identity.
        small: Whether the call is small work.
        who: The asker, with whom all of its calls share a line.
        work: The kind of work; calls of one kind take about as long.
        deadline: When the caller stops waiting, by the clock of Slots; None means never.
        is_watched: Whether the call hears of its positions.
        has_slot: Whether the call has its slot.
        is_own: Whether its slot is one of small work, not one for all.
        since: When the call came, by the clock of Slots, or when it got its slot.
        position: The position in the queue that was told last, from 1; 0 if none was.
        tell_at: When a new position may be told, by the clock of the event loop.
    """

    def __init__(
        self,
        operation: object,
        since: float,
        *,
        small: bool,
        who: Hashable = None,
        work: Hashable = None,
        deadline: float | None = None,
        is_watched: bool = True,
    ) -> None:
        self.operation, self.small, self.who = operation, small, who
        self.work, self.deadline, self.is_watched = work, deadline, is_watched
        self.has_slot = self.is_own = False
        self.since = since
        self.position, self.tell_at = 0, 0.0
        self._news = asyncio.Event()
        self._refusal: CelesteError | None = None

    async def news(self) -> int:
        """Waits for the slot or for another position. Returns the position in the queue; 0 with the slot.

        Raises:
            QueueFull: The call can't end in time any more, or the place in the queue went to another asker.
        """
        await self._news.wait()
        self._news.clear()
        if self._refusal:
            raise self._refusal
        return 0 if self.has_slot else self.position

    def tell(self, position: int) -> None:
        """Tells the call its position; for Slots."""
        self.position = position
        self._news.set()

    def give(self, now: float, *, own: bool) -> None:
        """Gives the call its slot; for Slots."""
        self.has_slot, self.is_own, self.since = True, own, now
        self._news.set()

    def refuse(self, error: CelesteError) -> None:
        """Ends the wait; for Slots."""
        self._refusal = error
        self._news.set()


class Line:
    """The place in the queue that the calls of one operation share.

    Attributes:
        key: The operation, and whether its calls are small work.
        who: The asker.
        turns: The calls that wait, in order of arrival.
        rank: Lines with a lower rank are served first.
    """

    __slots__ = ("key", "rank", "turns", "who")

    def __init__(self, turn: Turn) -> None:
        self.key = turn.operation, turn.small
        self.who = turn.who
        self.turns: deque[Turn] = deque()
        self.rank = (0, 0)
