"""Pulse: watches the event loop from a thread of its own, and tells when it stands still."""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable

import structlog

__all__ = ["Pulse"]

log = structlog.get_logger("celeste_image.server")

BEAT_SECONDS = 1.0
STALL_SECONDS = 5.0


class Pulse:
    """Watches whether the event loop turns. It has a thread of its own, since a blocked loop can't report anything.

    Args:
        on_change: Called in the thread with False when the loop stands still, and with True when it turns again.
        stall_seconds: Time without a turn after which the loop stands still; 0 means STALL_SECONDS.
    """

    def __init__(self, on_change: Callable[[bool], object], stall_seconds: float = 0.0) -> None:
        self._on_change = on_change
        self._stall_seconds = stall_seconds or STALL_SECONDS
        self._every_seconds = min(BEAT_SECONDS, self._stall_seconds / 5)
        self._turned = time.monotonic()
        self._ended = threading.Event()
        self._beating: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to watch the running loop."""
        self._beat(asyncio.get_running_loop())
        self._thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="celeste-pulse", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._ended.set()
        if self._beating:
            self._beating.cancel()
        if self._thread:
            self._thread.join()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turned = time.monotonic()
        self._beating = loop.call_later(self._every_seconds, self._beat, loop)

    def _watch(self, thread: int) -> None:
        """Compares the time of the last turn with the clock, and logs where the loop's thread stands."""
        is_alive = True
        while not self._ended.wait(self._every_seconds):
            silent = time.monotonic() - self._turned
            if (silent < self._stall_seconds) == is_alive:
                continue
            is_alive = not is_alive
            if is_alive:
                log.warning("the event loop turns again")
            else:
                frame = sys._current_frames().get(thread)
                stack = "".join(traceback.format_stack(frame)) if frame else ""
                log.error("the event loop stands still", seconds=round(silent, 1), stack=stack)
            self._on_change(is_alive)
