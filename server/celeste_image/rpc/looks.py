"""Looks: finds the paid calls of dead servers, again and again while the server runs."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from celeste_image.core.errors import CelesteError
from celeste_image.ledger import Ledger

__all__ = ["Looks"]

log = structlog.get_logger("celeste_image.server")


class Looks:
    """Looks for the calls of dead servers, and goes on with their requests if a provider can be asked for a job.

    Of looks that fail one after another, the log has the first.

    Args:
        ledger: The ledger.
        resume: Goes on with the requests of dead servers; it raises StorageUnavailable.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        resume: Callable[[], Awaitable[object]],
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        self._ledger, self._resume, self._sleep = ledger, resume, sleep
        self._is_failing = False

    async def look(self) -> int:
        """Looks once, and returns how many calls of dead servers it found.

        A database that is full or away is no reason to stop: the next look finds the calls.
        """
        try:
            found = await self._ledger.recover()
        except (CelesteError, OSError) as error:
            if not self._is_failing:
                log.error("paid calls not looked for", error=f"{type(error).__name__}: {error}")
            self._is_failing = True
            return 0
        self._is_failing = False
        return found

    async def always(self) -> None:
        """Goes on with the requests of dead servers, now and after each look that finds some; looks periodically."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._go_on())
            while True:
                await self._sleep(self._ledger.look_seconds)
                if await self.look():
                    group.create_task(self._go_on())

    async def _go_on(self) -> None:
        try:
            await self._resume()
        except CelesteError as error:
            log.error("requests not resumed", reason=error.reason)
