"""The byte budget at the door: calls wait for room before they send, and are refused in words while health answers."""

import asyncio
import time

import grpc
import pytest
from google.rpc import error_details_pb2
from tests.support import pictures
from tests.support.grpc_calls import GENERATE, READ, calls, healthy, reason, status_of, stored
from tests.support.raw_http2 import RawCalls
from tests.support.servers import running
from tests.support.waiting import until

from celeste_image.rpc.parsing import MAX_ELEMENTS
from celeste_image.v1 import (
    ANALYSIS_KIND_METADATA,
    AnalyzeRequest,
    ArtifactServiceStub,
    GenerateRequest,
    ImageInput,
    ImageServiceStub,
    ReadArtifactRequest,
    RequestOptions,
    StreamRequest,
)
from celeste_image.v1.artifact_service_pb2 import FindMissingArtifactsRequest, WriteArtifactChunkRequest
from celeste_image.v1.operation_pb2 import Operation

MIB = 1 << 20
IMAGES = {"max_bytes": MIB}
ANALYZE = AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=pictures.plain(8, 8)))
WRITE = "/celeste.image.v1.ArtifactService/WriteArtifact"


@pytest.mark.alone
async def test_calls_that_send_nothing_use_the_budget_up_and_then_lose_it() -> None:
    """Each may send a whole request, so each holds one until it does, or until its time is over."""
    server_settings = {"budget_bytes": 16 * MIB, "budget_wait_seconds": 0.1, "read_seconds": 1.0}
    async with running(server=server_settings, images=IMAGES) as server:
        async with grpc.aio.insecure_channel(server.address) as channel, RawCalls(server.address, 65535) as silent:
            streams = [silent.call(GENERATE, None) for _ in range(2)]
            streams += [silent.call(GENERATE, b"\x0a", announced=4 * MIB - 1) for _ in range(2)]
            await until(lambda: server.app.budget.held_bytes == 16 * MIB)
            began = time.monotonic()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ImageServiceStub(channel).Analyze(ANALYZE)
            assert reason(caught.value) == ("RESOURCE_EXHAUSTED", "MEMORY_BUDGET", True)
            assert 0.1 <= time.monotonic() - began < 1
            assert await healthy(channel) < 0.5
            for stream in streams:
                await asyncio.wait_for(silent.over[stream].wait(), 5)
                assert b"the caller sent no message for 1 s" in silent.trailers[stream]
            await until(lambda: server.app.budget.held_bytes == 0)
            assert (await ImageServiceStub(channel).Analyze(ANALYZE)).result.analysis.metadata.width == 8
            await until(lambda: not calls())


async def test_a_call_that_waits_gets_in_in_its_turn_and_health_does_not_wait() -> None:
    async with running(server={"budget_bytes": 4 * MIB}, images=IMAGES) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = ImageServiceStub(channel)
            with server.app.budget.count(4 * MIB):
                waiting = [asyncio.ensure_future(stub.Analyze(ANALYZE)) for _ in range(3)]
                await until(lambda: server.app.budget.waiting == 3)
                waiting[1].cancel()
                await until(lambda: server.app.budget.waiting == 2)
                assert await healthy(channel) < 0.5
            assert (await waiting[0]).result.analysis.metadata.width == 8
            assert (await waiting[2]).result.analysis.metadata.width == 8
            await until(lambda: server.app.budget.held_bytes == 0)


async def test_a_call_that_waits_may_not_send_its_request_yet() -> None:
    """The server takes no more of it than the first window, 64 KiB: the rest stays with the caller."""
    settings = {"budget_bytes": 4 * MIB, "budget_wait_seconds": 0.5}
    async with running(server=settings, images=IMAGES) as server, RawCalls(server.address, 65535) as sending:
        with server.app.budget.count(4 * MIB):
            refused = sending.call(GENERATE, b"\x0a" * 60_000, announced=4 * MIB - 1)
            await asyncio.wait_for(sending.over[refused].wait(), 5)
        assert sending.granted[refused] < 1000
        let_in = sending.call(GENERATE, b"\x0a" * 60_000, announced=4 * MIB - 1)
        await until(lambda: sending.granted[let_in] >= MIB)


