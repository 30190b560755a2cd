"""The end of a server that a client started for itself: `celeste serve --for-client FOLDER`."""

import os
import select
import shutil
import signal
import sys
import threading
import time

__all__ = ["end_with_client"]

LOOK_SECONDS = 1.0
STOP_SECONDS = 3.0
"""How long the server may take to end after its client did; then its process ends at once."""


def end_with_client(folder: str) -> None:
    """Ends this process, and removes the folder of its socket, when its standard input or its parent ends.

    Call it before the long imports: the client may end while the server starts.
    """
    threading.Thread(target=_end, args=(folder, os.getppid()), daemon=True).start()


def _end(folder: str, parent: int) -> None:
    _wait(parent)
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)


def _wait(parent: int) -> None:
    """Returns when the standard input or the parent ends. A fork of the client may hold the pipe without our code."""
    while True:
        if sys.platform == "win32" or select.select([0], [], [], LOOK_SECONDS)[0]:
            if not os.read(0, 64):
                return
        elif os.getppid() != parent:
            return
