"""What a worker process runs: an engine is a module with one function, `run`."""

from collections.abc import Sequence
from typing import Any, Protocol

from celeste_image.sandbox.frames import Frame

__all__ = ["Dialogue", "Emit", "Engine"]


class Emit(Protocol):
    """Sends one message to the server.

    `kind` is a word that the engine and its caller agree on; `fields` are JSON values; `payload` is bytes that
    JSON should not carry, such as an encoded picture.
    """

    def __call__(self, kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        """Sends it."""
        ...


class Dialogue(Emit, Protocol):
    """An Emit that can be answered: for an engine that has something done outside of its process."""

    def take(self) -> Frame:
        """Waits for the server's next frame: one for each time that this is called, see `WorkerPool.run`."""
        ...


class Engine(Protocol):
    """A module that does one kind of work.

    `run` gets a task of JSON values and the pictures that go with it, encoded; it reports by `emit`, a Dialogue for
    those that need one, and returns when done. It may keep state between calls (a loaded model) in its module. It
    raises CelesteError subclasses for what the caller can mend; whatever else it raises is a bug and reaches the log,
    not the caller. A module that has `SEALED = True` can read no files once it is imported but those of its code, and
    write none.
    """

    def run(self, task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
        """Does one task."""
        ...
