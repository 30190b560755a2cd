"""connect(): returns a Client for a server, or for a local server that it starts."""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import grpc

from celeste_image.client.sync import Client
from celeste_image.core.errors import ServerUnavailable

__all__ = ["connect"]

START_SECONDS = 30.0
STOP_SECONDS = 10.0


def connect(address: str = "") -> Client:
    """Returns a client.

    Args:
        address: `host:port`, `unix:PATH`, or `local:` for a new server on a private Unix socket, which stops with the
            client. Empty means the variable `CELESTE_ADDRESS`, else `local:`.

    Raises:
        ServerUnavailable: The local server did not start.
    """
    address = address or os.environ.get("CELESTE_ADDRESS", "") or "local:"
    return _start_local() if address == "local:" else Client(address)


def _start_local() -> Client:
    """Returns a client of a new server on a private socket."""
    with ExitStack() as undo:
        folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="celeste-"))
        log_path = Path(folder) / "server.log"
        socket = f"unix:{folder}/celeste.sock"
        command = [sys.executable, "-m", "celeste_image.cli.main", "serve", "--listen", socket]
        environment = os.environ | {"CELESTE_SERVER__REQUEST_BYTES": str(64 << 20)}
        with log_path.open("wb") as log:
            server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment)
        undo.callback(_stop, server)
        client = Client(socket)
        undo.callback(client.channel.close)
        ready = grpc.channel_ready_future(client.channel)
        waited = 0.0
        while server.poll() is None and waited < START_SECONDS:
            try:
                ready.result(timeout=0.2)
                break
            except grpc.FutureTimeoutError:
                waited += 0.2
        else:
            ready.cancel()
            lines = log_path.read_text(errors="replace").strip().splitlines()
            raise ServerUnavailable("the local server did not start: " + (lines[-1] if lines else "its log is empty"))
        client._at_close.push(undo.pop_all())
        return client


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
