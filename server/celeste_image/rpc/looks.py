"""Looks: finds the paid calls of dead servers, again and again while the server runs."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from celeste_image.core.errors import CelesteError
from celeste_image.ledger import Ledger

__all__ = ["Looks"]

log = structlog.get_logger("celeste_image.server")


class Looks:
    """Looks for the calls of dead servers. Of looks that fail one after another, the log has the first.

    Args:
        ledger: The ledger.
        sleep: Waits for a number of seconds.
    """

    def __init__(self, ledger: Ledger, sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep) -> None:
        self._ledger, self._sleep = ledger, sleep
        self._is_failing = False

    async def look(self) -> None:
        """Looks once. A database that is full or away is no reason to stop: the next look finds the calls."""
        try:
            await self._ledger.recover()
        except (CelesteError, OSError) as error:
            if not self._is_failing:
                log.error("paid calls not looked for", error=f"{type(error).__name__}: {error}")
            self._is_failing = True
        else:
            self._is_failing = False

    async def always(self) -> None:
        """Looks periodically, for the first time after the ledger's interval."""
        while True:
            await self._sleep(self._ledger.look_seconds)
            await self.look()
