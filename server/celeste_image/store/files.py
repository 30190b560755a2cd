"""File work of the store: durable writes, error translation, threads and free space."""

import asyncio
import contextlib
import errno
import os
import re
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import structlog

from celeste_image.core.errors import StorageFull, StorageUnavailable

__all__ = [
    "check_room",
    "failed",
    "file_failures",
    "flush",
    "free_bytes",
    "free_share",
    "full",
    "in_thread",
    "make_folder",
    "staged",
    "sync",
    "unwritable",
    "write",
]

T = TypeVar("T")

log = structlog.get_logger("celeste_image.store")

RETRY_SECONDS = 30.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # EFBIG comes from `ulimit -f` or `LimitFSIZE=`
FULL_TEXTS = tuple(f"(os error {number})" for number in FULL)
"""Ends of the messages of Rust's `std::io::Error`; obstore has no exception classes for these."""

STAGED = re.compile(r"([0-9a-f]{64}(\.json)?|probe)#\d+")
"""Names of temporary files, which are renamed when they are complete. obstore's listings leave such names out."""
COPY_BYTES = 1 << 20

_known_folders: set[Path] = set()
"""Folders whose own names this process has flushed."""


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
    """Logs an error of a file, of obstore or of SQLite, and returns the error for callers."""
    text = str(error).partition("\n")[0]
    log.warning("storage failed", error=text)
    is_full = getattr(error, "errno", None) in FULL or any(words in text for words in FULL_TEXTS)
    if is_full or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
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


def free_bytes(folder: Path) -> int | None:
    """Returns the free bytes of a folder's disk; None if it can't be asked."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def free_share(folder: Path) -> float | None:
    """Returns the free part of a folder's disk, 0.0 to 1.0, as `df` counts it; None if it can't be asked."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    usable = disk.f_blocks - disk.f_bfree + disk.f_bavail  # some blocks are for root alone
    return disk.f_bavail / usable if usable else None


def make_folder(folder: Path) -> None:
    """Makes a private folder durably, with its parents; an existing one stays as it is. Raises OSError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in missing:
        flush(path.parent)


def unwritable(folder: Path) -> str:
    """Makes a folder, and returns why no file can be made in it; empty if one can."""
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def write(root: Path, path: Path, content: bytes | Path) -> None:
    """Writes a file below `root` durably, with its folders, or leaves the earlier file.

    The bytes are flushed under a temporary name, then the file is renamed, then its folder is flushed, and those above
    it when this process uses the folder for the first time. In any other order, a power failure could replace a good
    file by an empty one.

    Args:
        root: A folder.
        path: The file.
        content: Bytes, or a file. On the same disk the two files are one, so its bytes must not change afterwards.

    Raises:
        FileNotFoundError: `root` is absent.
        OSError: A disk error occurred.
    """
    mode = root.stat().st_mode & 0o666
    if not path.parent.exists():
        _known_folders.discard(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}#{secrets.randbits(63)}")
    try:
        if not (isinstance(content, Path) and _link(content, temporary, mode)):
            _write_new(temporary, content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_names(root, path)


def _write_new(path: Path, content: bytes | Path) -> None:
    with path.open("xb") as file:
        if isinstance(content, Path):
            with content.open("rb") as source:
                shutil.copyfileobj(source, file, COPY_BYTES)
        else:
            file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _link(source: Path, path: Path, mode: int) -> bool:
    """Gives a file a second name, and flushes it; returns False if the disks differ, or have no second names.

    Args:
        source: The file.
        path: Its second name.
        mode: Who may read it.

    Raises:
        OSError: A disk error occurred.
    """
    try:
        path.hardlink_to(source)
    except OSError:
        return False
    if source.stat().st_mode & 0o777 != mode:
        source.chmod(mode)
    flush(path)
    return True


def sync(root: Path, path: Path) -> None:
    """Flushes a file below `root`, and its folders as `write` does. Raises OSError."""
    flush(path)
    _flush_names(root, path)


def _flush_names(root: Path, path: Path) -> None:
    """Flushes the folder of a file, and once in this process those above it, up to `root`."""
    folder = path.parent
    flush(folder)
    if folder not in _known_folders:
        for parent in folder.parents:
            if parent.is_relative_to(root):
                flush(parent)
        _known_folders.add(folder)


def flush(path: Path) -> None:
    """Flushes one file or folder to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def staged(root: Path) -> list[tuple[Path, datetime]]:
    """Returns the temporary files below a folder, each with the time of its last change. Raises OSError."""
    found = []
    for folder, _, names in os.walk(root):
        for name in filter(STAGED.fullmatch, names):
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):
                found.append((path, datetime.fromtimestamp(path.stat().st_mtime, UTC)))
    return found
