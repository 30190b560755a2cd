"""Flights: work that several callers wait for runs once."""

import asyncio
import copy
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from dataclasses import replace

from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Event, Preview, Progress, Saved
from celeste_image.telemetry.logs import log_bug

__all__ = ["Flights", "Start"]

Start = Callable[[], AsyncGenerator[Event, None]]
"""Starts some work, and returns its events."""


class Flights:
    """Work in this process that several callers may wait for, by a key that says what the work is."""

    def __init__(self) -> None:
        self._running: dict[Hashable, _Flight] = {}

    def __contains__(self, key: Hashable) -> bool:
        """Returns whether work of a key runs."""
        return key in self._running

    async def join(self, key: Hashable, start: Start, last: Event | None = None) -> AsyncGenerator[Event, None]:
        """Yields the events of the work of a key, and starts the work if it does not run.

        A caller who comes later gets the events so far, without the bytes of images and the progress, then the others.
        All get the same error. The work goes on while anybody waits; the last one who leaves cancels it, and waits for
        its end. The deadline of the work is that of the first caller.

        Args:
            key: What the work is.
            start: Starts the work.
            last: An event for the end of work that succeeded. Of the callers who are there then, the one who came first
                does not get it. None if nobody gets one.
        """
        while (flight := self._running.get(key)) and flight.is_left:
            await asyncio.wait([flight.task])
        if flight is None:
            flight = self._running[key] = _Flight(start(), lambda: self._running.pop(key))
        reader = flight.enter(last)
        try:
            async with aclosing(reader.events()) as events:
                async for event in events:
                    yield event
        finally:
            flight.leave(reader)
            if flight.is_left:
                flight.task.cancel()
                await asyncio.wait([flight.task])


class _Reader:
    """One caller of a flight, and the events that it has not read."""

    def __init__(self, past: list[Event], last: Event | None) -> None:
        self.waiting: deque[Event] = deque(past)
        self._last = last
        self.is_over = False
        self.error: BaseException | None = None
        self.reads = asyncio.Event()
        """Set while it has read all."""
        self._news = asyncio.Event()

    def tell(self, event: Event) -> None:
        self.waiting.append(event)
        self.reads.clear()
        self._news.set()

    def end(self, error: BaseException | None, *, is_first: bool) -> None:
        if self._last and not (error or is_first):
            self.waiting.append(self._last)
        self.is_over, self.error = True, error if is_first else _copy(error)
        self._news.set()

    async def events(self) -> AsyncGenerator[Event, None]:
        while True:
            while self.waiting:
                yield self.waiting.popleft()
            self.reads.set()
            if self.is_over:
                if self.error:
                    raise self.error
                return
            self._news.clear()
            await self._news.wait()


class _Flight:
    """Work in a task of its own, and its callers.

    Attributes:
        is_left: Whether all callers have left, so that the work is being stopped.
    """

    def __init__(self, work: AsyncGenerator[Event, None], end: Callable[[], object]) -> None:
        self._past: list[Event] = []
        self._readers: list[_Reader] = []
        self._first: _Reader | None = None
        self._end = end
        self.is_left = False
        self.task = asyncio.create_task(self._run(work))

    def enter(self, last: Event | None) -> _Reader:
        """Adds a caller. The first one alone gets bytes of images."""
        reader = _Reader(self._past, last)
        self._readers.append(reader)
        self._first = self._first or reader
        return reader

    def leave(self, reader: _Reader) -> None:
        """Removes a caller."""
        self._readers.remove(reader)
        reader.reads.set()
        self.is_left = not self._readers and not self.task.done()

    async def _run(self, work: AsyncGenerator[Event, None]) -> None:
        error: BaseException | None = None
        try:
            async with aclosing(work):
                async for event in work:
                    await self._tell(event)
        except BaseException as raised:
            error = raised  # a bug, too: a caller logs it
            if not isinstance(raised, Exception):
                raise
            if not self._readers and not isinstance(raised, CelesteError):
                log_bug()
        finally:
            self._end()  # nobody enters from now on
            for index, reader in enumerate(self._readers):
                reader.end(error, is_first=index == 0)

    async def _tell(self, event: Event) -> None:
        light = replace(event, data=b"") if isinstance(event, Saved) else event
        if not isinstance(event, Progress | Preview):
            self._past.append(light)
        for reader in self._readers:
            reader.tell(event if reader is self._first else light)
        if isinstance(event, Saved | Preview) and self._first in self._readers and self._first:
            await self._first.reads.wait()  # the step below counts these bytes until then


def _copy(error: BaseException | None) -> BaseException | None:
    """Returns an error of its own for another caller, who may add to it."""
    again = copy.copy(error)
    if isinstance(again, CelesteError):
        again.metadata = dict(again.metadata)
    return again
