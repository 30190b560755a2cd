"""Reading by name: in chunks, from anywhere, over connections that drop."""

import hashlib

import grpc
import pytest
from tests.support import pictures
from tests.support.proxies import CuttingProxy
from tests.support.servers import Running, running

from celeste_image.client import AsyncClient, Client
from celeste_image.core.caller import ANONYMOUS
from celeste_image.v1 import ArtifactServiceStub, ReadArtifactRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1 << 20


@pytest.fixture(scope="module")
def data() -> bytes:
    return pictures.noise(1400, 1400)  # 5.9 MB


async def test_chunks_hold_the_artifact(server: Running, channel: grpc.aio.Channel, data: bytes) -> None:
    name = (await server.app.store.put(ANONYMOUS.tenant, data)).name
    responses = [r async for r in ArtifactServiceStub(channel).ReadArtifact(ReadArtifactRequest(name=name))]
    first, *others = responses
    assert (first.artifact.name, first.artifact.media_type, first.artifact.size_bytes) == (name, "image/png", len(data))
    assert not any(response.HasField("artifact") for response in others)
    assert b"".join(response.chunk.data for response in responses) == data
    assert max(len(response.chunk.data) for response in responses) <= MIB
    offset = 0
    for response in responses:
        assert response.chunk.offset == offset
        offset += len(response.chunk.data)


@pytest.mark.parametrize(("offset", "limit"), [(0, 1), (1, 0), (MIB - 1, 2), (3 * MIB, MIB), (5_000_000, 99_999_999)])
async def test_any_part(server: Running, channel: grpc.aio.Channel, data: bytes, offset: int, limit: int) -> None:
    name = (await server.app.store.put(ANONYMOUS.tenant, data)).name
    request = ReadArtifactRequest(name=name, offset=offset, limit=limit)
    part = b"".join([r.chunk.data async for r in ArtifactServiceStub(channel).ReadArtifact(request)])
    assert part == (data[offset : offset + limit] if limit else data[offset:])


async def test_the_end_is_no_error_and_beyond_it_is(server: Running, channel: grpc.aio.Channel, data: bytes) -> None:
    name = (await server.app.store.put(ANONYMOUS.tenant, data)).name
    stub = ArtifactServiceStub(channel)
    (only,) = [r async for r in stub.ReadArtifact(ReadArtifactRequest(name=name, offset=len(data)))]
    assert only.artifact.size_bytes == len(data)
    assert not only.HasField("chunk")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [r async for r in stub.ReadArtifact(ReadArtifactRequest(name=name, offset=len(data) + 1))]
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_a_read_goes_on_where_the_connection_dropped(server: Running, data: bytes) -> None:
    name = (await server.app.store.put(ANONYMOUS.tenant, data)).name
    cuts = [1_500_000, 2_000_000, 1_000_000]
    async with CuttingProxy(server.address, cuts) as proxy, AsyncClient(proxy.address) as client:
        read = await client.read(name)
    assert hashlib.sha256(read).hexdigest() == name.rpartition("-")[2]
    assert proxy.connections == 4


async def test_a_read_that_never_gets_on_is_given_up(server: Running, data: bytes) -> None:
    name = (await server.app.store.put(ANONYMOUS.tenant, data)).name
    from celeste_image.core.errors import ServerUnavailable

    async with CuttingProxy(server.address, [0] * 99) as proxy, AsyncClient(proxy.address) as client:
        with pytest.raises(ServerUnavailable):
            await client.read(name)


async def test_damaged_bytes_are_not_handed_out(tmp_path: object, data: bytes) -> None:
    async with running(store={"url": f"file://{tmp_path}"}) as server:
        name = (await server.app.store.put(ANONYMOUS.tenant, data)).name
        sha256 = name.rpartition("-")[2]
        from pathlib import Path

        blob = Path(str(tmp_path)) / "sha256" / sha256[:2] / sha256
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 1
        blob.write_bytes(content)
        async with grpc.aio.insecure_channel(server.address) as channel:
            received = b""
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for response in ArtifactServiceStub(channel).ReadArtifact(ReadArtifactRequest(name=name)):
                    received += response.chunk.data
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS
    assert not received


async def test_the_blocking_client_reads_the_same(server: Running, data: bytes) -> None:
    import asyncio

    name = (await server.app.store.put(ANONYMOUS.tenant, data)).name

    def read() -> bytes:
        with Client(server.address) as client:
            return client.read(name)

    assert await asyncio.to_thread(read) == data
