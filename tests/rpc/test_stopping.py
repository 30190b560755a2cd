"""Work that nobody waits for is stopped, and what an engine's end does to whom."""

import asyncio
import os
import signal

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs
from tests.support import pictures
from tests.support.grpc_calls import ENGINE, long_upscale, status_of, streamed
from tests.support.servers import running, workers

from celeste_image.v1 import (
    ANALYSIS_KIND_METADATA,
    AnalyzeRequest,
    GenerateRequest,
    ImageInput,
    ImageServiceStub,
    RequestOptions,
    Size,
    StreamRequest,
    UpscaleRequest,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def check_the_next_call(channel: grpc.aio.Channel) -> None:
    source = ImageInput(data=pictures.photo(32))
    request = UpscaleRequest(image=source, factor=2, model="local/realesrgan-animevideov3")
    assert (await ImageServiceStub(channel).Upscale(request, timeout=30)).result.images


async def until_progress(call: grpc.aio.UnaryStreamCall) -> None:
    """Reads until the engine is at work."""
    async for response in call:
        if response.event.WhichOneof("kind") == "progress":
            return


async def gone(pid: int) -> None:
    """Returns when a process has ended; the test's own limit is the bound."""
    while pid in workers(ENGINE):
        await asyncio.sleep(0.01)


async def test_cancel_stops_the_engine(channel: grpc.aio.Channel) -> None:
    call = ImageServiceStub(channel).Stream(streamed(long_upscale()))
    await until_progress(call)
    (pid,) = workers(ENGINE)
    call.cancel()
    await asyncio.wait_for(gone(pid), 10)
    await check_the_next_call(channel)
    assert pid not in workers(ENGINE)


async def test_cancel_of_a_unary_call_stops_the_engine(channel: grpc.aio.Channel) -> None:
    await check_the_next_call(channel)
    (pid,) = workers(ENGINE)
    call = ImageServiceStub(channel).Upscale(long_upscale())
    await asyncio.wait_for(at_work(pid), 10)
    call.cancel()
    await asyncio.wait_for(gone(pid), 10)
    await check_the_next_call(channel)


async def at_work(pid: int) -> None:
    """Returns when a process has used a fifth of a second of CPU more than when it was first looked at."""

    def used() -> int:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    first = used()
    while used() < first + os.sysconf("SC_CLK_TCK") // 5:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("unary", [False, True])
async def test_a_deadline_stops_the_engine(channel: grpc.aio.Channel, unary: bool) -> None:
    await check_the_next_call(channel)
    (pid,) = workers(ENGINE)
    stub = ImageServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        if unary:
            await stub.Upscale(long_upscale(), timeout=1)
        else:
            async for _ in stub.Stream(streamed(long_upscale()), timeout=1):
                pass
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(gone(pid), 10)
    await check_the_next_call(channel)


async def test_a_call_cancelled_in_the_queue_frees_its_place() -> None:
    async with running(providers={"local": {"concurrency": 1, "queue": 2}}) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = ImageServiceStub(channel)
            first = stub.Stream(streamed(long_upscale()))
            await until_progress(first)
            waiting = [stub.Stream(streamed(long_upscale())) for _ in range(2)]
            positions = []
            for call in waiting:
                async for response in call:
                    if response.event.WhichOneof("kind") == "queued":
                        positions.append(response.event.queued.position)
                        break
            assert positions == [1, 2]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Upscale(long_upscale())
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            waiting[0].cancel()
            async for response in waiting[1]:
                assert response.event.queued.position == 1
                break
            first.cancel()
            async for response in waiting[1]:
                if response.event.WhichOneof("kind") == "progress":
                    break
            waiting[1].cancel()
            await check_the_next_call(channel)


async def test_a_killed_engine_is_one_callers_failure_and_nobody_elses() -> None:
    async with (
        running(providers={"local": {"concurrency": 3}}) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = ImageServiceStub(channel)
        others = workers(ENGINE)
        victim = stub.Stream(streamed(long_upscale()))
        await until_progress(victim)
        (pid,) = set(workers(ENGINE)) - set(others)
        other = stub.Stream(
            streamed(
                UpscaleRequest(
                    image=ImageInput(data=pictures.photo(150)), factor=4, model="local/realesrgan-animevideov3"
                )
            )
        )
        generate = stub.Generate(GenerateRequest(prompt="a boat", size=Size(width=128, height=128)))
        analyze = stub.Analyze(
            AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=pictures.plain(8, 8)))
        )
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in victim:
                pass
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        info = error_details_pb2.ErrorInfo()
        details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
        assert any(d.Unpack(info) for d in status_pb2.Status.FromString(details).details)  # type: ignore[arg-type]
        assert info.reason == "ENGINE_LOST"
        assert "SIGKILL" in caught.value.details()
        *_, last = [response.event async for response in other]
        assert last.WhichOneof("kind") == "completed"
        assert (await generate).result.images
        assert (await analyze).result.analysis.metadata.width == 8
        await check_the_next_call(channel)


