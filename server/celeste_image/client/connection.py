"""connect(): returns a Client for a server, or for a local server that it starts."""

import os
import weakref
from typing import Unpack

from celeste_image.client.access import AccessParameters, access_from_environment
from celeste_image.client.local_server import LocalServer, Start, start_python
from celeste_image.client.sync import Client

__all__ = ["connect", "open_client"]


def connect(address: str = "", **access: Unpack[AccessParameters]) -> Client:
    """Returns a client.

    Args:
        address: `host:port`, `unix:PATH`, or `local:` for a new server on a private Unix socket, which ends with the
            client: when it is closed, when nothing refers to it any more, and when this process ends, however that
            happens. Empty means the variable `CELESTE_ADDRESS`, else `local:`.
        **access: API key, TLS and certificate; see `AccessParameters`. The variables `CELESTE_API_KEY`, `CELESTE_TLS`,
            `CELESTE_CA`, `CELESTE_CERT` and `CELESTE_KEY` stand for missing ones. A local server needs none.

    Raises:
        ServerUnavailable: The local server did not start.
        ValueError: The address or a parameter of the access has another form.
        OSError: A file of the access can't be read.
    """
    return open_client(address, start_python, access)


def open_client(address: str, start: Start, access: AccessParameters) -> Client:
    """Returns a client as `connect` does, with its errors; `start` starts the process of a local server."""
    address = address or os.environ.get("CELESTE_ADDRESS", "") or "local:"
    if address != "local:":
        return Client(address, **access_from_environment(access))
    if any(value not in (None, "") for value in access.values()):
        raise ValueError(f"{', '.join(access)}: for a running server, and there is no address of one")
    return _open_local(start)


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
