"""Behind: writes that go on whatever becomes of the call that they are for, until the end of the server."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Behind"]

T = TypeVar("T")


class Behind:
    """Writes in tasks of their own."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def soon(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a write that nobody waits for. It logs its own failure."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def surely(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for a write, which goes on if the caller is cancelled meanwhile. Raises what it raises."""
        return await asyncio.shield(self.soon(work))

    async def close(self) -> None:
        """Waits for the writes that run."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have left
