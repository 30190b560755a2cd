"""The Python client: takes core values, raises core errors.

from celeste_image import connect

with connect("local:") as client:
    result = client.generate("a lighthouse and a sailboat on the sea at sunset")
    client.save(result.images[0], "lighthouse.png")
"""

from celeste_image.client.aio import AsyncClient
from celeste_image.client.connection import connect
from celeste_image.client.sync import Client

__all__ = ["AsyncClient", "Client", "connect"]
