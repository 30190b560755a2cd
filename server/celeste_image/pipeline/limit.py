"""limiting: a slot for each call, in the order of arrival."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from celeste_image.core.errors import QueueFull
from celeste_image.core.events import Event, Queued, Run
from celeste_image.core.request import Call, ImageRequest

__all__ = ["Slots", "limiting"]


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


def limiting(run: Run, slots: Slots) -> Run:
    """Waits for a slot and says at which place; the slot is free again when the work has stopped."""

    async def limited(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        turn = slots.enter()
        try:
            told = 0
            while turn is not None and (position := slots.position(turn)):
                if position != told:
                    yield Queued(told := position)
                await turn.wait()
                turn.clear()
            async with aclosing(run(request, call)) as events:
                async for event in events:
                    yield event
        finally:
            slots.leave(turn)

    return limited
