"""Phases: what a worker process did during a task, and when, for the trace of the call.

The server asks for them with the task, and the process reports them with its last frame: the name of each phase and its
beginning, then the end of the task. Times are of the monotonic clock, which all processes of a machine share.
"""

import re
import time
from typing import Any

from celeste_image.sandbox.frames import Frame

__all__ = ["Phases", "phases_of"]

MOST_PHASES = 32
NAME = re.compile(r"[a-z][a-z0-9 _-]{0,39}")
FIRST = "run"
"""The phase before an engine names one by the field `phase` of its frames "progress"."""


class Phases:
    """Notes the phases of one task, in the worker process."""

    def __init__(self) -> None:
        self._began: list[tuple[str, int]] = [(FIRST, time.monotonic_ns())]

    def enter(self, name: object) -> None:
        """Begins a phase, unless it lasts already."""
        if isinstance(name, str) and name not in ("", self._began[-1][0]) and len(self._began) < MOST_PHASES:
            self._began.append((name, time.monotonic_ns()))

    def fields(self) -> dict[str, Any]:
        """Returns the fields of the last frame."""
        return {"phases": self._began, "ended": time.monotonic_ns()}


def phases_of(frame: Frame, began_ns: int, ended_ns: int) -> list[tuple[str, int, int]]:
    """Returns name, beginning and end of the phases in the last frame of a task, which the server timed itself.

    A process that was taken over may name any time, so each is moved into the time of the task. Raises an error that
    `reading` knows for anything else that is malformed.
    """
    told = frame.fields.get("phases", [])
    if len(told) > MOST_PHASES:
        raise ValueError("too many phases")
    names = [name for name, _ in told]
    if not all(NAME.fullmatch(name) for name in names):
        raise ValueError("a phase without a name")
    ends = [*(at for _, at in told), frame.fields.get("ended", 0)]
    if not all(type(at) is int for at in ends):
        raise TypeError("a time that is not a number")
    times = [began_ns]
    for at in ends:
        times.append(min(max(at, times[-1]), ended_ns))
    return list(zip(names, times[1:], times[2:], strict=False))
