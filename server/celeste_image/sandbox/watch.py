"""Watch: ends a process that is waited for too long, or that does nothing while it is waited for."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["STALLED_SECONDS", "Watch"]

CHECK_SECONDS = 1.0
"""Pause between two looks at a process. A gap between two looks counts as no more than this, since a container or a
machine that was paused stops the server and its processes alike."""
STALLED_SECONDS = 20.0
"""How long a process may take no CPU time while it is waited for: it was stopped, or waits for what never comes."""


class Watch:
    """Measures the time that the server waits for a process.

    Args:
        pid: The process.
        end: Ends it.
    """

    def __init__(self, pid: int, end: Callable[[], None]) -> None:
        self._pid, self._end = pid, end
        self._limit = self._left = self._idle = 0.0
        self._busy: int | None = None
        self._looked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.verdict = ""
        """Why the process was ended; empty if it was not."""

    def limit(self, seconds: float) -> None:
        """Sets how long the server may wait for the process from now on, in several waits; 0 means any time."""
        self._limit = self._left = seconds

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Watches the process inside the block, which must be waiting for it."""
        self._idle, self._busy, self._looked_at = 0.0, _cpu_ticks(self._pid), self._now()
        self._schedule()
        try:
            yield
        finally:
            if self._timer:
                self._timer.cancel()
            self._count()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _schedule(self) -> None:
        pause = min(CHECK_SECONDS, max(0.0, self._left)) if self._limit else CHECK_SECONDS
        self._timer = asyncio.get_running_loop().call_later(pause, self._look)

    def _count(self) -> float:
        """Subtracts the time since the last look from the time that is left, and returns it."""
        now = self._now()
        seconds, self._looked_at = min(now - self._looked_at, CHECK_SECONDS), now
        self._left -= seconds
        return seconds

    def _look(self) -> None:
        seconds, busy = self._count(), _cpu_ticks(self._pid)
        self._idle = self._idle + seconds if busy is not None and busy == self._busy else 0.0
        self._busy = busy
        if self._limit and self._left <= 0.001:
            self.verdict = f"took longer than its limit of {self._limit:g} s"
        elif self._idle >= STALLED_SECONDS:
            self.verdict = f"did nothing for {STALLED_SECONDS:g} s"
        else:
            self._schedule()
            return
        self._timer = None
        self._end()


def _cpu_ticks(pid: int) -> int | None:
    """Returns the CPU time of a process and its threads; None where the system does not tell, which is off Linux."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12])  # utime and stime, the fields 14 and 15 of proc_pid_stat(5)
