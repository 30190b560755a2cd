"""Bytes in by name: in chunks, over connections that drop, by several writers; and what is known of artifacts."""

import asyncio
import hashlib
import os
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from tests.support import pictures
from tests.support.proxies import CuttingProxy
from tests.support.servers import Running, running

from celeste_image.core.errors import CelesteError
from celeste_image.store.database_index import SMALL_BYTES
from celeste_image.store.open import DATABASE
from celeste_image.v1 import (
    ArtifactServiceStub,
    GenerateRequest,
    ImageInput,
    ImageServiceStub,
    ReadArtifactRequest,
    Size,
    UpscaleRequest,
)
from celeste_image.v1.artifact_service_pb2 import (
    Artifact,
    ArtifactChunk,
    DeleteArtifactRequest,
    FindMissingArtifactsRequest,
    GetArtifactRequest,
    ListArtifactsRequest,
    QueryWriteStatusRequest,
    WriteArtifactChunkRequest,
    WriteArtifactChunkResponse,
    WriteArtifactRequest,
)
from celeste_image.v1.operation_pb2 import OPERATION_KIND_UPSCALE
from celeste_image.wire.status import error_from_trailers

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1 << 20
DATA = random.Random(8).randbytes(8 * MIB)
PICTURE = pictures.noise(40, 30)


def name_of(data: bytes) -> str:
    return f"artifacts/sha256-{hashlib.sha256(data).hexdigest()}"


@dataclass
class ServerOnDisk:
    """A server whose store is a folder."""

    running: Running
    folder: Path
    spool: Path

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())

    def parts(self) -> list[str]:
        return os.listdir(self.spool)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on_disk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerOnDisk]:
    folder, spool = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("spool")
    store = {"url": folder.as_uri(), "spool": str(spool), "retention_hours": 24}
    async with running(store=store) as server:
        yield ServerOnDisk(server, folder, spool)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub(on_disk: ServerOnDisk) -> AsyncIterator[ArtifactServiceStub]:
    """Over a channel with no options at all."""
    async with grpc.aio.insecure_channel(on_disk.running.address) as channel:
        yield ArtifactServiceStub(channel)


def chunks(
    data: bytes, start: int = 0, *, name: str = "", size: int = -1, step: int = MIB
) -> list[WriteArtifactRequest]:
    requests = [WriteArtifactRequest(name=name or name_of(data), size_bytes=len(data) if size < 0 else size)]
    for offset in range(start, len(data), step):
        requests.append(WriteArtifactRequest(chunk=ArtifactChunk(offset=offset, data=data[offset : offset + step])))
    return requests


async def upload(stub: ArtifactServiceStub, data: bytes, start: int = 0, **how: object) -> Artifact:
    response = await stub.WriteArtifact(iter(chunks(data, start, **how)))  # type: ignore[arg-type]
    assert response.committed_size_bytes == response.artifact.size_bytes
    return response.artifact


async def write_chunk(
    stub: ArtifactServiceStub, data: bytes, start: int, end: int, *, name: str = "", size: int = -1
) -> WriteArtifactChunkResponse:
    """Sends the bytes from `start` to `end` in one call."""
    request = WriteArtifactChunkRequest(name=name or name_of(data), size_bytes=len(data) if size < 0 else size)
    request.chunk.offset, request.chunk.data = start, data[start:end]
    return await stub.WriteArtifactChunk(request)


async def upload_by_calls(stub: ArtifactServiceStub, data: bytes, start: int = 0, step: int = MIB) -> Artifact:
    for offset in range(start, len(data), step):
        response = await write_chunk(stub, data, offset, offset + step)
        assert response.committed_size_bytes == min(offset + step, len(data))
        assert response.HasField("artifact") == (offset + step >= len(data))
    return response.artifact


async def committed(stub: ArtifactServiceStub, name: str) -> tuple[int, bool]:
    status = await stub.QueryWriteStatus(QueryWriteStatusRequest(name=name))
    return status.committed_size_bytes, status.complete


async def read(stub: ArtifactServiceStub, name: str) -> bytes:
    return b"".join([r.chunk.data async for r in stub.ReadArtifact(ReadArtifactRequest(name=name))])


