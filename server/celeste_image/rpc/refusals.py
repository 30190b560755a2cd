"""Refusals: counts the calls that found no room, and logs the numbers once a second at most."""

import asyncio
from collections import Counter

import structlog

from celeste_image.core.errors import MemoryBudget, QueueFull

__all__ = ["Refusals"]

log = structlog.get_logger("celeste_image.rpc")

NO_ROOM = frozenset({MemoryBudget.reason, QueueFull.reason})
LOG_SECONDS = 1.0


class Refusals:
    """The refused calls of a server. Each has a line of its own in the access log too, which may be off.

    Attributes:
        total: Their number since the start, by reason.
    """

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self._new: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        """Counts a failed call if it found no room."""
        if reason not in NO_ROOM:
            return
        if not self._new:
            asyncio.get_running_loop().call_later(LOG_SECONDS, self._log)
        self._new[reason] += 1
        self.total[reason] += 1

    def _log(self) -> None:
        log.warning("refused", calls=dict(self._new), since_start=dict(self.total))
        self._new.clear()
