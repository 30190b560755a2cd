"""Ages: which stored objects are old enough to be deleted, whatever the wall clock does."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

__all__ = ["Ages", "utc_now"]

log = structlog.get_logger("celeste_image.store")

NOISE_SECONDS = 1.0
"""A smaller difference between the clocks is no step: it is the time between their readings."""
TOLD_SECONDS = 60.0
"""A step of this size is logged, and ends what earlier sweeps found."""
MOST_STEPS = 1000


def utc_now() -> datetime:
    """Returns the current time."""
    return datetime.now(UTC)


def uptime() -> float:
    """Returns the seconds of a clock without steps."""
    return time.monotonic()


class Ages:
    """Compares the times of objects with a wall clock that may step, and confirms each deletion by two sweeps.

    Stores note times by the wall clock. A step forward would make every object old at once, and a step back followed by
    its correction would do the same to objects that were stored in between. So a step forward counts only when it has
    held for the age in question. By then every object from before the step has existed that long by the monotonic
    clock. A step back counts at once: it makes objects younger. Machine sleep looks like a step forward.

    A restarted server has no monotonic clock to compare with. An object is therefore deleted only when two sweeps find
    it old, and when the clock has not stepped between them.

    Args:
        now: The wall clock; the system's by default.
        monotonic: A clock without steps, in seconds; the system's by default.
    """

    def __init__(self, now: Callable[[], datetime] | None = None, monotonic: Callable[[], float] | None = None) -> None:
        self._now = now or utc_now
        self._monotonic = monotonic or uptime
        self._offset = self._now().timestamp() - self._monotonic()
        self._forward: list[tuple[float, float]] = []  # monotonic time and seconds of each step that is not taken back
        self._stepped = False
        self._apart = 0.0
        self._sweep = 0
        self._found: dict[str, tuple[datetime, float, int]] = {}  # time of the object, first and last sweep

    def now(self) -> datetime:
        """Returns the time by the wall clock, and notices a step of it."""
        now, at = self._now(), self._monotonic()
        step = now.timestamp() - at - self._offset
        if abs(step) >= NOISE_SECONDS:
            self._offset += step
            self._note(step, at)
            if abs(step) >= TOLD_SECONDS:
                self._stepped = True
                log.warning("the wall clock stepped; nothing expires by the step", seconds=round(step), time=str(now))
        return now

    def horizon(self, age: timedelta) -> datetime:
        """Returns the time at or before which an object was stored if it is older than `age` for certain."""
        now = self.now()
        since = self._monotonic() - age.total_seconds()
        return now - timedelta(seconds=sum(seconds for at, seconds in self._forward if at > since)) - age

    def begin_sweep(self, apart_seconds: float) -> bool:
        """Begins a sweep; returns False if it must delete nothing, because the clock has stepped since the last one.

        Args:
            apart_seconds: How long ago, by the monotonic clock, an earlier sweep must have found an object old.
        """
        self.now()
        stepped, self._stepped, self._apart = self._stepped, False, apart_seconds
        if stepped:
            self._found.clear()
        self._sweep += 1
        return not stepped

    def is_old(self, path: str, stored: datetime, age: timedelta) -> bool:
        """Returns whether an object is older than `age`, and was found so by an earlier sweep.

        Args:
            path: Name of the object among all that are swept.
            stored: When the object was last stored, by the store's clock. An object stored again is a new one.
            age: How old it must be.
        """
        if stored > self.horizon(age) or self._stepped:
            return False
        at = self._monotonic()
        before, first, _ = self._found.get(path, (None, at, 0))
        self._found[path] = (stored, first if before == stored else at, self._sweep)
        return before == stored and at - first >= self._apart

    def end_sweep(self) -> None:
        """Forgets the objects that this sweep did not find old."""
        self._found = {path: found for path, found in self._found.items() if found[2] == self._sweep}

    def _note(self, step: float, at: float) -> None:
        """Adds a step forward; a step back takes back the latest steps forward."""
        if step > 0:
            self._forward.append((at, step))
            if len(self._forward) > MOST_STEPS:
                (_, first), (later, second) = self._forward[:2]
                self._forward[:2] = [(later, first + second)]
        while step < 0 and self._forward:
            begun, seconds = self._forward.pop()
            if seconds + step > 0:
                self._forward.append((begun, seconds + step))
            step += seconds