async def refusal(call: object) -> tuple[str, CelesteError]:
    """Returns the code and the error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    error = caught.value
    return error.code().name, error_from_trailers(error.code(), error.details() or "", error.trailing_metadata())


# Over connections that drop


async def test_an_upload_dropped_at_five_places_goes_on(on_disk: ServerOnDisk) -> None:
    """Cut at byte counts that fall into headers, into a chunk and between chunks."""
    cuts = [0, 100_000, MIB + 7, 3 * MIB, 1_500_000]
    seen, codes = [], []
    async with CuttingProxy(on_disk.running.address, [], cuts) as proxy:
        while True:
            async with grpc.aio.insecure_channel(proxy.address) as channel:
                stub = ArtifactServiceStub(channel)
                try:
                    at, complete = await committed(stub, name_of(DATA)) if seen else (0, False)
                    seen.append(at)
                    assert not complete
                    artifact = await upload(stub, DATA, at, step=MIB // 4)
                    break
                except grpc.aio.AioRpcError as error:
                    codes.append(error.code())
    assert proxy.connections == 6
    assert set(codes) == {grpc.StatusCode.UNAVAILABLE}
    assert seen == sorted(seen), "never back"
    assert seen[-1] > 4 * MIB, "and not from the beginning"
    assert (artifact.name, artifact.size_bytes) == (name_of(DATA), len(DATA))
    async with grpc.aio.insecure_channel(on_disk.running.address) as channel:
        stub = ArtifactServiceStub(channel)
        assert await read(stub, artifact.name) == DATA
        assert await committed(stub, artifact.name) == (len(DATA), True)
    assert on_disk.parts() == []


async def test_an_answer_that_was_lost_is_had_by_asking_again(on_disk: ServerOnDisk) -> None:
    data = random.Random(1).randbytes(MIB)
    async with CuttingProxy(on_disk.running.address, [60]) as proxy:
        async with grpc.aio.insecure_channel(proxy.address) as channel:
            code, _ = await refusal(ArtifactServiceStub(channel).WriteArtifact(iter(chunks(data))))
            assert code == "UNAVAILABLE"
            artifact = await upload(ArtifactServiceStub(channel), data)
    assert artifact.name == name_of(data)
    assert on_disk.parts() == []


async def test_a_stream_that_ends_early_is_told_how_far_it_came(
    stub: ArtifactServiceStub, on_disk: ServerOnDisk
) -> None:
    data = random.Random(2).randbytes(1000)
    requests = chunks(data, step=300)[:3]
    response = await stub.WriteArtifact(iter(requests))
    assert (response.committed_size_bytes, response.HasField("artifact")) == (600, False)
    assert await committed(stub, name_of(data)) == (600, False)
    assert len(on_disk.parts()) == 1
    await upload(stub, data, 600)
    assert on_disk.parts() == []


async def test_the_server_is_restarted_in_the_middle(tmp_path: Path) -> None:
    store = {"url": (tmp_path / "store").as_uri(), "spool": str(tmp_path / "spool")}
    for requests, expected in ((chunks(DATA)[:4], 3 * MIB), (chunks(DATA, 3 * MIB), len(DATA))):
        async with running(store=store) as server, grpc.aio.insecure_channel(server.address) as channel:
            response = await ArtifactServiceStub(channel).WriteArtifact(iter(requests))
            assert response.committed_size_bytes == expected
    assert response.artifact.name == name_of(DATA)


async def test_bytes_that_are_known_are_not_asked_for(stub: ArtifactServiceStub) -> None:
    artifact = await upload(stub, PICTURE)
    sent = 0

    async def endless() -> AsyncIterator[WriteArtifactRequest]:
        nonlocal sent
        yield WriteArtifactRequest(name=name_of(PICTURE), size_bytes=len(PICTURE))
        while True:
            sent += 1
            await asyncio.sleep(0.05)
            yield WriteArtifactRequest(chunk=ArtifactChunk(offset=0, data=b"x"))

    response = await stub.WriteArtifact(endless())
    assert (response.artifact.name, response.artifact.create_time) == (artifact.name, artifact.create_time)
    assert sent < 5
    assert await read(stub, artifact.name) == PICTURE


async def test_nothing_can_be_stored(stub: ArtifactServiceStub, on_disk: ServerOnDisk) -> None:
    artifact = await upload(stub, b"")
    assert artifact.size_bytes == 0
    assert await read(stub, artifact.name) == b""
    assert on_disk.parts() == []


async def test_two_writers_of_the_same_bytes_make_one_artifact(
    stub: ArtifactServiceStub, on_disk: ServerOnDisk
) -> None:
    data = random.Random(3).randbytes(3 * MIB)
    before = on_disk.files()
    both = await asyncio.gather(upload(stub, data, step=10_000), upload(stub, data, step=7_000))
    assert {artifact.name for artifact in both} == {name_of(data)}
    sha256 = name_of(data)[17:]
    assert sorted(set(on_disk.files()) - set(before)) == [sha256]
    listed = (await stub.ListArtifacts(ListArtifactsRequest(page_size=1000))).artifacts
    assert [artifact.name for artifact in listed].count(name_of(data)) == 1
    assert on_disk.parts() == []
    assert await read(stub, name_of(data)) == data


async def test_a_writer_of_wrong_bytes_spoils_anothers_upload_which_is_told_and_begins_again(
    stub: ArtifactServiceStub, on_disk: ServerOnDisk
) -> None:
    data = random.Random(4).randbytes(2000)
    spoiled, begun = asyncio.Event(), asyncio.Event()

    async def right() -> AsyncIterator[WriteArtifactRequest]:
        first, second, third = chunks(data, step=1000)
        yield first
        yield second
        begun.set()
        await spoiled.wait()
        yield third

    writing = asyncio.ensure_future(refusal(stub.WriteArtifact(right())))
    await begun.wait()
    while (await committed(stub, name_of(data)))[0] < 1000:
        await asyncio.sleep(0.01)
    code, error = await refusal(upload(stub, data[:1000] + bytes(1000), name=name_of(data)))
    assert (code, error.reason) == ("INVALID_ARGUMENT", "DIGEST_MISMATCH")
    spoiled.set()
    code, error = await asyncio.wait_for(writing, 10)
    assert (code, error.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert error.metadata["committed_size_bytes"] == "0"
    assert await committed(stub, name_of(data)) == (0, False)
    assert on_disk.parts() == []
    await upload(stub, data)


# One chunk per call


async def test_twenty_mebibytes_in_calls_of_one(stub: ArtifactServiceStub, on_disk: ServerOnDisk) -> None:
    data = random.Random(20).randbytes(20 * MIB)
    artifact = await upload_by_calls(stub, data)
    assert (artifact.name, artifact.size_bytes) == (name_of(data), len(data))
    assert await read(stub, artifact.name) == data
    assert await committed(stub, artifact.name) == (len(data), True)
    assert on_disk.parts() == []
    assert not on_disk.running.app.chunks.held_bytes


async def test_a_stream_and_calls_go_on_with_each_others_uploads(stub: ArtifactServiceStub) -> None:
    for seed, by_calls_first in ((21, True), (22, False)):
        data = random.Random(seed).randbytes(5000)
        if by_calls_first:
            assert (await write_chunk(stub, data, 0, 2000)).committed_size_bytes == 2000
        else:
            assert (
                await stub.WriteArtifact(iter(chunks(data[:2000], name=name_of(data), size=5000)))
            ).committed_size_bytes == 2000
        assert await committed(stub, name_of(data)) == (2000, False)
        artifact = await (upload(stub, data, 2000) if by_calls_first else upload_by_calls(stub, data, 2000, 1000))
        assert artifact.name == name_of(data)
        assert await read(stub, artifact.name) == data


async def test_a_call_may_be_sent_again_and_may_begin_below_the_committed_size(stub: ArtifactServiceStub) -> None:
    data = random.Random(23).randbytes(3000)
    for end, expected in ((1000, 1000), (1000, 1000), (500, 1000), (1700, 1700)):
        response = await write_chunk(stub, data, 0, end)
        assert (response.committed_size_bytes, response.HasField("artifact")) == (expected, False)
    first = await write_chunk(stub, data, 900, 3000)
    again = await write_chunk(stub, data, 900, 3000)
    assert (again.committed_size_bytes, again.artifact.create_time) == (3000, first.artifact.create_time)
    assert await read(stub, first.artifact.name) == data


async def test_a_call_without_a_chunk_tells_the_committed_size_or_the_artifact(
    stub: ArtifactServiceStub, on_disk: ServerOnDisk
) -> None:
    data = random.Random(24).randbytes(3000)
    request = WriteArtifactChunkRequest(name=name_of(data), size_bytes=len(data))
    assert await stub.WriteArtifactChunk(request) == WriteArtifactChunkResponse()
    await write_chunk(stub, data, 0, 1000)
    assert await stub.WriteArtifactChunk(request) == WriteArtifactChunkResponse(committed_size_bytes=1000)
    artifact = await upload(stub, data)
    response = await stub.WriteArtifactChunk(request)
    assert (response.committed_size_bytes, response.artifact.name) == (3000, artifact.name)
    empty = (await stub.WriteArtifactChunk(WriteArtifactChunkRequest(name=name_of(b"")))).artifact
    assert (empty.name, empty.size_bytes) == (name_of(b""), 0)
    assert on_disk.parts() == []


async def test_known_bytes_are_not_written_again_and_keep_their_times(stub: ArtifactServiceStub) -> None:
    known = await upload(stub, PICTURE)
    response = await write_chunk(stub, PICTURE, 0, 10)
    assert (response.committed_size_bytes, response.artifact.create_time) == (len(PICTURE), known.create_time)
    code, error = await refusal(write_chunk(stub, PICTURE, 0, 5, size=5))
    assert (code, error.reason) == ("INVALID_ARGUMENT", "DIGEST_MISMATCH")


async def test_two_writers_by_calls_and_one_by_a_stream_make_one_artifact(
    stub: ArtifactServiceStub, on_disk: ServerOnDisk
) -> None:
    data = random.Random(25).randbytes(MIB)

    async def by_calls(step: int) -> Artifact:
        offset = 0
        while True:
            response = await write_chunk(stub, data, offset, offset + step)
            assert response.committed_size_bytes >= min(offset + step, len(data))
            if response.HasField("artifact"):
                return response.artifact
            offset = response.committed_size_bytes  # what the other writers sent is not sent again

    found = await asyncio.gather(by_calls(10_000), by_calls(7_000), upload(stub, data, step=5_000))
    assert {artifact.name for artifact in found} == {name_of(data)}
    assert await read(stub, name_of(data)) == data
    assert on_disk.parts() == []


async def test_a_writer_by_calls_whose_bytes_were_spoiled_is_told_to_start_over(
    stub: ArtifactServiceStub, on_disk: ServerOnDisk
) -> None:
    data = random.Random(26).randbytes(2000)
    await write_chunk(stub, data, 0, 1000)
    code, error = await refusal(write_chunk(stub, data[:1000] + bytes(1000), 1000, 2000, name=name_of(data)))
    assert (code, error.reason) == ("INVALID_ARGUMENT", "DIGEST_MISMATCH")
    assert on_disk.parts() == []
    code, error = await refusal(write_chunk(stub, data, 1000, 2000))
    assert (code, error.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert [violation.field for violation in error.violations] == ["chunk.offset"]
    assert error.metadata["committed_size_bytes"] == "0"
    assert (await upload_by_calls(stub, data)).name == name_of(data)


async def test_another_upload_of_the_size_limit_is_refused_before_its_bytes_are_kept(
    stub: ArtifactServiceStub, on_disk: ServerOnDisk
) -> None:
    code, error = await refusal(write_chunk(stub, SMALL, 0, 5, size=(64 << 20) + 1))
    assert (code, error.reason) == ("INVALID_ARGUMENT", "IMAGE_TOO_LARGE")
    assert [violation.field for violation in error.violations] == ["size_bytes"]
    assert {"limit", "value"} <= set(error.metadata)
    assert on_disk.parts() == []


# What is refused


@dataclass
class Row:
    """An upload, and what becomes of it: code, reason, field."""

    what: str
    requests: list[WriteArtifactRequest]
    reason: str
    field: str
    metadata: tuple[str, ...] = ()


def part(offset: int, data: bytes, **first: object) -> WriteArtifactRequest:
    return WriteArtifactRequest(chunk=ArtifactChunk(offset=offset, data=data), **first)  # type: ignore[arg-type]


SMALL = b"these are some small bytes"
FIRST = WriteArtifactRequest(name=name_of(SMALL), size_bytes=len(SMALL))
ROWS = [
    Row("nothing at all", [], "INVALID_FIELD", "name"),
    Row("no name", [part(0, SMALL)], "INVALID_FIELD", "name"),
    Row("wrong digest", chunks(SMALL, name=name_of(b"others")), "DIGEST_MISMATCH", "name"),
    Row("a gap", [FIRST, part(5, SMALL[5:])], "INVALID_FIELD", "chunk.offset", ("committed_size_bytes",)),
    Row("a gap later", [FIRST, part(0, SMALL[:5]), part(6, b"x")], "INVALID_FIELD", "chunk.offset"),
    Row("fewer declared", chunks(SMALL, size=3), "DIGEST_MISMATCH", "chunk.data"),
    Row("none declared", chunks(SMALL, size=0), "DIGEST_MISMATCH", "name"),
    Row("more declared", [*chunks(SMALL, size=99), part(len(SMALL), bytes(73))], "DIGEST_MISMATCH", "name"),
    Row("below zero", [part(-1, SMALL, name=FIRST.name, size_bytes=1)], "INVALID_FIELD", "chunk.offset"),
    Row("a size below zero", chunks(SMALL, size=-(1 << 40), name=FIRST.name), "INVALID_FIELD", "size_bytes"),
    Row("too large", chunks(SMALL, size=(64 << 20) + 1), "IMAGE_TOO_LARGE", "", ("limit", "value")),
    Row("a large chunk", [FIRST, part(0, bytes(MIB + 1))], "INVALID_FIELD", "chunk.data"),
    Row("another name in the middle", [FIRST, part(0, b"x", name=name_of(b"x"))], "INVALID_FIELD", "name"),
    Row("another size in the middle", [FIRST, part(0, b"x", size_bytes=5)], "INVALID_FIELD", "name"),
    *(
        Row(f"the name {name[:40]!r}", [WriteArtifactRequest(name=name, size_bytes=3)], "INVALID_FIELD", "name")
        for name in (
            "artifacts/sha256-../../../../etc/passwd",
            "artifacts/sha256-" + ("../" * 22)[:64],
            "../" + name_of(SMALL),
            name_of(SMALL).upper(),
            name_of(SMALL) + "\0",
            name_of(SMALL) + "\n",
            "/etc/passwd",
            "x" * 4096,
        )
    ),
]


async def by_calls(stub: ArtifactServiceStub, requests: list[WriteArtifactRequest]) -> None:
    """Sends each message of a stream as a call of its own, with the name and the size of the first."""
    for request in requests:
        await stub.WriteArtifactChunk(
            WriteArtifactChunkRequest(
                name=request.name or requests[0].name,
                size_bytes=request.size_bytes or requests[0].size_bytes,
                chunk=request.chunk,
            )
        )


WAYS = [(row, "stream") for row in ROWS]
WAYS += [(row, "calls") for row in ROWS if row.requests and "in the middle" not in row.what]


@pytest.mark.parametrize(
    ("row", "way"), WAYS, ids=lambda of: of if isinstance(of, str) else of.what.replace("\0", "NUL")
)
async def test_what_is_refused(stub: ArtifactServiceStub, on_disk: ServerOnDisk, row: Row, way: str) -> None:
    before = on_disk.files()
    if row.what == "a size below zero":
        row.requests[0].size_bytes = -5
    code, error = await refusal(
        stub.WriteArtifact(iter(row.requests)) if way == "stream" else by_calls(stub, row.requests)
    )
    assert (code, error.reason) == ("INVALID_ARGUMENT", row.reason), error
    if row.field:
        assert [violation.field for violation in error.violations] == [row.field]
    assert set(row.metadata) <= set(error.metadata)
    assert on_disk.files() == before
    await stub.DeleteArtifact(DeleteArtifactRequest(name=FIRST.name))
    assert on_disk.parts() == []


async def test_the_size_of_what_is_known_must_be_right_too(stub: ArtifactServiceStub) -> None:
    await upload(stub, PICTURE)
    code, error = await refusal(stub.WriteArtifact(iter(chunks(PICTURE, size=5)[:1])))
    assert (code, error.reason) == ("INVALID_ARGUMENT", "DIGEST_MISMATCH")
    assert await read(stub, name_of(PICTURE)) == PICTURE


@pytest.mark.parametrize("name", ["", "artifacts/..", "artifacts/sha256-" + "/" * 64, name_of(b"") + "\0"])
async def test_no_call_takes_a_name_that_none_can_have(stub: ArtifactServiceStub, name: str) -> None:
    for call in (
        stub.GetArtifact(GetArtifactRequest(name=name)),
        stub.QueryWriteStatus(QueryWriteStatusRequest(name=name)),
        stub.DeleteArtifact(DeleteArtifactRequest(name=name)),
        stub.FindMissingArtifacts(FindMissingArtifactsRequest(names=[name_of(b""), name])),
    ):
        code, _ = await refusal(call)
        assert code == "INVALID_ARGUMENT"


# What is known


async def test_what_was_made_and_what_was_sent(on_disk: ServerOnDisk, stub: ArtifactServiceStub) -> None:
    photo = pictures.photo(64)
    sent = await upload(stub, photo)
    assert (sent.media_type, sent.width, list(sent.lineages)) == ("image/png", 0, [])
    assert sent.expire_time.ToSeconds() - sent.create_time.ToSeconds() == 24 * 3600
    async with grpc.aio.insecure_channel(on_disk.running.address) as channel:
        images = ImageServiceStub(channel)
        made = (await images.Generate(GenerateRequest(prompt="a fox", seed=3, size=Size(width=96, height=64)))).result
        (image,) = made.images
        request = UpscaleRequest(image=ImageInput(artifact=sent.name), factor=2, model="local/lanczos")
        larger = (await images.Upscale(request)).result
    artifact = (await stub.GetArtifact(GetArtifactRequest(name=image.artifact))).artifact
    (lineage,) = artifact.lineages
    assert (artifact.width, artifact.height, artifact.size_bytes) == (96, 64, image.size_bytes)
    assert (lineage.request_id, lineage.model, lineage.seed) == (made.request_id, made.model, 3)
    assert list(lineage.parents) == []
    assert hashlib.sha256(await read(stub, image.artifact)).hexdigest() == image.sha256

    artifact = (await stub.GetArtifact(GetArtifactRequest(name=larger.images[0].artifact))).artifact
    assert (artifact.width, artifact.height) == (128, 128)
    (lineage,) = artifact.lineages
    assert list(lineage.parents) == [name_of(photo)[17:]]
    assert (lineage.operation, lineage.HasField("seed")) == (OPERATION_KIND_UPSCALE, False)
    assert not (await stub.FindMissingArtifacts(FindMissingArtifactsRequest(names=[image.artifact]))).missing


async def test_missing_come_in_the_order_of_the_request(stub: ArtifactServiceStub) -> None:
    await upload(stub, PICTURE)
    absent = [name_of(bytes([n])) for n in (7, 3, 5)]
    names = [absent[0], name_of(PICTURE), absent[1], name_of(PICTURE), absent[2], absent[0]]
    response = await stub.FindMissingArtifacts(FindMissingArtifactsRequest(names=names))
    assert list(response.missing) == [absent[0], absent[1], absent[2], absent[0]]


async def test_artifacts_are_listed_in_pages(tmp_path: Path) -> None:
    store = {"url": (tmp_path / "store").as_uri(), "spool": str(tmp_path / "spool")}
    async with running(store=store) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = ArtifactServiceStub(channel)
        assert not (await stub.ListArtifacts(ListArtifactsRequest())).artifacts
        names = sorted([(await upload(stub, bytes([n]))).name for n in range(11)])
        for size in (1, 3, 10, 11, 12, 0):
            found, token, pages = [], "", 0
            while token or not pages:
                pages += 1
                response = await stub.ListArtifacts(ListArtifactsRequest(page_size=size, page_token=token))
                found += [artifact.name for artifact in response.artifacts]
                assert len(response.artifacts) <= (size or 100)
                token = response.next_page_token
            assert found == names
            assert pages == -(-11 // (size or 100))
        assert len((await stub.ListArtifacts(ListArtifactsRequest(page_size=1_000_000))).artifacts) == 11
        for wrong in (ListArtifactsRequest(page_size=-1), ListArtifactsRequest(page_token="../..")):
            code, _ = await refusal(stub.ListArtifacts(wrong))
            assert code == "INVALID_ARGUMENT"
        gone = await stub.ListArtifacts(ListArtifactsRequest(page_size=3))
        await stub.DeleteArtifact(DeleteArtifactRequest(name=names[2]))
        after = await stub.ListArtifacts(ListArtifactsRequest(page_token=gone.next_page_token))
        assert [artifact.name for artifact in after.artifacts] == names[3:], "a vanished name is no error"


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(
    stub: ArtifactServiceStub, on_disk: ServerOnDisk
) -> None:
    await upload(stub, PICTURE)
    for _ in range(2):
        await stub.DeleteArtifact(DeleteArtifactRequest(name=name_of(PICTURE)))
        for call in (
            stub.GetArtifact(GetArtifactRequest(name=name_of(PICTURE))),
            read(stub, name_of(PICTURE)),
        ):
            code, error = await refusal(call)
            assert (code, error.reason, error.resource) == ("NOT_FOUND", "ARTIFACT_NOT_FOUND", name_of(PICTURE))
        assert await committed(stub, name_of(PICTURE)) == (0, False)
    assert await on_disk.running.app.store.sweep() == (0, 0, 0), "its bytes stay for an hour"
    await upload(stub, PICTURE)
    assert await read(stub, name_of(PICTURE)) == PICTURE


def damaged(data: bytes) -> Iterator[bytes]:
    yield data[:-1] + bytes([data[-1] ^ 1])
    yield data[:-1]
    yield b""


def spoil(folder: Path, data: bytes, content: bytes | None) -> None:
    """Replaces stored bytes behind the server's back; None deletes them."""
    digest = hashlib.sha256(data)
    if len(data) < SMALL_BYTES:
        with closing(sqlite3.connect(folder / DATABASE)) as db, db:
            if content is None:
                changed = db.execute("DELETE FROM small_blobs WHERE sha256 = ?", (digest.digest(),))
            else:
                changed = db.execute("UPDATE small_blobs SET data = ? WHERE sha256 = ?", (content, digest.digest()))
            assert changed.rowcount == 1
    else:
        blob = folder / "sha256" / digest.hexdigest()[:2] / digest.hexdigest()
        blob.unlink()
        if content is not None:
            blob.write_bytes(content)


@pytest.mark.parametrize("data", [PICTURE, pictures.noise(400, 300)], ids=["in the database", "in a file"])
async def test_damaged_bytes_are_data_loss_and_an_upload_heals_them(
    stub: ArtifactServiceStub, on_disk: ServerOnDisk, data: bytes
) -> None:
    for content in (*damaged(data), None):
        await upload(stub, data)
        spoil(on_disk.folder, data, content)
        code, error = await refusal(read(stub, name_of(data)))
        assert (code, error.reason) == ("DATA_LOSS", "ARTIFACT_DAMAGED")
        missing = (await stub.FindMissingArtifacts(FindMissingArtifactsRequest(names=[name_of(data)]))).missing
        assert list(missing) == [name_of(data)]
        assert await committed(stub, name_of(data)) == (0, False)
        await upload(stub, data)
        assert await read(stub, name_of(data)) == data
