"""Who does not read is ended: its task, its engine, its place, its bytes; nobody else notices."""

import asyncio
import contextlib

import grpc
import pytest
from tests.support import pictures
from tests.support.grpc_calls import ENGINE, GENERATE, READ, calls, healthy, long_upscale, stored, streamed
from tests.support.raw_http2 import RawCalls
from tests.support.servers import running, workers
from tests.support.waiting import until

from celeste_image.admission import ByteBudget
from celeste_image.core.errors import SlowReader
from celeste_image.rpc.slow_readers import WatchedContext
from celeste_image.v1 import (
    ANALYSIS_KIND_METADATA,
    AnalyzeRequest,
    ArtifactServiceStub,
    GenerateRequest,
    ImageInput,
    ImageServiceStub,
    ReadArtifactRequest,
    RequestOptions,
    Size,
)

SECONDS = 0.5
STREAM = "/celeste.image.v1.ImageService/Stream"
SERVER = {"write_seconds": SECONDS}


async def test_fifty_that_never_read_are_ended_and_nobody_else() -> None:
    async with running(server=SERVER) as server, grpc.aio.insecure_channel(server.address) as channel:
        name = await stored(server, 64 << 20)
        request = ReadArtifactRequest(name=name).SerializeToString()
        async with RawCalls(server.address, 1 << 16) as slow:
            streams = [slow.call(READ, request) for _ in range(50)]
            await until(lambda: all(slow.received[stream] == 1 << 16 for stream in streams))
            assert server.app.chunks.held_bytes > 0
            one = ReadArtifactRequest(name=name, limit=3 << 20)
            while server.app.chunks.held_bytes:
                assert await healthy(channel) < 2
                data = b"".join([r.chunk.data async for r in ArtifactServiceStub(channel).ReadArtifact(one)])
                assert len(data) == 3 << 20
                analyze = AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=pictures.plain(8, 8)))
                assert (await ImageServiceStub(channel).Analyze(analyze)).result.analysis.metadata.width == 8
                await asyncio.sleep(0.05)
            await until(lambda: not calls())
            for stream in streams:
                await asyncio.wait_for(slow.over[stream].wait(), 5)
            assert {slow.received[stream] for stream in streams} == {1 << 16}
            assert server.app.budget.held_bytes == 0


async def test_a_client_that_never_iterates_finds_its_call_ended() -> None:
    async with running(server=SERVER) as server, grpc.aio.insecure_channel(server.address) as channel:
        call = ArtifactServiceStub(channel).ReadArtifact(ReadArtifactRequest(name=await stored(server, 256 << 20)))
        await call.wait_for_connection()
        await until(lambda: server.app.chunks.held_bytes)
        await until(lambda: not server.app.chunks.held_bytes)
        await until(lambda: not calls())
        await healthy(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert caught.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED)


