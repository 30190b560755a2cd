"""Pictures that do not fit a request go ahead of it, over connections that drop."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.support import pictures
from tests.support.proxies import CuttingProxy
from tests.support.servers import running

from celeste_image.client import AsyncClient, Client
from celeste_image.core.artifact import artifact_name
from celeste_image.core.errors import RequestTooLarge
from celeste_image.core.image import ImageInput
from celeste_image.core.request import AnalysisKind, Analyze
from celeste_image.v1 import artifact_service_pb2

LARGE = pictures.noise(1300, 1300)  # 5.1 MB: more than a request takes


async def test_a_large_picture_is_analyzed_by_both_clients() -> None:
    digest = hashlib.sha256(LARGE).hexdigest()
    async with running() as server:
        async with AsyncClient(server.address) as client:
            result = await client.analyze(LARGE, kinds=[AnalysisKind.METADATA])
            assert result.analysis
            assert result.analysis.metadata
            assert result.analysis.metadata.sha256 == digest
            again = await client.upload(LARGE)
            assert (again.sha256, again.size_bytes) == (digest, len(LARGE))

        def analyze() -> str:
            with Client(server.address) as client:
                result = client.analyze(LARGE, kinds=[AnalysisKind.METADATA])
                assert client.upload(b"few").size_bytes == 3
                assert result.analysis
                assert result.analysis.metadata
                return result.analysis.metadata.sha256

        assert await asyncio.to_thread(analyze) == digest


async def test_without_an_upload_it_would_not_fit() -> None:
    async with running(server={"request_bytes": 1 << 20}) as server, AsyncClient(server.address) as client:
        with pytest.raises(RequestTooLarge):
            await client.run(Analyze(image=ImageInput(data=LARGE[: 2 << 20])))


async def test_an_upload_goes_on_where_the_connection_dropped() -> None:
    async with running() as server:
        async with CuttingProxy(server.address, [], cut_uploads=[1_500_000, 1_200_000]) as proxy:
            async with AsyncClient(proxy.address) as client:
                artifact = await client.upload(LARGE)
        assert proxy.connections == 3
        async with AsyncClient(server.address) as client:
            assert await client.read(artifact.name) == LARGE


class Balanced:
    """The stub of a load balancer: one server is asked, another gets the bytes."""

    def __init__(self, asked: Any, written: Any) -> None:
        self._asked, self._written = asked, written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._written if name == "WriteArtifact" else self._asked, name)


async def test_an_upload_goes_on_at_a_server_with_another_spool(tmp_path: Path) -> None:
    """Behind round robin without a common spool. It begins again at what that server has."""
    stores = [{"url": (tmp_path / "store").as_uri(), "spool": str(tmp_path / spool)} for spool in "ab"]
    async with running(store=stores[0]) as first, running(store=stores[1]) as second:
        data = LARGE[:-7] + b"another"
        name = artifact_name(hashlib.sha256(data).hexdigest())
        async with AsyncClient(first.address) as one, AsyncClient(second.address) as two:
            begun = artifact_service_pb2.WriteArtifactRequest(name=name, size_bytes=len(data))
            begun.chunk.data = data[:100_000]
            await one._artifacts.WriteArtifact(iter([begun]))
            one._artifacts = Balanced(one._artifacts, two._artifacts)
            assert (await one.upload(data)).name == name
            assert await two.read(name) == data

        more = LARGE[:-7] + b"blocked"

        def blocking() -> str:
            name = artifact_name(hashlib.sha256(more).hexdigest())
            with Client(first.address) as one, Client(second.address) as two:
                first_half = [artifact_service_pb2.WriteArtifactRequest(name=name, size_bytes=len(more))]
                first_half[0].chunk.data = more[:100_000]
                one._artifacts.WriteArtifact(iter(first_half))
                one._artifacts = Balanced(one._artifacts, two._artifacts)
                return one.upload(more).name

        assert await asyncio.to_thread(blocking) == artifact_name(hashlib.sha256(more).hexdigest())


async def test_an_outcome_that_grpc_lost_is_asked_for() -> None:
    """A write that fails, since the server has ended the call, is INTERNAL of the library, also after a success."""
    async with running() as server, AsyncClient(server.address) as client:
        stub, lost = client._artifacts, []

        class Losing:
            def __getattr__(self, name: str) -> Any:
                return getattr(stub, name)

            async def WriteArtifact(self, chunks: Any) -> Any:
                response = await stub.WriteArtifact(chunks)
                if not lost:
                    lost.append(response)
                    code = grpc.StatusCode.INTERNAL
                    raise grpc.aio.AioRpcError(
                        code, grpc.aio.Metadata(), grpc.aio.Metadata(), "Internal error from Core"
                    )
                return response

        client._artifacts = Losing()  # type: ignore[assignment]
        assert (await client.upload(b"some bytes")).name == lost[0].artifact.name
