"""private_folder(): a new folder for the socket of a local server, at a place that works as an address."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from celeste_image.core.errors import ServerUnavailable

__all__ = ["SOCKET", "private_folder"]

SOCKET = "celeste.sock"
PREFIX = "celeste-"
MOST_BYTES = 103
"""Longest path of a socket: Linux takes 107 bytes, macOS 103."""
RANDOM_BYTES = 8
"""Characters that `mkdtemp` adds."""
PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")
"""gRPC reads `%`, `#`, `?` and other characters of an address as parts of a URL."""


def private_folder() -> Path:
    """Makes a folder that only this user may read, and whose path may be the address of a socket.

    Raises:
        ServerUnavailable: There is no such place.
    """
    why = ""
    for place in _places():
        path = os.path.join(place, PREFIX + "x" * RANDOM_BYTES, SOCKET)
        if not PLAIN.fullmatch(path) or len(os.fsencode(path)) > MOST_BYTES:
            why = why or f"{place} is too long, or has characters that an address can't have"
            continue
        try:
            return Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        except OSError as error:
            why = why or f"{place}: {error.strerror}"
    text = f"there is no folder for the socket of a local server ({why})"
    raise ServerUnavailable(f"{text}: set TMPDIR to a short path that can be written")


def _places() -> Iterator[str]:
    """Yields absolute paths of folders for temporary files, the user's own choice first."""
    chosen = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    with suppress(OSError):  # no place can be written
        chosen.append(tempfile.gettempdir())
    for place in (*chosen, os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108
        if place:
            yield os.path.abspath(place)
