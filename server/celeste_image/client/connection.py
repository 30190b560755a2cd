"""connect(): returns a Client for a server, or for a local server that it starts."""

import os
import weakref

from celeste_image.client.local_server import LocalServer, Start, start_python
from celeste_image.client.sync import Client

__all__ = ["connect", "open_client"]


def connect(address: str = "") -> Client:
    """Returns a client.

    Args:
        address: `host:port`, `unix:PATH`, or `local:` for a new server on a private Unix socket, which ends with the
            client: when it is closed, when nothing refers to it any more, and when this process ends, however that
            happens. Empty means the variable `CELESTE_ADDRESS`, else `local:`.

    Raises:
        ServerUnavailable: The local server did not start.
    """
    return open_client(address, start_python)


def open_client(address: str, start: Start) -> Client:
    """Returns a client as `connect` does; `start` starts the process of a local server. Raises ServerUnavailable."""
    address = address or os.environ.get("CELESTE_ADDRESS", "") or "local:"
    return _open_local(start) if address == "local:" else Client(address)


def _open_local(start: Start) -> Client:
    """Returns a client of a new server on a private socket."""
    server = LocalServer(start)
    try:
        client = Client(server.address)
        client._at_close.callback(server.stop)
        client._at_close.callback(client.channel.close)
        server.wait(client.channel)
    except BaseException:
        server.stop()
        raise
    weakref.finalize(client, server.abandon)
    return client
