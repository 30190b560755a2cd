"""Duties of process 1, which every PID namespace has: a container whose command is `celeste`."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["end_by_signals", "reap_orphans"]

LOOK_SECONDS = 2.0


def end_by_signals() -> None:
    """Ends process 1 by SIGTERM and SIGHUP: the kernel takes their default action, the end, from process 1."""
    if os.getpid() == 1:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, lambda number, frame: sys.exit(128 + number))


async def reap_orphans() -> None:
    """Collects the processes that process 1 inherits; without end. Other processes inherit none, and return at once.

    The event loop collects its own children the moment they end. A child that has ended and is still there at the next
    look is an orphan.
    """
    seen: set[int] = set()
    while os.getpid() == 1:
        await asyncio.sleep(LOOK_SECONDS)
        ended = set(_ended())
        _collect(ended & seen)
        seen = ended - seen


def _collect(orphans: set[int]) -> None:
    for orphan in orphans:
        with suppress(ChildProcessError):
            os.waitpid(orphan, os.WNOHANG)


def _ended() -> Iterator[int]:
    """Yields the ids of the children that have ended and were not collected."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if (state, parent) == ("Z", "1"):
                yield int(stat.parent.name)
