"""SECURITY.md says what everyone can do on a server without `[callers]`, and they can."""

from pathlib import Path

import grpc
import pytest
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.core.errors import ArtifactNotFound
from celeste_image.v1 import ArtifactServiceStub, DeleteArtifactRequest, ListArtifactsRequest

PAGE = (Path(__file__).parents[2] / "SECURITY.md").read_text()


async def test_every_artifact_is_everybodys_until_there_are_callers() -> None:
    (said,) = (point for point in PAGE.split("\n- ") if "no private artifacts" in point)
    for call in ("ListArtifacts", "ReadArtifact", "DownloadArtifact", "DeleteArtifact"):
        assert f"`{call}`" in said
    async with running() as server, AsyncClient(server.address) as one:
        name = (await one.upload(b"of one")).name
        async with grpc.aio.insecure_channel(server.address) as channel, AsyncClient(server.address) as other:
            stub = ArtifactServiceStub(channel)
            assert [each.name for each in (await stub.ListArtifacts(ListArtifactsRequest())).artifacts] == [name]
            assert await other.read(name) == b"of one"
            await stub.DeleteArtifact(DeleteArtifactRequest(name=name))
        with pytest.raises(ArtifactNotFound):
            await one.read(name)
