"""A call: who asks, until when, and what earlier tries left."""

from dataclasses import dataclass

__all__ = ["ANONYMOUS", "Call"]

ANONYMOUS = "anonymous"
"""The caller of a server without authentication."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is true of one call, not of what it asks for.

    Attributes:
        request_id: Names the call in events, results and logs.
        caller: Whose call it is, and so whose artifacts; everybody is ANONYMOUS while nobody authenticates.
        deadline: When the caller stops waiting, by `time.monotonic()`; None is never.
        ticket: The provider's own name for a job that an earlier attempt submitted; with one, nothing is submitted.
        hurried: Whether another model waits to be asked, so that long pauses before another try are not worth it.
    """

    request_id: str
    caller: str = ANONYMOUS
    deadline: float | None = None
    ticket: str | None = None
    has_fallback: bool = False
