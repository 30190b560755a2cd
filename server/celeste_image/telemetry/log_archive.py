"""LogArchive: the old files of a log. A thread compresses them and deletes the oldest."""

import contextlib
import gzip
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

__all__ = ["LogArchive"]

log = structlog.get_logger("celeste_image.log")

STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
CHUNK_BYTES: Final = 256 << 10
GZIP_LEVEL: Final = 6
LOW_PRIORITY: Final = 19


class LogArchive:
    """The old files of a log: `celeste.log.20261130T170000.000000Z`, with `.gz` if compressed.

    Args:
        path: The current file.
        kept: Number of files that are kept.
        compress: Whether they are compressed.
    """

    def __init__(self, path: Path, kept: int, *, compress: bool) -> None:
        self._path, self._kept, self._compress = path, kept, compress
        self._form = re.compile(re.escape(path.name) + r"\.\d{8}T\d{6}\.\d{6}Z")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = self._closing = False

    def next(self, seconds: float) -> Path:
        """Returns the path for a file that is moved away now, after those of all others, even if the clock steps back.

        Args:
            seconds: The time of day, since 1970.
        """
        now = datetime.fromtimestamp(seconds, UTC)
        if old := self._old(os.listdir(self._path.parent)):
            last = datetime.strptime(old[-1].removeprefix(f"{self._path.name}."), STAMP).replace(tzinfo=UTC)
            now = max(now, last + timedelta(microseconds=1))
        return self._path.with_name(f"{self._path.name}.{now.strftime(STAMP)}")

    def tidy(self) -> None:
        """Begins to compress and delete files, in a thread at low priority."""
        with self._lock:
            self._again = True
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="log archive", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Ends the thread. What it left undone is done at the next start."""
        with self._lock:
            self._closing = True
            thread = self._thread
        if thread:
            thread.join()

    def _run(self) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)
        while True:
            with self._lock:
                if not self._again or self._closing:
                    self._thread = None
                    return
                self._again = False
            try:
                self._tidy()
            except Exception as error:
                log.warning("log files not tidied", why=f"{type(error).__name__}: {error}")

    def _old(self, names: Iterable[str]) -> list[str]:
        """Returns the names of old files among these, without the suffix of compressed ones, the oldest first."""
        return sorted({name for each in names if self._form.fullmatch(name := each.removesuffix(".gz"))})

    def _tidy(self) -> None:
        names = os.listdir(self._path.parent)
        old = self._old(names)
        for name in old[: -self._kept]:
            for path in (self._path.with_name(name), _packed(self._path.with_name(name))):
                path.unlink(missing_ok=True)
        for name in names:
            if name.endswith(".gz.part") and self._form.fullmatch(name.removesuffix(".gz.part")):
                self._path.with_name(name).unlink(missing_ok=True)  # of a process that was killed
        for name in old[-self._kept :]:
            if self._compress and not self._closing:
                self._pack(self._path.with_name(name))

    def _pack(self, path: Path) -> None:
        """Compresses a file, unless it is compressed. A crash at any point loses nothing."""
        packed = _packed(path)
        part = packed.with_name(f"{packed.name}.part")
        if not path.exists():
            return
        if not packed.exists():
            try:
                with path.open("rb") as plain, open(part, "xb", opener=_private) as made:
                    with gzip.GzipFile("", "wb", GZIP_LEVEL, made, path.stat().st_mtime) as stream:
                        while (data := plain.read(CHUNK_BYTES)) and not self._closing:
                            stream.write(data)
                    if self._closing:
                        return
                    made.flush()
                    os.fsync(made.fileno())
                shutil.copystat(path, part)
                part.replace(packed)
            finally:
                part.unlink(missing_ok=True)
        path.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _packed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")
