"""Celeste: one gRPC contract for every image model.

The client is here: `connect`, `Client` and `AsyncClient`. The server starts with `celeste serve`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeste_image.client import AsyncClient, Client, connect

__all__ = ["AsyncClient", "Client", "connect"]


def __getattr__(name: str) -> Any:
    """Imports the client when it is first asked for: the command line's help needs no gRPC."""
    if name in __all__:
        from celeste_image import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
