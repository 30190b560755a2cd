"""Owner: the server that a row belongs to while its call runs, and how others see that it is gone."""

import fcntl
import os
import re
import secrets
from pathlib import Path

__all__ = ["Owner"]

NAME = re.compile(r"[0-9a-f]{32}")


class Owner:
    """A running server, by a file that it keeps locked. The kernel takes the lock away when the process ends, however.

    No clock and no heartbeat: a server that stands still is not taken for a dead one.

    Args:
        folder: Folder of the files, one of a server; created if absent.

    Raises:
        OSError: The file can't be made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.name = secrets.token_hex(16)
        self._file = os.open(self._path(self.name), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_gone(self, name: str) -> bool:
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

    def close(self) -> None:
        """Ends the server's life: others may take over what it left open."""
        self._path(self.name).unlink(missing_ok=True)
        os.close(self._file)

    def _path(self, name: str) -> Path:
        return self._folder / name
