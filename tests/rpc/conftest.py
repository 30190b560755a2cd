from collections.abc import AsyncIterator

import grpc
import pytest_asyncio
from tests.support.servers import Running, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(server: Running) -> AsyncIterator[grpc.aio.Channel]:
    """A channel with no options at all."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel
