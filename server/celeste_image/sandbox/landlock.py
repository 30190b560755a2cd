"""Landlock, since Linux 5.13: a process irrevocably gives up the file system, TCP, and signals to other processes."""

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from celeste_image.sandbox.kernel import system_call

__all__ = ["Ruleset", "version"]

# linux/landlock.h; the system calls have the same numbers everywhere
CREATE, ADD, RESTRICT = 444, 445, 446
READ_FILE, READ_DIR = 1 << 2, 1 << 3


def version() -> int:
    """Returns the kernel's version of Landlock: 4 denies TCP, 6 abstract Unix sockets and signals.

    Raises OSError when the kernel has none or forbids it.
    """
    return system_call("Landlock", CREATE, None, 0, 1)


class Ruleset:
    """Rights that remain. Rules hold on files, so paths are opened before privileges are dropped.

    Raises OSError: see `version`.
    """

    def __init__(self, readable: Iterable[Path]) -> None:
        found = version()
        rights = (1 << 13) - 1  # version 1; later: 2 linking, 3 truncating, 4 TCP, 5 devices, 6 sockets and signals
        rights |= (found >= 2) << 13 | (found >= 3) << 14 | (found >= 5) << 15
        handled = struct.pack("=QQQ", rights, 3, 3)[: 24 if found >= 6 else 16 if found >= 4 else 8]
        self._rules = system_call("Landlock", CREATE, handled, len(handled), 0)
        for path in readable:
            with suppress(OSError):  # absent, or out of this user's reach
                self._allow(path)

    def _allow(self, path: Path) -> None:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rights = READ_FILE | (READ_DIR if path.is_dir() else 0)
            system_call("Landlock", ADD, self._rules, 1, struct.pack("=Qi", rights, opened), 0)
        finally:
            os.close(opened)

    def restrict(self) -> None:
        """Gives up all other rights, in this thread and those that it starts. Requires no_new_privileges."""
        try:
            system_call("Landlock", RESTRICT, self._rules, 0)
        finally:
            os.close(self._rules)
