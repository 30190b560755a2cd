"""SIGHUP: the server reads its configuration again; or its terminal was closed, and it stops."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

__all__ = ["HangUp"]

HANG_UP_SECONDS = 0.2
"""Time for the kernel to take the terminal away from a process that gets SIGHUP because the terminal was closed."""


class HangUp:
    """Handles SIGHUP, unless it is ignored, as by nohup. To be made in the event loop.

    Args:
        reload: Reads the configuration again.
        stop: Stops the server.
        only_stops: Whether the server stops in any case, as one of a single client does.
    """

    def __init__(self, reload: Callable[[], Awaitable[object]], stop: Callable[[], None], *, only_stops: bool) -> None:
        self._reload, self._stop, self._only_stops = reload, stop, only_stops
        self._had_terminal = _has_terminal()
        self._running: set[asyncio.Task[None]] = set()
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._begin)

    def _begin(self) -> None:
        task = asyncio.get_running_loop().create_task(self._handle())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self) -> None:
        if self._had_terminal:
            await asyncio.sleep(HANG_UP_SECONDS)
        if self._only_stops or (self._had_terminal and not _has_terminal()):
            self._stop()
        else:
            await self._reload()


def _has_terminal() -> bool:
    """Returns whether this process has a terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
