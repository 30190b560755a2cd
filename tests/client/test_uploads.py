"""Pictures that do not fit a request go ahead of it, over connections that drop."""

import asyncio
import hashlib

import pytest
from tests.support import pictures
from tests.support.proxies import CuttingProxy
from tests.support.servers import running

from celeste_image.client import AsyncClient, Client
from celeste_image.core.errors import RequestTooLarge
from celeste_image.core.image import ImageInput
from celeste_image.core.request import AnalysisKind, Analyze

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
