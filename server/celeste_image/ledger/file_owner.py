"""FileOwner: a running server, by a file that it keeps locked. For servers of one machine."""

import asyncio
import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Collection
from pathlib import Path

__all__ = ["FileOwner"]

NAME = re.compile(r"[0-9a-f]{32}")


LOOK_SECONDS = 30.0


class FileOwner:
    """A running server; see `Owner`. The kernel takes the lock of its file away when the process ends, however.

    No clock and no heartbeat: a server that stands still is not taken for a dead one.

    Args:
        folder: Folder of the files, one of a server; created if absent.

    Raises:
        OSError: The file can't be made.
    """

    look_seconds = LOOK_SECONDS

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        while not self._lock_new_file():
            pass  # another server took the file for that of a dead one, in the moment before it was locked

    def _lock_new_file(self) -> bool:
        self.name = secrets.token_hex(16)
        path = self._path(self.name)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(self._file), path.stat()):
                return True
        os.close(self._file)
        return False

    async def begin(self) -> None:
        """Does nothing: the file is locked from the beginning."""

    def check(self) -> None:
        """Does nothing: the kernel keeps the lock until the process ends."""

    async def gone(self, names: Collection[str]) -> list[str]:
        """Returns which servers have ended, and removes the files of all such; see `Owner.gone`. Raises OSError."""
        return await asyncio.to_thread(self._look, names)

    def _look(self, names: Collection[str]) -> list[str]:
        found = [name for name in names if self._is_gone(name)]
        for path in self._folder.iterdir():  # of servers without open calls
            self._is_gone(path.name)
        return found

    def _is_gone(self, name: str) -> bool:
        """Returns whether another server has ended. Its file is removed then."""
        if name == self.name:
            return False
        if not NAME.fullmatch(name):
            return True
        path = self._path(name)
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            path.unlink(missing_ok=True)
            return True
        finally:
            os.close(file)

    async def close(self) -> None:
        """Ends the server's life: others may take over what it left open."""
        self._path(self.name).unlink(missing_ok=True)
        os.close(self._file)

    def _path(self, name: str) -> Path:
        return self._folder / name
