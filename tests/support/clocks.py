"""Clock: a time that only sleeping advances, so that tests wait for nothing."""

import time

__all__ = ["Clock"]


class Clock:
    """A clock in seconds, from now on unless a time is given: the connections have the real one.

    Attributes:
        now: The time.
        pauses: The seconds of each sleep.
    """

    def __init__(self, now: float | None = None) -> None:
        self.began = self.now = time.monotonic() if now is None else now
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    @property
    def passed(self) -> float:
        """The seconds since the start."""
        return self.now - self.began
