"""connect(): returns a Client for a server, or for a local server that it starts."""

import os
import weakref

from celeste_image.client.local_server import LocalServer
from celeste_image.client.sync import Client

__all__ = ["connect"]


def connect(address: str = "") -> Client:
    """Returns a client.

    Args:
        address: `host:port`, `unix:PATH`, or `local:` for a new server on a private Unix socket, which ends with the
            client: when it is closed, when nothing refers to it any more, and when this process ends, however that
            happens. Empty means the variable `CELESTE_ADDRESS`, else `local:`.

    Raises:
        ServerUnavailable: The local server did not start.
    """
    address = address or os.environ.get("CELESTE_ADDRESS", "") or "local:"
    return _start_local() if address == "local:" else Client(address)


def _start_local() -> Client:
    """Returns a client of a new server on a private socket."""
    server = LocalServer()
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