async def test_readers_of_artifacts_have_a_budget_of_their_own() -> None:
    settings = {"stream_budget_bytes": 4 * MIB, "budget_wait_seconds": 0.1, "write_seconds": 2.0}
    async with running(server=settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        name = await stored(server, 8 * MIB)
        request = ReadArtifactRequest(name=name)
        async with RawCalls(server.address, 1000) as slow:
            streams = [slow.call(READ, request.SerializeToString()) for _ in range(2)]
            await until(lambda: all(slow.received[stream] for stream in streams))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                _ = [r async for r in ArtifactServiceStub(channel).ReadArtifact(request)]
            assert reason(caught.value) == ("RESOURCE_EXHAUSTED", "MEMORY_BUDGET", True)
            assert (await ImageServiceStub(channel).Analyze(ANALYZE)).result.analysis.metadata.width == 8
            await until(lambda: not server.app.chunks.held_bytes)
        data = b"".join([r.chunk.data async for r in ArtifactServiceStub(channel).ReadArtifact(request)])
        assert len(data) == 8 * MIB
        await until(lambda: not server.app.chunks.held_bytes)


async def test_an_upload_that_stalls_is_ended() -> None:
    async with running(server={"read_seconds": 0.3}) as server:
        async with RawCalls(server.address, 65535) as silent:
            stream = silent.call(WRITE, None)
            await until(lambda: server.app.chunks.held_bytes)
            await asyncio.wait_for(silent.over[stream].wait(), 5)
            assert b"the caller sent no message for 0.3 s" in silent.trailers[stream]
        await until(lambda: server.app.chunks.held_bytes == 0)
        await until(lambda: not calls())


async def test_a_call_with_a_chunk_holds_memory_of_chunks_alone() -> None:
    """So uploads by calls pass while images use their budget up, and the other way round."""
    settings = {"budget_bytes": 4 * MIB, "stream_budget_bytes": 4 * MIB, "budget_wait_seconds": 0.1}
    async with running(server=settings, images=IMAGES) as server, RawCalls(server.address, 65535) as silent:
        async with grpc.aio.insecure_channel(server.address) as channel:
            request = WriteArtifactChunkRequest(name=f"artifacts/sha256-{'0' * 64}", size_bytes=MIB)
            request.chunk.data = b"x"
            with server.app.budget.count(4 * MIB):
                assert (await ArtifactServiceStub(channel).WriteArtifactChunk(request)).committed_size_bytes == 1
            await until(lambda: not server.app.chunks.held_bytes)
            for _ in range(2):
                silent.call(WRITE + "Chunk", b"\x0a", announced=MIB)
            await until(lambda: server.app.chunks.held_bytes == 4 * MIB)
            assert server.app.budget.held_bytes == 0
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ArtifactServiceStub(channel).WriteArtifactChunk(request)
            assert reason(caught.value) == ("RESOURCE_EXHAUSTED", "MEMORY_BUDGET", True)
            assert (await ImageServiceStub(channel).Analyze(ANALYZE)).result.analysis.metadata.width == 8


async def test_what_an_artifact_needs_is_in_the_budget() -> None:
    settings = {"budget_bytes": 4 * MIB, "budget_wait_seconds": 0.1}
    async with running(server=settings, images=IMAGES) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            name = await stored(server, 3 * MIB)
            with server.app.budget.count(1), pytest.raises(grpc.aio.AioRpcError) as caught:
                await ImageServiceStub(channel).Analyze(
                    AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(artifact=name))
                )
            assert reason(caught.value) == ("RESOURCE_EXHAUSTED", "MEMORY_BUDGET", True)


async def test_the_budget_is_no_smaller_than_one_call() -> None:
    with pytest.raises(ValueError, match=r"server\.budget_bytes: must be at least 268,435,456"):
        async with running(server={"budget_bytes": 100 * MIB}):
            pass


def length(number: int, content: bytes) -> bytes:
    """Returns a field of the wire format with a length."""
    size = len(content)
    digits = bytearray()
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *digits, size]) + content


def options(struct: bytes) -> bytes:
    return length(4, b"a") + length(3, length(2, length(1, b"local") + length(2, struct)))


MANY = 400_000
WIDE = {
    "empty values in a list": (GenerateRequest, options(length(1, length(2, length(6, b"\x0a\x00" * MANY))))),
    "empty keys": (GenerateRequest, options(b"\x0a\x00" * MANY)),
    "empty providers": (GenerateRequest, length(4, b"a") + length(3, b"\x12\x00" * MANY)),
    "one kind after the other": (StreamRequest, length(1, b"\x0a\x00\x12\x00" * (MANY // 2))),
    "unknown numbers": (GenerateRequest, length(4, b"a") + b"\x78\x01" * MANY),
    "unknown groups": (GenerateRequest, length(4, b"a") + b"\x7b\x7c" * MANY),
    "packed kinds": (AnalyzeRequest, length(5, b"\x01" * MANY)),
    "empty names": (FindMissingArtifactsRequest, b"\x0a\x00" * MANY),
}


@pytest.mark.parametrize("what", WIDE)
async def test_a_request_with_too_many_fields_is_not_parsed(what: str) -> None:
    cls, data = WIDE[what]
    path = {
        GenerateRequest: GENERATE,
        StreamRequest: "/celeste.image.v1.ImageService/Stream",
        AnalyzeRequest: "/celeste.image.v1.ImageService/Analyze",
        FindMissingArtifactsRequest: "/celeste.image.v1.ArtifactService/FindMissingArtifacts",
    }[cls]
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(path)(data)
    assert reason(caught.value) == ("INVALID_ARGUMENT", "INVALID_FIELD", False)
    assert f"more than {MAX_ELEMENTS:,} fields" in caught.value.details()


@pytest.mark.parametrize(
    "data", [b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\xff" * 6000, b"\x0f" * 9]
)
async def test_bytes_that_are_no_request_are_told_so(data: bytes) -> None:
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(GENERATE)(data)
    assert reason(caught.value) == ("INVALID_ARGUMENT", "INVALID_FIELD", False)
    assert "not a valid request" in caught.value.details()


async def test_a_large_picture_and_many_options_are_no_matter() -> None:
    request = Operation(generate=GenerateRequest(prompt="a boat", options=RequestOptions()))
    request.generate.options.provider_options["nobody"].update({f"key{number}": number for number in range(1000)})
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = ImageServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [response async for response in stub.Stream(StreamRequest(operation=request))]
        assert "is not a provider of this server" in caught.value.details()
        picture = pictures.noise(1000, 1000)
        assert len(picture) > 3 * 10**6
        assert (
            await stub.Analyze(AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=picture)))
        ).result.analysis.metadata.width == 1000


async def test_of_a_long_list_one_fault_is_told() -> None:
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        for count, told in ((100, 100), (4000, 1)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ArtifactServiceStub(channel).FindMissingArtifacts(
                    FindMissingArtifactsRequest(names=["x"] * count)
                )
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            for detail in status_of(caught.value).details:
                detail.Unpack(info)
                detail.Unpack(bad)
            assert int(info.metadata.get("violations", len(bad.field_violations))) == told
