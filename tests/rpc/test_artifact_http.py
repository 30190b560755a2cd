"""Bytes as bodies of HTTP, as a transcoder sends and takes them. tests/e2e/test_envoy.py has the real transcoder."""

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.api.httpbody_pb2 import HttpBody
from tests.support import pictures
from tests.support.servers import Running, running
from tests.support.stores import OWNER
from tests.support.waiting import until

from celeste_image.core.errors import CelesteError
from celeste_image.rpc.transfers import Transfers
from celeste_image.v1 import (
    Artifact,
    ArtifactHttpServiceStub,
    ArtifactServiceStub,
    DownloadArtifactRequest,
    QueryWriteStatusRequest,
    UploadArtifactRequest,
    WriteArtifactChunkRequest,
)
from celeste_image.wire.status import error_from_trailers

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1 << 20
LIMIT = 24 * MIB


def name_of(data: bytes) -> str:
    return f"artifacts/sha256-{hashlib.sha256(data).hexdigest()}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    store = {"spool": str(tmp_path_factory.mktemp("spool"))}
    async with running(store=store, images={"max_bytes": LIMIT}) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub(server: Running) -> AsyncIterator[ArtifactHttpServiceStub]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield ArtifactHttpServiceStub(channel)


def parts_of(server: Running, data: bytes) -> list[Path]:
    """Returns the files with unfinished uploads of these bytes."""
    return list(Path(server.app.settings.store.spool).glob(f"*{name_of(data)[17:]}.part"))


def bodies(data: bytes, name: str = "", step: int = MIB) -> list[UploadArtifactRequest]:
    """Returns the messages that Envoy makes of a body: the name and the content type are in the first."""
    parts = [data[start : start + step] for start in range(0, len(data), step)] or [b""]
    requests = [UploadArtifactRequest(body=HttpBody(data=part)) for part in parts]
    requests[0].name, requests[0].body.content_type = name or name_of(data), "application/x-www-form-urlencoded"
    return requests


async def upload(stub: ArtifactHttpServiceStub, data: bytes, name: str = "") -> Artifact:
    return (await stub.UploadArtifact(iter(bodies(data, name)))).artifact


async def download(stub: ArtifactHttpServiceStub, name: str, **part: int) -> tuple[str, bytes]:
    responses = [r async for r in stub.DownloadArtifact(DownloadArtifactRequest(name=name, **part))]
    assert all(not response.body.content_type for response in responses[1:])
    assert max(len(response.body.data) for response in responses) <= MIB
    return responses[0].body.content_type, b"".join(response.body.data for response in responses)


async def refusal(call: object) -> tuple[str, CelesteError]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    error = caught.value
    return error.code().name, error_from_trailers(error.code(), error.details() or "", error.trailing_metadata())


async def test_twenty_mebibytes_there_and_back(stub: ArtifactHttpServiceStub, server: Running) -> None:
    data = random.Random(1).randbytes(20 * MIB)
    artifact = await upload(stub, data)
    assert (artifact.name, artifact.size_bytes, artifact.media_type) == (
        name_of(data),
        len(data),
        "application/octet-stream",
    )
    assert await download(stub, artifact.name) == ("application/octet-stream", data)
    assert await download(stub, artifact.name, offset=MIB - 1, limit=MIB) == (
        "application/octet-stream",
        data[MIB - 1 : 2 * MIB - 1],
    )
    assert not parts_of(server, data)
    await until(lambda: not server.app.chunks.held_bytes)


async def test_the_media_type_is_that_of_the_bytes(stub: ArtifactHttpServiceStub) -> None:
    picture = pictures.noise(40, 30)
    artifact = await upload(stub, picture)
    assert artifact.media_type == "image/png"
    assert await download(stub, artifact.name) == ("image/png", picture)
    assert await download(stub, artifact.name, offset=len(picture)) == ("image/png", b"")
    known = (await stub.UploadArtifact(iter([UploadArtifactRequest(name=artifact.name)]))).artifact
    assert known.create_time == artifact.create_time, "known bytes are not read"


async def test_an_empty_body(stub: ArtifactHttpServiceStub) -> None:
    assert (await upload(stub, b"")).name == name_of(b"")
    assert await download(stub, name_of(b"")) == ("application/octet-stream", b"")


async def test_a_body_of_other_bytes_is_discarded(stub: ArtifactHttpServiceStub, server: Running) -> None:
    code, error = await refusal(upload(stub, b"some", name_of(b"others")))
    assert (code, error.reason) == ("INVALID_ARGUMENT", "DIGEST_MISMATCH")
    assert [violation.field for violation in error.violations] == ["name"]
    assert not parts_of(server, b"others")


