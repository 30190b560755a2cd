"""LocalServer: a server for one client, which ends with the client however the client ends.

The server's standard input is a pipe that only the client writes to. The system closes it when the client's process
ends, whether by its last line, an exception or a signal; the server then ends and removes its folder. The parent-death
signal of Linux would not do: it comes when the *thread* that started the server ends.
"""

import os
import shutil
import subprocess
import sys
import time
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import grpc

from celeste_image.client.places import SOCKET, private_folder
from celeste_image.core.errors import ServerUnavailable

__all__ = ["LocalServer", "ServerProcess", "Start", "start_python"]

START_SECONDS = 60.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.2

_servers: "weakref.WeakSet[LocalServer]" = weakref.WeakSet()


class ServerProcess(Protocol):
    """The process of a server. It reads a pipe that only this process writes to."""

    def poll(self) -> int | None:
        """Returns the exit code; None while it runs."""

    def wait(self, timeout: float | None = None) -> object:
        """Waits until it has ended. Raises subprocess.TimeoutExpired."""

    def kill(self) -> None:
        """Ends it at once."""

    def let_go(self) -> None:
        """Closes the pipe: of this process, the server may end. A second time does nothing."""

    def forget(self) -> None:
        """Closes the copy of the pipe that a fork of this process has; it is no child of the fork."""


Start = Callable[[Path, BinaryIO, dict[str, str]], ServerProcess]
"""Starts `celeste serve --for-client`, with its folder, its log and more variables of the environment."""


class LocalServer:
    """A server process on a private Unix socket.

    Args:
        start: Starts the process; `wait` waits until it serves.

    Attributes:
        address: Its address.
    """

    def __init__(self, start: Start) -> None:
        self._owner = os.getpid()
        self._opened_at = _caller()
        self._folder = private_folder()
        self._log = self._folder / "server.log"
        self.address = f"unix:{self._folder}/{SOCKET}"
        try:
            with self._log.open("wb") as log:
                self._process = start(self._folder, log, {"CELESTE_SERVER__REQUEST_BYTES": str(64 << 20)})
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        _servers.add(self)

    def wait(self, channel: grpc.Channel) -> None:
        """Waits until the server accepts calls of a channel.

        Raises:
            ServerUnavailable: It did not start. The message has the last line of its log, or says how long it took.
        """
        ready = grpc.channel_ready_future(channel)
        until = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            with suppress(grpc.FutureTimeoutError):
                ready.result(timeout=LOOK_SECONDS)
                return
        ready.cancel()
        if self._process.poll() is None:
            text = f"the local server did not answer within {START_SECONDS:g} s"
            raise ServerUnavailable(f"{text}; on a busy machine start one with `celeste serve` and give its address")
        lines = self._log.read_text(errors="replace").strip().splitlines()
        raise ServerUnavailable("the local server did not start: " + (lines[-1] if lines else "its log is empty"))

    def stop(self) -> None:
        """Ends the server and removes its folder; later calls, and those of a forked process, do nothing."""
        if self._owner != os.getpid():
            return
        self._owner = 0
        self._process.let_go()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def abandon(self) -> None:
        """Ends the server of a client that was not closed, with a ResourceWarning at the line that opened it."""
        if self._owner == os.getpid():
            self.stop()
            text = "a client of connect('local:') was not closed; use it as a context manager"
            warnings.warn_explicit(text, ResourceWarning, *self._opened_at)


class _Python(subprocess.Popen[bytes]):
    """A server in a fresh Python."""

    def let_go(self) -> None:
        if self.stdin:
            with suppress(OSError):
                self.stdin.close()

    def forget(self) -> None:
        self.let_go()
        self.returncode = 0


def start_python(folder: Path, log: BinaryIO, variables: dict[str, str]) -> ServerProcess:
    """Starts a server in a fresh Python: this process may have threads and libraries that bear no fork."""
    return _Python(
        [sys.executable, "-m", "celeste_image.cli.main", "serve", "--for-client", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=log,
        env=os.environ | variables,
        # A session of its own: signals of a terminal, and those to the client's group, do not reach the server.
        start_new_session=True,
    )


def _caller() -> tuple[str, int]:
    """Returns the file and the line that called this package."""
    frame = sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("celeste_image."):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _in_forked_process() -> None:
    """Closes a fork's copies of the pipes, which would keep the servers of the parent alive."""
    for server in _servers:
        server._process.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_process)
