"""connect(): a client for a command. A server of its own is a fork of the command, and has the modules that it loaded.

Only the command forks: it knows that no thread runs and that gRPC has not started, only been imported. A program or
notebook that calls `celeste_image.connect` starts a fresh Python.
"""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import click

from celeste_image.cli.options import Server
from celeste_image.client import Client
from celeste_image.client.connection import open_client
from celeste_image.client.local_server import ServerProcess, start_python

__all__ = ["connect"]

MOST_DESCRIPTORS = 1 << 20
NAME = "celeste serve"
"""What `ps -o comm` and `top` call the process; its command line stays the command's."""


def connect(server: Server) -> Client:
    """Returns a client as `celeste_image.connect` does.

    Raises:
        ServerUnavailable: A server of the command's own did not start.
        click.UsageError: The options contradict each other.
    """
    try:
        return open_client(server.address or "local:", _Fork if _may_fork() else start_python, server.access)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _may_fork() -> bool:
    """Returns whether a fork has all that it needs: no other thread of this process may hold a lock.

    System libraries of macOS do not bear a fork.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return False
    try:
        return len(os.listdir("/proc/self/task")) == 1  # threads that Python did not start
    except OSError:
        return False


class _Fork(ServerProcess):
    """A server in a fork of this process."""

    def __init__(self, folder: Path, log: BinaryIO, variables: dict[str, str]) -> None:
        taken, self._held = os.pipe()
        arguments = (folder, log.fileno(), taken, variables)
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_serve, args=arguments, name=NAME, daemon=True)
        # Until the fork has a session and streams of its own, Ctrl-C is the command's matter.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        except OSError:
            self.let_go()
            raise
        finally:
            os.close(taken)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> None:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(NAME, timeout or 0)

    def kill(self) -> None:
        self._process.kill()

    def let_go(self) -> None:
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)

    forget = let_go


def _serve(folder: Path, log: int, pipe: int, variables: dict[str, str]) -> None:
    """Makes a fork what a fresh process of `celeste serve` would be, and serves."""
    gc.freeze()  # the command's objects stay, on pages that both processes share
    os.setsid()
    os.dup2(pipe, 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(log, 2)
    os.closerange(3, MOST_DESCRIPTORS)
    # New objects: those of the command may be missing, or have text that was not written yet.
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    for number in signal.valid_signals() - {signal.SIGINT}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ.update(variables)
    with suppress(OSError):
        Path("/proc/self/comm").write_text(NAME)

    from celeste_image.cli.main import main

    main(["serve", "--for-client", str(folder)])
