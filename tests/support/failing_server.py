"""`celeste` with a failpoint: the process kills itself with SIGKILL at a named step of a paid call.

`python -m tests.support.failing_server serve ...` does what `celeste serve ...` does, until the step that the variable
`FAILPOINT` names. The product knows nothing of failpoints: this module wraps the methods where the steps are.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

__all__ = ["FAILPOINT", "POINTS", "Point"]

FAILPOINT = "CELESTE_TEST_FAILPOINT"
"""Variable with the name of the point; unset or empty for none."""


@dataclass(frozen=True, slots=True)
class Point:
    """A step at which the process ends.

    Attributes:
        owner: Module and class of a method.
        method: The method.
        is_before: Whether the process ends before the method does its work, or after it.
    """

    owner: str
    method: str
    is_before: bool = False


LEDGER = "celeste_image.ledger.Ledger"
STORE = "celeste_image.store.ArtifactStore"
POINTS = {
    "after row": Point(LEDGER, "open"),
    "after remote id": Point(LEDGER, "submitted"),
    "after answer": Point(STORE, "put", is_before=True),
    "after blob": Point(STORE, "put"),
    "after receipt": Point(LEDGER, "end"),
}
"""The points by name.

- after row: the row of the call is on the disk, and nothing was sent.
- after remote id: the vendor's name for the job is on the disk.
- after answer: the image is in memory.
- after blob: the image is in the store.
- after receipt: the end of the call is on the disk, and the caller was told nothing.
"""


def arm(name: str) -> None:
    """Wraps the method of a point. Raises AttributeError if there is no such method."""
    point = POINTS[name]
    module, _, cls = point.owner.rpartition(".")
    owner = getattr(__import__(module, fromlist=[cls]), cls)
    setattr(owner, point.method, _ending(getattr(owner, point.method), is_before=point.is_before))


def _ending(method: Callable[..., Awaitable[Any]], *, is_before: bool) -> Callable[..., Awaitable[Any]]:
    """Returns a method at whose begin or end the process is killed."""

    @wraps(method)
    async def ending(*arguments: Any, **named: Any) -> Any:
        if not is_before:
            await method(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return ending


if __name__ == "__main__":
    from celeste_image.cli.main import main

    if armed := os.environ.pop(FAILPOINT, ""):
        arm(armed)
    main()