async def test_a_client_that_goes_away_after_the_result_harms_nobody(channel: grpc.aio.Channel) -> None:
    stub = ImageServiceStub(channel)
    stream = StreamRequest()
    stream.operation.generate.CopyFrom(
        GenerateRequest(prompt="a boat", size=Size(width=64, height=64), options=RequestOptions(inline_limit_bytes=0))
    )
    call = stub.Stream(stream)
    async for response in call:
        if response.event.WhichOneof("kind") == "image":
            break
    name = response.event.image.output.artifact
    call.cancel()
    request = AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(artifact=name))
    assert (await stub.Analyze(request)).result.analysis.metadata.width == 64


@pytest.mark.parametrize("unary", [False, True])
async def test_a_call_without_a_deadline_gets_the_servers_own(unary: bool) -> None:
    settings = {"server": {"call_seconds": 1.5}}
    async with running(**settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub, others = ImageServiceStub(channel), workers(ENGINE)
        kinds = []
        with capture_logs() as logged, pytest.raises(grpc.aio.AioRpcError) as caught:
            if unary:
                await stub.Upscale(long_upscale())
            else:
                async for response in stub.Stream(streamed(long_upscale())):
                    kinds.append(response.event.WhichOneof("kind"))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "1.5 s" in caught.value.details()
        assert unary or kinds[-1] == "failed"
        assert [line["outcome"] for line in logged if line["event"] == "call"] == ["DEADLINE_EXCEEDED"]
        assert workers(ENGINE) == others, "its engine was ended"
        image = ImageInput(data=pictures.photo(32))
        assert (await stub.Upscale(UpscaleRequest(image=image, factor=2, model="local/lanczos"), timeout=30)).result


async def test_a_decode_that_takes_too_long_is_ended() -> None:
    async with (
        running(images={"decoder_seconds": 0.01}) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        request = AnalyzeRequest(image=ImageInput(data=pictures.photo(4000)), kinds=[ANALYSIS_KIND_METADATA])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ImageServiceStub(channel).Analyze(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert status_of(caught.value).message == "image: ended two decoders and is not tried again"


async def test_small_work_does_not_wait_for_large_work() -> None:
    async with (
        running(providers={"local": {"concurrency": 1}}) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = ImageServiceStub(channel)
        large = [stub.Stream(streamed(long_upscale()))]
        await until_progress(large[0])
        large.append(stub.Stream(streamed(long_upscale())))
        async for response in large[1]:  # large work waits as before, and is told where
            if response.event.WhichOneof("kind") == "queued":
                assert response.event.queued.position == 1
                break
        image = ImageInput(data=pictures.photo(64))
        small = [
            stub.Generate(GenerateRequest(prompt="a red fox", model="local/compose")),
            stub.Analyze(AnalyzeRequest(image=image, kinds=[ANALYSIS_KIND_METADATA])),
            stub.Upscale(UpscaleRequest(image=image, factor=2, model="local/lanczos")),
            stub.Upscale(UpscaleRequest(image=image, factor=2, model="local/realesrgan-animevideov3")),
        ]
        await asyncio.wait_for(asyncio.gather(*small), 60)
        assert not any(call.done() for call in large)
        for call in large:
            call.cancel()
