"""LogWriter: writes the lines of the log in a thread of its own.

A slow or full disk, or a pipe that nobody reads, then holds no call up.
"""

import atexit
import contextlib
import os
import select
import sys
import threading
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

__all__ = ["LogWriter", "Sink", "StandardError"]

log = structlog.get_logger("celeste_image.log")

PAUSE_SECONDS: Final = 0.02
"""Time in which lines are collected for the next write. It bounds what is lost when the process is killed, and how
often the thread interrupts the calls."""
RETRY_SECONDS: Final = 1.0
"""Pause after a failed write."""
MOST_BYTES: Final = 8 << 20
"""Most memory of lines that are not written yet; further lines are lost, and counted."""
LINE_BYTES: Final = 64
"""Memory of a line beside its bytes."""
CLOSE_SECONDS: Final = 5.0


class Sink(Protocol):
    """Where lines go. One thread uses it."""

    def write(self, lines: Sequence[bytes]) -> int:
        """Writes lines, each with its line feed, and returns how many of them are written.

        Raises:
            OSError: None of them is.
        """
        ...

    def close(self) -> None:
        """Closes the sink."""
        ...


class StandardError:
    """Standard error, which may be a terminal, a pipe or a file.

    Args:
        file: Its descriptor, for tests.
    """

    def __init__(self, file: int | None = None) -> None:
        self._file = _standard_error() if file is None else file
        self._torn = b""
        """The rest of a line that was written in part."""

    def write(self, lines: Sequence[bytes]) -> int:
        """Writes lines. They are gone if nobody reads them any more."""
        if self._file < 0:
            return len(lines)
        data = memoryview(b"".join((self._torn, *lines)))
        done = 0
        try:
            while done < len(data):
                done += self._write(data[done:])
        except BrokenPipeError:
            self._torn = b""
            return len(lines)
        except OSError:
            if not done:
                raise
        count, end = 0, len(self._torn)
        while end < done:
            end += len(lines[count])
            count += 1
        self._torn = bytes(data[done:end])
        return count

    def _write(self, data: memoryview) -> int:
        while True:
            try:
                return os.write(self._file, data)
            except BlockingIOError:  # another process made it so
                select.select((), (self._file,), ())

    def close(self) -> None:
        """Leaves standard error open."""


class LogWriter:
    """Writes lines in the order in which `write` takes them, from any thread.

    While the sink fails, lines wait in memory, and the sink is tried again. Those that find no room are lost, and the
    log has their number later.

    Args:
        sink: Where the lines go. This object closes it.
        most_bytes: Most memory of waiting lines.
        pause_seconds: Time in which lines are collected for a write.
        retry_seconds: Pause after a failed write.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        most_bytes: int = MOST_BYTES,
        pause_seconds: float = PAUSE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._sink = sink
        self._most, self._pause, self._retry = most_bytes, pause_seconds, retry_seconds
        self._lock = threading.Lock()
        self._new: list[bytes] = []
        self._held = self._lost = 0
        self._awake, self._closing = threading.Event(), threading.Event()
        self._waiting: list[bytes] = []  # only the thread uses it
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, line: str) -> None:
        """Takes a line with its line feed."""
        data = line.encode(errors="backslashreplace")
        with self._lock:
            if self._held >= self._most:
                self._lost += 1
                return
            is_first = not self._new
            self._new.append(data)
            self._held += len(data) + LINE_BYTES
        if is_first:
            self._awake.set()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Writes the lines so far, for at most `seconds`, and closes the sink. A second call does nothing."""
        if self._closing.is_set():
            return
        atexit.unregister(self.close)
        self._closing.set()
        self._awake.set()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            self._sink.close()

    def _run(self) -> None:
        while True:
            if not self._waiting:
                self._awake.wait()
            self._awake.clear()
            is_last = self._closing.is_set()
            self._write_all()
            if is_last:
                self._write_all()  # what the writing itself told
                if self._waiting:
                    _say(f"the last {len(self._waiting)} lines of the log are lost")
                return
            self._closing.wait(self._retry if self._waiting else self._pause)

    def _write_all(self) -> None:
        with self._lock:
            self._waiting += self._new
            self._new = []
        count = 0
        try:
            if self._waiting:
                count = self._sink.write(self._waiting)
        except Exception as error:  # anything that ended the thread would end the log
            if not self._is_failing:
                self._is_failing = True
                _say(f"the log can't be written: {error}; its lines wait in memory")
            return
        self._is_failing = False
        with self._lock:
            self._held -= sum(map(len, self._waiting[:count])) + count * LINE_BYTES
            lost, self._lost = (0, self._lost) if self._waiting[count:] else (self._lost, 0)
        del self._waiting[:count]
        if lost:
            with contextlib.suppress(Exception):
                log.warning("lines lost", lines=lost)


def _say(text: str) -> None:
    """Tells the operator what the log itself can't have."""
    if (file := _standard_error()) >= 0:
        with contextlib.suppress(OSError):
            os.write(file, f"celeste: {text}\n".encode(errors="backslashreplace"))


def _standard_error() -> int:
    """Returns the descriptor of standard error; -1 if it was closed when the process started."""
    return sys.__stderr__.fileno() if sys.__stderr__ else -1