async def test_a_body_beyond_the_limit_is_refused_before_its_end(stub: ArtifactHttpServiceStub) -> None:
    async def long() -> AsyncIterator[UploadArtifactRequest]:
        for request in bodies(bytes(LIMIT + 1)):
            yield request
        await asyncio.sleep(60)

    code, error = await refusal(stub.UploadArtifact(long(), timeout=30))
    assert (code, error.reason) == ("INVALID_ARGUMENT", "IMAGE_TOO_LARGE")
    assert [violation.field for violation in error.violations] == ["body"]
    assert error.metadata == {"unit": "bytes", "limit": str(LIMIT), "value": str(LIMIT + 1)}


async def test_a_body_that_is_cut_is_no_artifact_and_its_bytes_stay(
    stub: ArtifactHttpServiceStub, server: Running
) -> None:
    data = random.Random(2).randbytes(3 * MIB)

    async def cut() -> AsyncIterator[UploadArtifactRequest]:
        for request in bodies(data)[:2]:
            yield request
        await asyncio.sleep(60)

    call = stub.UploadArtifact(cut())
    async with grpc.aio.insecure_channel(server.address) as channel:
        artifacts = ArtifactServiceStub(channel)
        status = QueryWriteStatusRequest(name=name_of(data))
        while (response := await artifacts.QueryWriteStatus(status)).committed_size_bytes < 2 * MIB:
            await asyncio.sleep(0.01)
        assert not response.complete
        call.cancel()
        await until(lambda: not server.app.chunks.held_bytes)
        assert (await artifacts.QueryWriteStatus(status)).committed_size_bytes == 2 * MIB
        request = WriteArtifactChunkRequest(name=status.name, size_bytes=len(data))
        request.chunk.offset, request.chunk.data = 2 * MIB, data[2 * MIB :]
        assert (await artifacts.WriteArtifactChunk(request)).artifact.name == name_of(data)
    assert (await download(stub, name_of(data)))[1] == data


async def test_a_body_whose_cut_shows_late_keeps_its_bytes(server: Running) -> None:
    data = random.Random(8).randbytes(MIB)
    name = name_of(data)
    ended = asyncio.Event()

    async def cut() -> AsyncGenerator[tuple[int, bytes]]:
        yield 0, data[:-1]
        ended.set()

    transfers = Transfers(server.app.store, server.app.guard.limits)
    writing = asyncio.create_task(transfers.write(OWNER, name, None, cut()))
    async with asyncio.timeout(10):
        await ended.wait()
    await asyncio.wait([writing], timeout=0.1)  # its digest is known by now
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await server.app.store.committed(OWNER, name) == (len(data) - 1, None)


async def test_two_bodies_at_once_make_one_artifact(stub: ArtifactHttpServiceStub, server: Running) -> None:
    data = random.Random(3).randbytes(2 * MIB)
    both = await asyncio.gather(upload(stub, data), stub.UploadArtifact(iter(bodies(data, step=50_000))))
    assert both[0].name == both[1].artifact.name == name_of(data)
    assert not parts_of(server, data)


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "name"),
        ([UploadArtifactRequest(body=HttpBody(data=b"x"))], "name"),
        ([UploadArtifactRequest(name="artifacts/x")], "name"),
        ([*bodies(b"xy", step=1)[:1], *bodies(b"z")], "name"),
    ],
)
async def test_uploads_without_a_right_name(
    stub: ArtifactHttpServiceStub, requests: list[UploadArtifactRequest], field: str
) -> None:
    code, error = await refusal(stub.UploadArtifact(iter(requests)))
    assert (code, error.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert [violation.field for violation in error.violations] == [field]


async def test_downloads_that_fail(stub: ArtifactHttpServiceStub) -> None:
    code, error = await refusal(download(stub, name_of(b"nobody's")))
    assert (code, error.reason) == ("NOT_FOUND", "ARTIFACT_NOT_FOUND")
    await upload(stub, b"four")
    code, error = await refusal(download(stub, name_of(b"four"), offset=5))
    assert (code, error.reason) == ("OUT_OF_RANGE", "RANGE_EXCEEDED")
    for part in ({"offset": -1}, {"limit": -1}):
        code, error = await refusal(download(stub, name_of(b"four"), **part))
        assert (code, [violation.field for violation in error.violations]) == ("INVALID_ARGUMENT", list(part))
