"""Database: one SQLite file. One thread writes, and commits together all that waits for it."""

import asyncio
import contextlib
import errno
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from celeste_image.database.schema import migrate

__all__ = ["Database", "Work", "probe"]

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

TOGETHER = 64
"""Most writes in one transaction."""
READERS = 2
BUSY_SECONDS = 10.0
"""How long a write waits for another server's transaction on the same file."""
LOOK_SECONDS = 0.02
CHECKPOINT_PAGES = 4000
"""Size of the write-ahead log, in pages of 4 KiB, from which it is copied into the file."""
LOG_BYTES = 64 << 20
"""Size to which the log's file is cut after a burst."""


class Database:
    """An SQLite file in a folder on a local disk; several servers of one machine may have it open.

    A write is one step on the disk: the write-ahead log is flushed at each commit. Writes that wait while the disk is
    busy share the next commit, so many callers cost few flushes.

    Args:
        path: The file; created if absent.
        first: Work on the file before all other, such as taking over an older store.
        durable: Whether a commit waits for the disk. A file that ends with its server need not.

    Raises:
        ValueError: The file is of a later version of Celeste.
        OSError: The file can't be opened or written.
    """

    def __init__(self, path: Path, first: Work[None] | None = None, *, durable: bool = True) -> None:
        connection = _connect(path, "rwc", durable)
        try:
            _prepare(connection, first)
            readers = [_connect(path, "rw", durable) for _ in range(READERS)]  # now: the path may lead elsewhere later
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise OSError(errno.EIO, str(error), str(path)) from error
            raise
        self._writer = _Writer(path, connection)
        self._readers = ThreadPoolExecutor(READERS, "celeste-database")
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for reader in readers:
            reader.execute("PRAGMA query_only = ON")
            self._idle.put(reader)
        self._end = weakref.finalize(self, _end, self._writer, readers)  # if nobody closes it

    async def write(self, work: Work[T]) -> T:
        """Runs work in a transaction of the writer's thread, and returns its result once it is on the disk.

        If the transaction fails, each of its works runs once more in a transaction of its own. So work must change
        nothing but the database.

        Raises:
            OSError: The file is not where it was opened, or its folder is read-only.
            sqlite3.Error: The file can't be written; nothing of the work was.
        """
        if not self._end.alive:
            raise sqlite3.ProgrammingError("the database is closed")
        loop = asyncio.get_running_loop()
        task = _Task(work, loop, loop.create_future())
        self._writer.queue.put(task)
        result: T = await task.future
        return result

    async def read(self, work: Work[T]) -> T:
        """Runs work that reads, in a thread of its own, and returns its result. Raises sqlite3.Error."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Work[T]) -> T:
        connection = self._idle.get()  # there are as many as threads
        try:
            return work(connection)
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        """Waits for all writes, and closes the file. Calls of `read` must have ended."""
        self._readers.shutdown()
        self._end()
        self._writer.thread.join()


@dataclass(slots=True, eq=False)
class _Task:
    """A write, and the caller that waits for it."""

    work: Work[Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def settle(self) -> None:
        """Wakes the caller; runs in the caller's loop."""
        if self.future.done():  # the caller was cancelled
            return
        if self.error:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _Writer:
    """The thread that writes. It knows nothing of its Database, which may be dropped while it waits."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._path = path
        self._identity = _identity(path)
        self._connection = connection
        self.thread = threading.Thread(target=self._run, name="celeste-database-writer", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Ends the thread after all writes that wait."""
        self.queue.put(None)

    def _run(self) -> None:
        while self._serve(self._next()):
            pass  # nothing here holds what was written while the thread waits
        self._connection.close()

    def _serve(self, tasks: list[_Task]) -> bool:
        """Commits some tasks and wakes their callers; returns False at the end, when no task is left."""
        self._commit(tasks)
        for loop, some in groupby(tasks, lambda task: task.loop):
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_settle, list(some))
        return bool(tasks)

    def _next(self) -> list[_Task]:
        """Waits for a task, and returns it with those behind it; an empty list at the end."""
        tasks: list[_Task] = []
        with contextlib.suppress(Empty):
            while len(tasks) < TOGETHER:
                task = self.queue.get(block=not tasks)
                if task is None:
                    if tasks:
                        self.queue.put(None)  # for the next time
                    break
                if not task.future.cancelled():
                    tasks.append(task)
        return tasks

    def _commit(self, tasks: list[_Task], *, is_retry: bool = False) -> None:
        """Commits some tasks together, or each alone if that fails; a task that fails then has an error."""
        if not tasks:
            return
        try:
            self._check_place()
            self._connection.execute("BEGIN IMMEDIATE")
            for task in tasks:
                task.result = task.work(self._connection)
            self._connection.execute("COMMIT")
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
            if is_retry:
                tasks[0].error = error
                return
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                self._empty_log()
            for task in tasks:  # one that fails takes no other with it
                self._commit([task], is_retry=True)

    def _empty_log(self) -> None:
        """Copies the log into the file and cuts it: the room that it took may be enough."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _check_place(self) -> None:
        """Raises OSError if the file was moved, deleted or replaced: its bytes would be lost with this process."""
        if _identity(self._path) != self._identity:
            raise OSError(errno.ESTALE, "the database was replaced while the server runs; restart the server")
        if not os.access(self._path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "the folder of the database is read-only")


def _end(writer: _Writer, connections: list[sqlite3.Connection]) -> None:
    writer.stop()
    for connection in connections:
        connection.close()


def _settle(tasks: list[_Task]) -> None:
    for task in tasks:
        task.settle()


def probe(connection: sqlite3.Connection) -> None:
    """Writes to the file without changing anything: work that finds out whether the file can be written."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version}")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _connect(path: Path, mode: str, durable: bool) -> sqlite3.Connection:
    """Opens a connection. Raises OSError."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")  # FULL: a commit waits for the disk
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error), str(path)) from error
    return connection


def _prepare(connection: sqlite3.Connection, first: Work[None] | None) -> None:
    """Makes an opened file ready. Raises sqlite3.Error or ValueError."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # works on a new file only, so it comes first
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:  # SQLite itself does not wait here for another server
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                raise
        time.sleep(LOOK_SECONDS)
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    migrate(connection)
    if first:
        first(connection)
