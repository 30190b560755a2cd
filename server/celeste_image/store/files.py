"""File work of the store: error translation, threads, fsync and free space."""

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
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # EFBIG comes from `ulimit -f` or `LimitFSIZE=`
FULL_TEXTS = tuple(f"(os error {number})" for number in FULL)
"""Ends of the messages of Rust's `std::io::Error`; obstore has no exception classes for these."""

STAGED = re.compile(r"[0-9a-f]{64}(\.json)?#\d+")
"""Names of obstore's temporary files, which it renames when they are complete."""


@contextlib.contextmanager
def file_failures() -> Iterator[None]:
    """Translates file errors into StorageFull and StorageUnavailable; FileNotFoundError passes through."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise failed(error) from error


def failed(error: Exception) -> StorageFull | StorageUnavailable:
    """Logs an error of a file or of obstore, and returns the error for callers."""
    text = str(error).partition("\n")[0]
    log.warning("storage failed", error=text)
    if getattr(error, "errno", None) in FULL or any(words in text for words in FULL_TEXTS):
        return full()
    return StorageUnavailable("the artifact store can't be used", retry_after=RETRY_SECONDS)


async def in_thread(work: Callable[..., T], *arguments: object) -> T:
    """Runs file work in a thread and waits for its end, even if the caller is cancelled.

    A thread can't be stopped, so the caller must hold its lock until the work is over.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log it
        raise


def full() -> StorageFull:
    """Returns the error for a store without room."""
    return StorageFull("the artifact store has no room left", retry_after=RETRY_SECONDS)


def check_room(folder: Path, reserve_bytes: int) -> None:
    """Raises StorageFull when a folder's disk has under `reserve_bytes` free, StorageUnavailable when read-only."""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        raise StorageUnavailable("the artifact store can't be used", retry_after=RETRY_SECONDS) from error
    if not os.access(folder, os.W_OK | os.X_OK):  # also fails on a read-only mount
        raise StorageUnavailable("the artifact store can't be written", retry_after=RETRY_SECONDS)
    if disk.f_bavail * disk.f_frsize < reserve_bytes:
        raise full()


def sync(root: Path, path: Path) -> None:
    """Flushes a file and its folders, up to `root`, to the disk. Raises OSError."""
    for target in (path, *(p for p in path.parents if p.is_relative_to(root))):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep_staged(root: Path, before: float) -> int:
    """Deletes obstore's temporary files below a folder that are older than `before`; returns how many.

    `before` is a Unix time in seconds. Raises OSError.
    """
    deleted = 0
    for folder, _, names in os.walk(root):
        for name in filter(STAGED.fullmatch, names):
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    deleted += 1
    return deleted
