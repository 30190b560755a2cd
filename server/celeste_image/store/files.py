"""Files: their errors made ours, their work beside the loop, and whether there is room for more."""

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import structlog

from celeste_image.core.errors import StorageFull, StorageUnavailable

__all__ = ["check_room", "failed", "file_failures", "in_thread", "sweep_staged", "sync"]

T = TypeVar("T")

log = structlog.get_logger("celeste_image.store")

RETRY_SECONDS = 30.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the last by `ulimit -f` or `LimitFSIZE=`
FULL_TEXTS = tuple(f"(os error {number})" for number in FULL)
"""How Rust's `std::io::Error` ends; obstore has no class for these."""

STAGED = re.compile(r"[0-9a-f]{64}(\.json)?#\d+")
"""Names that obstore gives to the files it has not yet renamed."""


@contextlib.contextmanager
def file_failures() -> Iterator[None]:
    """Makes the errors of files ours, all but FileNotFoundError. Raises StorageFull, StorageUnavailable."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise failed(error) from error


def failed(error: Exception) -> StorageFull | StorageUnavailable:
    """Logs an error of a file or of obstore, and returns ours for it."""
    text = str(error).partition("\n")[0]
    log.warning("failed", error=text)
    if getattr(error, "errno", None) in FULL or any(words in text for words in FULL_TEXTS):
        return full()
    return StorageUnavailable("the artifact store can't be used", retry_after=RETRY_SECONDS)


async def in_thread(work: Callable[..., T], *arguments: object) -> T:
    """Runs file work beside the loop, and returns or raises only when it is over, even if the caller is cancelled.

    A thread can't be stopped: whoever held a lock for it must not let it go before.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen, so that nobody complains that it was not
        raise


def full() -> StorageFull:
    """Returns the error of a store without room."""
    return StorageFull("the artifact store has no room left", retry_after=RETRY_SECONDS)


def check_room(folder: Path, reserve_bytes: int) -> None:
    """Raises StorageFull when a folder's disk has less than `reserve_bytes` free, StorageUnavailable when read-only."""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        raise StorageUnavailable("the artifact store can't be used", retry_after=RETRY_SECONDS) from error
    if not os.access(folder, os.W_OK | os.X_OK):  # also on a disk that is mounted read-only
        raise StorageUnavailable("the artifact store can't be written", retry_after=RETRY_SECONDS)
    if disk.f_bavail * disk.f_frsize < reserve_bytes:
        raise full()


def sync(root: Path, path: Path) -> None:
    """Brings a file and the folders above it, up to `root`, to the disk. Raises OSError."""
    for place in (path, *(p for p in path.parents if p.is_relative_to(root))):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep_staged(root: Path, before: float) -> int:
    """Deletes the files below a folder that obstore had begun before a time; returns how many. Raises OSError."""
    deleted = 0
    for folder, _, names in os.walk(root):
        for name in filter(STAGED.fullmatch, names):
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    deleted += 1
    return deleted
