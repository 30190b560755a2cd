"""Jobs of emulated vendors: they take their time, tell how far they are, and keep how their call is to be treated."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from celeste_image.emulate.behavior import Behavior

__all__ = ["FakeJob", "FakeJobs"]


@dataclass(frozen=True, slots=True)
class FakeJob:
    """One job: what it made, when it began and when it will have been done, by the clock."""

    id: str
    behavior: Behavior
    data: bytes = field(repr=False)
    seed: int
    began: float
    ends: float


class FakeJobs:
    """The jobs of one vendor, by their ids."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs: dict[str, FakeJob] = {}

    def submit(self, behavior: Behavior, data: bytes, seed: int, id_: str = "") -> FakeJob:
        """Takes a job, which will have made `data` after the behavior's latency."""
        began = self._clock()
        job = FakeJob(id_ or uuid.uuid4().hex, behavior, data, seed, began, began + behavior.latency)
        self._jobs[job.id] = job
        return job

    def find(self, id_: str) -> FakeJob | None:
        """Returns a job, None if there is none of this id."""
        return self._jobs.get(id_)

    def fraction(self, job: FakeJob) -> float:
        """Returns the share of a job that is done, 1 at its end."""
        now = self._clock()
        return 1.0 if now >= job.ends else (now - job.began) / (job.ends - job.began)
