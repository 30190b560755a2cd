"""The server behind a real Envoy, with the configuration that users get: JSON over HTTP, and gRPC as before."""

from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
import pytest_asyncio
from tests.support.envoy import envoy
from tests.support.servers import running

from celeste_image.v1 import GetServerInfoRequest, ModelServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncIterator[str]:
    async with running() as server, envoy(server.address) as address:
        yield address


async def test_json_and_grpc_on_one_port(address: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as http, grpc.aio.insecure_channel(address) as channel:
        found = (await http.get(f"http://{address}/v1/server")).json()
        info = await ModelServiceStub(channel).GetServerInfo(GetServerInfoRequest())
        assert found["version"] == info.version
        assert found["limits"]["imagePixels"] == info.limits.image_pixels
