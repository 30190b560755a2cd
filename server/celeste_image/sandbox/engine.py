"""Engine: the protocol of modules that worker processes run; each has one function, `run`."""

from collections.abc import Sequence
from typing import Any, Protocol

from celeste_image.sandbox.frames import Frame

__all__ = ["Dialogue", "Emit", "Engine"]


class Emit(Protocol):
    """Sends a message to the server.

    `kind` is a word that the engine and its caller agree on. `fields` are JSON values. `payload` is bytes that are too
    large for JSON, such as an encoded image.
    """

    def __call__(self, kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        """Sends the message."""
        ...


class Dialogue(Emit, Protocol):
    """An Emit with answers, for an engine that asks the server to do something for it."""

    def take(self) -> Frame:
        """Waits for the server's next frame. Each call takes one frame, see `WorkerPool.run`."""
        ...


class Engine(Protocol):
    """A module that does one kind of work.

    `run` receives a task of JSON values and its encoded images. It reports by `emit`, which is a Dialogue for engines
    that need one, and returns when done. The module may keep state between calls, such as a loaded model.

    `run` raises CelesteError subclasses for errors that the caller can correct. Any other exception is a bug; it goes
    to the log, not to the caller. After its import, which starts no thread, a module can read only the files of its
    code and the weights that its pool names, and can write none.
    """

    def run(self, task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
        """Runs a task."""
        ...
