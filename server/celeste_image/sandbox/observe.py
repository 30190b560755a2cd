"""Observing: the span of a task in a worker process, with the process's own phases, and the metrics of the task."""

import time
from types import TracebackType

from celeste_image.core.errors import reason_of
from celeste_image.sandbox.frames import Frame
from celeste_image.sandbox.phases import phases_of
from celeste_image.telemetry.instruments import WORKER_TASK_DURATION
from celeste_image.telemetry.tracing import child

__all__ = ["ObservedTask"]


class ObservedTask:
    """A task from its wait for a process to its end. It does little while neither traces nor metrics are on.

    Args:
        pool: Name of the pool.
    """

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._asked = time.monotonic_ns()
        self._took = self._sent = 0
        self._opened = child(f"worker {pool}", {"celeste.pool": pool})

    def __enter__(self) -> "ObservedTask":
        self._span = self._opened.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._took:
            failure = "" if error is None else reason_of(error)
            WORKER_TASK_DURATION.record((time.monotonic_ns() - self._took) * 1e-9, self._pool, failure)
        if self._span:
            self._span.end(error)

    @property
    def is_traced(self) -> bool:
        """Whether the process has to report its phases."""
        return self._span is not None

    def takes(self, *, has_waited: bool) -> None:
        """Notes that it is the task's turn: a process is idle, or may be started."""
        self._took = time.monotonic_ns()
        if self._span and has_waited:
            self._span.past("wait", self._asked, self._took)

    def sends(self, *, is_new: bool) -> None:
        """Notes that the process is ready for the task; `is_new` says that it was started for it."""
        self._sent = time.monotonic_ns()
        if self._span and is_new:
            self._span.past("start", self._took, self._sent)

    def reads(self, last: Frame) -> None:
        """Adds the phases in the last frame of the process. Raises an error that `reading` knows."""
        if self._span:
            for name, began, ended in phases_of(last, self._sent, time.monotonic_ns()):
                self._span.past(name, began, ended)
