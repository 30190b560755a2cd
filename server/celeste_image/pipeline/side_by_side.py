"""Helper of splitting: runs several streams of events at the same time, as one stream."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from celeste_image.core.events import Event

__all__ = ["side_by_side"]


async def side_by_side(runs: Sequence[AsyncGenerator[Event, None]]) -> AsyncGenerator[Event, None]:
    """Yields the events of runs that go on at the same time, each in a task of its own.

    A run goes on once its event is dealt with, as if it were read alone. The first error ends all runs, and so does
    closing this generator: it waits until the work of each has stopped.
    """
    events: asyncio.Queue[tuple[Event, asyncio.Event] | None] = asyncio.Queue()

    async def read(run: AsyncGenerator[Event, None]) -> None:
        async with aclosing(run):
            async for event in run:
                dealt_with = asyncio.Event()
                events.put_nowait((event, dealt_with))
                await dealt_with.wait()

    tasks = [asyncio.create_task(read(run)) for run in runs]
    for task in tasks:
        task.add_done_callback(lambda _: events.put_nowait(None))
    try:
        for _ in tasks:
            while (following := await events.get()) is not None:
                event, dealt_with = following
                yield event
                dealt_with.set()
            _raise_error_of(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _raise_error_of(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Raises the error of the first task that ended with one."""
    for task in tasks:
        if task.done():
            task.result()
