"""RunningCalls: the calls that a server works on, and the end of those that outlast its drain."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from celeste_image.core.errors import ServerUnavailable

__all__ = ["RunningCalls"]

RETRY_SECONDS = 1.0


class RunningCalls:
    """The running calls of a server. Health and reflection are not among them: their streams may last for ever.

    Attributes:
        is_over: Whether `end` was called. Later calls end at once.
    """

    def __init__(self) -> None:
        self._limits: dict[asyncio.Task[Any], asyncio.Timeout] = {}
        self._became_idle = asyncio.Event()
        self.is_over = False

    def __len__(self) -> int:
        return len(self._limits)

    @contextmanager
    def ended_by(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Has `end` expire `limit` in place of the one further out, so that the innermost code ends the call.

        The call of the current task counts as running until its task is over: when its status was sent, too.
        """
        task = asyncio.current_task()
        assert task
        outer = self._limits.get(task)
        if outer is None:
            task.add_done_callback(self._leave)
        self._limits[task] = limit
        if self.is_over:
            _expire(limit)
        try:
            yield
        finally:
            self._limits[task] = outer or limit

    async def idle(self) -> None:
        """Returns once no call runs."""
        while self._limits:
            self._became_idle.clear()
            await self._became_idle.wait()

    def end(self) -> int:
        """Cancels the work of all running calls, and returns their number. Each fails with `ended`."""
        self.is_over = True
        for limit in self._limits.values():
            _expire(limit)
        return len(self._limits)

    def ended(self, *, had_work: bool = False) -> ServerUnavailable:
        """Returns the error of a call that `end` ended.

        Args:
            had_work: Whether a provider may have done work. Then no client tries again by itself: that might be paid
                twice.
        """
        text = "the server stops and ended the call"
        if had_work:
            text = f"{text}; a provider may have done the work already"
            return ServerUnavailable(text, metadata={"owed": "unknown"})
        return ServerUnavailable(text, retry_after=RETRY_SECONDS)

    def _leave(self, task: asyncio.Task[Any]) -> None:
        del self._limits[task]
        if not self._limits:
            self._became_idle.set()


def _expire(limit: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it has expired already
        limit.reschedule(asyncio.get_running_loop().time())
