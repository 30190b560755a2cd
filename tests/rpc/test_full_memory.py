"""A server whose store is in memory and full: STORAGE_FULL, before work begins, and what is stored stays."""

import pytest
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.core.errors import StorageFull

MIB = 1 << 20


async def test_a_full_memory_is_storage_full() -> None:
    store = {"url": "memory:///", "memory_bytes": 2 * MIB, "reserve_bytes": MIB}
    async with running(store=store) as server, AsyncClient(server.address) as client:
        first = await client.upload(b"1" * (MIB + 1))
        with pytest.raises(StorageFull) as caught:
            await client.upload(b"2" * 100)
        assert caught.value.retry_after, "with RetryInfo"
        with pytest.raises(StorageFull):
            await client.generate("a fox", model="local/compose", size=(64, 64))
        assert await client.read(first.name) == b"1" * (MIB + 1)