@pytest.mark.parametrize("window", [0, 200])
async def test_the_engine_and_the_place_of_a_slow_reader_are_free(window: int) -> None:
    settings = {"server": SERVER, "providers": {"local": {"concurrency": 1, "queue": 1}}}
    async with running(**settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        async with RawCalls(server.address, window) as slow:
            request = long_upscale()
            request.image.data = pictures.photo(100)  # calls by hand must fit the server's window
            stream = slow.call(STREAM, streamed(request).SerializeToString())
            await until(lambda: server.app.budget.held_bytes)
            if window:  # enough for what comes before the engine begins
                await until(lambda: workers(ENGINE))
            await until(lambda: not workers(ENGINE) and server.app.budget.held_bytes == 0)
            generate = GenerateRequest(prompt="a boat", size=Size(width=64, height=64))
            for _ in range(3):
                assert (await ImageServiceStub(channel).Generate(generate, timeout=20)).result.images
            await asyncio.wait_for(slow.over[stream].wait(), 5)
        await until(lambda: not calls())


async def test_a_unary_answer_that_is_not_read_is_dropped() -> None:
    async with running(server=SERVER) as server, grpc.aio.insecure_channel(server.address) as channel:
        request = GenerateRequest(prompt="a boat", size=Size(width=512, height=512))
        async with RawCalls(server.address, 1000) as slow:
            stream = slow.call(GENERATE, request.SerializeToString())
            await until(lambda: slow.received[stream] == 1000)
            assert server.app.budget.held_bytes > 1000
            await until(lambda: server.app.budget.held_bytes == 0)
            for _ in range(3):
                await healthy(channel)
            await asyncio.wait_for(slow.over[stream].wait(), 5)
        await until(lambda: not calls())


@pytest.mark.alone
async def test_who_goes_on_reading_after_all_is_told_why() -> None:
    async with running(server=SERVER) as server:
        name = await stored(server, 3 << 20)
        async with RawCalls(server.address, 1000) as slow:
            stream = slow.call(READ, ReadArtifactRequest(name=name).SerializeToString())
            await until(lambda: slow.received[stream] == 1000)
            await asyncio.sleep(SECONDS * 1.5)
            slow.read(stream, 8 << 20)
            await asyncio.wait_for(slow.over[stream].wait(), 5)
            assert b"the caller did not read the stream for 0.5 s" in slow.trailers[stream]
            assert slow.received[stream] < 3 << 20
        await until(lambda: not calls())


@pytest.mark.alone
async def test_a_reader_that_takes_its_time_gets_everything() -> None:
    async with running(server=SERVER) as server:
        name = await stored(server, 4 << 20)
        async with RawCalls(server.address, 1 << 16) as slow:
            stream = slow.call(READ, ReadArtifactRequest(name=name).SerializeToString())
            while not slow.over[stream].is_set():
                slow.read(stream, 1 << 20)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(slow.over[stream].wait(), SECONDS * 0.6)
            assert slow.received[stream] > 4 << 20
            assert b"grpc-status" in slow.trailers[stream]
        await until(lambda: not calls())


async def test_the_server_stops_while_readers_are_slow() -> None:
    async with contextlib.AsyncExitStack() as life:
        server = await life.enter_async_context(running(server={"write_seconds": 60}))
        request = ReadArtifactRequest(name=await stored(server, 4 << 20)).SerializeToString()
        async with RawCalls(server.address, 1000) as slow:
            streams = [slow.call(READ, request) for _ in range(5)]
            await until(lambda: all(slow.received[stream] == 1000 for stream in streams))
            await life.aclose()
            await until(lambda: not calls())
        assert server.app.chunks.held_bytes == 0


class Stuck:
    """A context that takes one message and no more."""

    def __init__(self) -> None:
        self.written: list[object] = []
        self.answer = 42
        self.free = asyncio.Event()
        self.is_waiting = False

    async def send_initial_metadata(self, metadata: object) -> None:
        self.written.append(metadata)

    async def write(self, message: object) -> None:
        if len(self.written) > 1:
            self.is_waiting = True
            try:
                await self.free.wait()
            finally:
                self.is_waiting = False
        self.written.append(message)


async def test_a_write_that_gets_stuck_is_the_last() -> None:
    budget = ByteBudget()
    stuck = Stuck()
    context = WatchedContext(stuck, 0.05, budget.count(10))  # type: ignore[arg-type]
    message = RequestOptions(preview_count=1)
    await context.write(message)
    assert stuck.written == [(), message]
    assert budget.held_bytes == 10
    for _ in range(2):
        with pytest.raises(SlowReader):
            await context.write(message)
    assert budget.held_bytes == 10 + 3 * message.ByteSize(), "what is stuck is counted until the call is over"
    assert context.answer == 42


async def test_a_write_that_was_cancelled_goes_on_before_the_next() -> None:
    stuck = Stuck()
    context = WatchedContext(stuck, 60, ByteBudget().count(10))  # type: ignore[arg-type]
    first, second, third = (RequestOptions(preview_count=count) for count in (1, 2, 3))
    await context.write(first)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await context.write(second)
    asyncio.get_running_loop().call_later(0.02, stuck.free.set)
    await context.write(third)
    assert stuck.written == [(), first, second, third]


async def test_a_write_that_was_cancelled_ends_with_its_call() -> None:
    stuck = Stuck()
    context = WatchedContext(stuck, 60, ByteBudget().count(10))  # type: ignore[arg-type]
    await context.write(RequestOptions())
    call = asyncio.ensure_future(context.write(RequestOptions()))
    await until(lambda: stuck.is_waiting)
    call.cancel()
    await until(lambda: not stuck.is_waiting)
    assert call.cancelled()
