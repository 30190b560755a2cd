"""The Python client: takes core values, raises core errors.

from celeste_image import connect

with connect("local:") as client:
    result = client.generate("a lighthouse and a sailboat on the sea at sunset")
    client.save(result.images[0], "lighthouse.png")
"""

from typing import TYPE_CHECKING, Any

from celeste_image.client.connection import connect
from celeste_image.client.sync import Client

if TYPE_CHECKING:
    from celeste_image.client.aio import AsyncClient

__all__ = ["AsyncClient", "Client", "connect"]


def __getattr__(name: str) -> Any:
    """Imports the client for asyncio when it is first asked for: the command line does not need it."""
    if name == "AsyncClient":
        from celeste_image.client.aio import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
