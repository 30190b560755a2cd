"""FakeJobs: the jobs of a fake vendor, with progress, a duration and the behavior of their call."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from celeste_image.emulate.behavior import Behavior

__all__ = ["FakeJob", "FakeJobs"]


@dataclass(frozen=True, slots=True)
class FakeJob:
    """A job: its result, and when it begins and ends by the clock, in seconds."""

    id: str
    behavior: Behavior
    data: bytes = field(repr=False)
    seed: int
    began: float
    ends: float


class FakeJobs:
    """The jobs of a vendor, by id."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs: dict[str, FakeJob] = {}

    def submit(self, behavior: Behavior, data: bytes, seed: int, id_: str = "") -> FakeJob:
        """Adds a job whose result is `data`, done after the behavior's latency."""
        began = self._clock()
        job = FakeJob(id_ or uuid.uuid4().hex, behavior, data, seed, began, began + behavior.latency)
        self._jobs[job.id] = job
        return job

    def find(self, id_: str) -> FakeJob | None:
        """Returns a job; None for an unknown id."""
        return self._jobs.get(id_)

    def fraction(self, job: FakeJob) -> float:
        """Returns the progress of a job, 0 to 1."""
        now = self._clock()
        return 1.0 if now >= job.ends else (now - job.began) / (job.ends - job.began)
