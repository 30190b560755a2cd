"""Pace: how long calls took lately, for the question whether another one can end in time."""

from collections import OrderedDict, deque
from collections.abc import Hashable

__all__ = ["Pace"]

LEAST, KEPT, KINDS = 3, 32, 1000
"""Times of a kind of work that say something (the first may be that of a cold start), times kept, and kinds."""
RECENT_SECONDS = 30.0
"""Older times say nothing: a provider that was slow gets another try."""
WEIGHT = 0.1
"""Part of the latest call in the mean."""


class Pace:
    """The latest times of calls, in seconds.

    Attributes:
        mean: A moving average of the time that calls had their slot, over all kinds of work; 0 before the first.
    """

    def __init__(self) -> None:
        self.mean = 0.0
        self._latest: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._times: OrderedDict[Hashable, deque[tuple[float, float]]] = OrderedDict()

    def count(self, seconds: float) -> None:
        """Notes how long a call had its slot."""
        self.mean += (seconds - self.mean) * (WEIGHT if self.mean else 1.0)

    def add(self, work: Hashable, seconds: float, now: float) -> None:
        """Notes how long the work of a call took, or took at least when its deadline passed."""
        times = self._times.get(work)
        if times is None:
            times = self._times[work] = deque(maxlen=KEPT)
            if len(self._times) > KINDS:
                self._times.popitem(last=False)
        times.append((now, seconds))
        self._latest.append((now, seconds))

    def quickest(self, now: float) -> float:
        """Returns the shortest of the latest times of all kinds of work; 0 without recent ones."""
        return min((seconds for at, seconds in self._latest if now - at <= RECENT_SECONDS), default=0.0)

    def recent(self, work: Hashable, now: float) -> list[float]:
        """Returns the recent times of a kind of work, the shortest first; none if they are too few."""
        times = self._times.get(work, ())
        recent = sorted(seconds for at, seconds in times if now - at <= RECENT_SECONDS)
        return recent if len(recent) >= LEAST else []
