"""LogFile: a file of the log, rotated by size and by time. Another program may move it away at any time."""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from celeste_image.telemetry.log_archive import LogArchive

__all__ = ["LogFile", "Rotation"]

log = structlog.get_logger("celeste_image.log")

MODE: Final = 0o640
RETRY_SECONDS: Final = 60.0
"""Pause after a rotation that failed."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a new file is begun, and what becomes of the old ones.

    Attributes:
        size_bytes: Most bytes of a file; 0 means any number. A longer line has a file of its own.
        seconds: How often a new file is begun, counted from 1970-01-01 00:00 UTC; 0 means never by time.
        kept: Number of old files that are kept; the oldest are deleted.
        compress: Whether they are compressed by gzip.
    """

    size_bytes: int = 0
    seconds: float = 0.0
    kept: int = 14
    compress: bool = False


class LogFile:
    """A file that lines are added to, by this process alone.

    If the file is moved or deleted, or cut (logrotate's `copytruncate`), the next line goes to a new file, or to the
    beginning of the old one: no signal is needed.

    Args:
        path: The file. It and its folders are created when absent.
        rotation: When a new file is begun.
        clock: The time of day, in seconds since 1970.

    Raises:
        ValueError: The path is not that of a file, or another server has the file.
        OSError: The file can't be made or opened.
    """

    def __init__(self, path: Path, rotation: Rotation, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._rotation, self._clock = Path(os.path.realpath(path)), rotation, clock
        self._file = -1
        self._place = (0, 0)
        self._size = 0
        self._period = 0
        self._is_torn = False
        self._not_before = 0.0
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._path)
        try:
            self._open()
            self._archive = LogArchive(self._path, rotation.kept, compress=rotation.compress)
        except BaseException:
            self.close()
            raise
        self._archive.tidy()

    def write(self, lines: Sequence[bytes]) -> int:
        """Writes lines and returns how many. Raises OSError if none of them could be written."""
        self._follow()
        done = 0
        try:
            while done < len(lines):
                if self._is_due(len(lines[done])):
                    self._rotate()
                end, size = done, self._size
                while end < len(lines) and (end == done or not self._is_full(size, len(lines[end]))):
                    size += len(lines[end])
                    end += 1
                self._append(b"".join(lines[done:end]))
                done = end
        except OSError:
            if not done:
                raise
        return done

    def close(self) -> None:
        """Closes the file, and lets other servers have it."""
        if archive := getattr(self, "_archive", None):
            archive.close()
        for file in (self._file, self._lock):
            if file >= 0:
                os.close(file)
        self._file = self._lock = -1

    def _open(self) -> None:
        """Opens the file; creates it when it is absent."""
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), MODE)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            os.close(file)
            raise ValueError(f"{self._path} is no file; without log.file, lines go to standard error")
        self._file, self._place, self._size = file, (found.st_dev, found.st_ino), found.st_size
        self._period = self._period_of(found.st_mtime if found.st_size else self._clock())
        self._is_torn = False
        if found.st_size:  # a process that was killed may have left half a line
            os.lseek(file, -1, os.SEEK_END)
            self._is_torn = os.read(file, 1) != b"\n"

    def _follow(self) -> None:
        """Opens the file again if another program moved or deleted it."""
        try:
            found = os.stat(self._path)
            self._size = found.st_size
            is_there = (found.st_dev, found.st_ino) == self._place
        except FileNotFoundError:
            is_there = False
        if self._file < 0 or not is_there:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._open()

    def _append(self, data: bytes) -> None:
        """Adds whole lines. After a failure, the file is as before. Raises OSError."""
        if self._is_torn:
            data = b"\n" + data
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                if os.fstat(self._file).st_size > self._size:
                    os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self._is_torn = False

    def _period_of(self, seconds: float) -> int:
        return int(seconds // self._rotation.seconds) if self._rotation.seconds else 0

    def _is_full(self, size: int, more: int) -> bool:
        return 0 < self._rotation.size_bytes < size + more

    def _is_due(self, more: int) -> bool:
        """Returns whether a new file must be begun before so many bytes more."""
        if not self._size:
            self._period = self._period_of(self._clock())
            return False
        return self._is_full(self._size, more) or self._period_of(self._clock()) != self._period

    def _rotate(self) -> None:
        """Moves the file away and begins a new one. If that fails, lines go on in the old one. Raises OSError."""
        if self._clock() < self._not_before:
            return
        os.close(self._file)  # Windows moves no open file
        self._file = -1
        try:
            os.rename(self._path, self._archive.next(self._clock()))
        except OSError as error:
            self._not_before = self._clock() + RETRY_SECONDS
            log.warning("log not rotated", why=error.strerror, seconds=RETRY_SECONDS)
        self._open()
        self._archive.tidy()


def _locked(path: Path) -> int:
    """Returns a descriptor that keeps other servers from the file; -1 where the system has no such locks.

    Raises:
        ValueError: Another server has the file.
    """
    try:
        import fcntl
    except ImportError:
        return -1
    file = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise ValueError(f"another server writes to {path}; each server needs a file of its own") from None
    except BaseException:
        os.close(file)
        raise
    return file
