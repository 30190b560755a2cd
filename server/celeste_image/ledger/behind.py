"""Behind: writes that nobody waits for, until the end of the server."""

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["Behind"]


class Behind:
    """Tasks that write to the database while their callers go on. They log their own failures."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a write."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Waits for the writes that run."""
        while self._tasks:
            await asyncio.wait(self._tasks)
