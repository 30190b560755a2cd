"""Uploads to a store, as the service makes them."""

import asyncio

from tests.support.stores import OWNER, name_of

from celeste_image.core.artifact import Artifact
from celeste_image.store import ArtifactStore

DATA = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1000
NAME = name_of(DATA)


async def send(
    store: ArtifactStore, data: bytes = DATA, name: str = NAME, *, start: int = 0, step: int = 1 << 16, size: int = -1
) -> Artifact:
    """Uploads bytes as WriteArtifact does."""
    size = len(data) if size < 0 else size
    async with store.upload(OWNER, name) as upload:
        for offset in range(start, len(data), step):
            await store.write(upload, size, offset, data[offset : offset + step])
            await asyncio.sleep(0)
        return await store.finish(OWNER, name, size, upload)


async def begin(store: ArtifactStore, upto: int, data: bytes = DATA, name: str = NAME) -> None:
    """Uploads the first bytes, then drops the connection."""
    async with store.upload(OWNER, name) as upload:
        await store.write(upload, len(data), 0, data[:upto])
