"""Admission at the door: silent calls, large images, limits of callers, and when a refused call may come back."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support import pictures
from tests.support.fake_provider import PAINTER, UPSCALER, FakeProvider
from tests.support.grpc_calls import GENERATE, READ, reason, stored
from tests.support.raw_http2 import RawCalls
from tests.support.servers import running
from tests.support.waiting import until

from celeste_image.core.errors import OutcomeUnknown, ProviderUnavailable
from celeste_image.core.events import Event, Picture
from celeste_image.v1 import (
    ANALYSIS_KIND_METADATA,
    AnalyzeRequest,
    ArtifactServiceStub,
    GenerateRequest,
    ImageInput,
    ImageServiceStub,
    ReadArtifactRequest,
    UpscaleRequest,
)

OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
WRITE = "/celeste.image.v1.ArtifactService/WriteArtifact"
PUSHBACK = "grpc-retry-pushback-ms"
FOX = GenerateRequest(model="fake/one", prompt="a fox")


class Painter(FakeProvider):
    """A provider that paints when it may, or fails as it is told."""

    def __init__(self, **settings: Any) -> None:
        super().__init__([PAINTER], run=self._paint)
        self.settings = self.Settings(**settings)
        self.go = asyncio.Event()
        self.fails: Exception | None = None
        self.calls = 0

    async def _paint(self, request: Any, candidate: Any) -> AsyncGenerator[Event, None]:
        self.calls += 1
        if self.fails:
            raise self.fails
        await self.go.wait()
        yield Picture(pictures.plain(8, 8), "image/png", 8, 8)


def pushback(error: grpc.aio.AioRpcError) -> int | None:
    found = [value for key, value in error.trailing_metadata() if key == PUSHBACK]
    return int(found[0]) if found else None


async def upscaled(channel: grpc.aio.Channel) -> int:
    request = UpscaleRequest(model="local/lanczos", factor=2, image=ImageInput(data=pictures.plain(40, 30)))
    return (await ImageServiceStub(channel).Upscale(request, timeout=20)).result.images[0].width


async def test_200_silent_calls_and_200_silent_uploads_shut_nobody_out() -> None:
    """On three connections. They hold half of each budget, or little more; nobody else waits."""
    server_settings = {"budget_wait_seconds": 0.05, "concurrent_streams": 300}
    async with running(server=server_settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        name = await stored(server, 1 << 20)
        silent = [RawCalls(server.address, 65535) for _ in range(3)]
        for connection in silent:
            await connection.__aenter__()
        try:
            for number in range(200):
                silent[number % 3].call(GENERATE, None)
                silent[number % 3].call(WRITE, None)
            budgets = server.app.budget, server.app.chunks
            await until(lambda: all(2 * budget.held >= budget.total for budget in budgets))
            for _ in range(3):
                assert await upscaled(channel) == 80
                parts = ArtifactServiceStub(channel).ReadArtifact(ReadArtifactRequest(name=name))
                assert len(b"".join([part.chunk.data async for part in parts])) == 1 << 20
            # Half, and two shares at most; the last call gives its memory back a moment after its answer.
            await until(lambda: all(budget.held <= 5 * budget.total // 8 for budget in budgets))
        finally:
            for connection in silent:
                await connection.__aexit__(None, None, None)
        await until(lambda: not any(budget.held for budget in budgets))


async def test_readers_that_do_not_read_give_their_memory_to_others() -> None:
    """A budget for two downloads: the one that has not read for a second is ended, and told why."""
    async with running(server={"stream_budget_bytes": 4 << 20}) as server:
        name = await stored(server, 8 << 20)
        request = ReadArtifactRequest(name=name)
        async with RawCalls(server.address, 1000) as slow, grpc.aio.insecure_channel(server.address) as channel:
            streams = [slow.call(READ, request.SerializeToString()) for _ in range(2)]
            await until(lambda: all(slow.received[stream] for stream in streams))
            data = b"".join([part.chunk.data async for part in ArtifactServiceStub(channel).ReadArtifact(request)])
            assert len(data) == 8 << 20
            await until(lambda: any(slow.over[stream].is_set() for stream in streams))


async def test_a_refused_call_says_when_to_come_back_to_grpcs_own_retries_too() -> None:
    painter = Painter(concurrency=1, queue=0)
    async with running([painter]) as server, grpc.aio.insecure_channel(server.address) as channel:
        first = asyncio.ensure_future(ImageServiceStub(channel).Generate(FOX))
        await until(lambda: painter.calls == 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ImageServiceStub(channel).Generate(FOX)
        assert reason(caught.value) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL", True)
        assert (pushback(caught.value) or 0) >= 1000
        painter.go.set()
        await first
        painter.fails = OutcomeUnknown("no answer")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ImageServiceStub(channel).Generate(FOX)
        assert pushback(caught.value) == -1, "it may be paid for: never again by itself"


async def test_a_client_of_grpc_with_a_retry_policy_keeps_to_it() -> None:
    """A policy that would retry three times at once makes no second call after -1, and waits for the time given."""
    policy = {"maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1}
    policy["retryableStatusCodes"] = ["UNAVAILABLE", "ABORTED"]  # type: ignore[assignment]
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    painter = Painter(tries=1, pause_after=0)
    options = [*OWN_CONNECTION, ("grpc.service_config", config)]
    async with running([painter]) as server, grpc.aio.insecure_channel(server.address, options=options) as channel:
        for error, calls in ((OutcomeUnknown("no answer"), 1), (ProviderUnavailable("down", retry_after=0.05), 4)):
            painter.fails, painter.calls = error, 0
            with pytest.raises(grpc.aio.AioRpcError):
                await ImageServiceStub(channel).Generate(FOX)
            assert painter.calls == calls


async def test_a_caller_has_limits_of_its_own_and_health_has_none() -> None:
    painter = Painter(concurrency=8)
    async with running([painter], admission={"caller_calls": 2, "calls": 3}) as server:
        async with (
            grpc.aio.insecure_channel(server.address, options=OWN_CONNECTION) as one,
            grpc.aio.insecure_channel(server.address, options=OWN_CONNECTION) as other,
        ):
            held = [asyncio.ensure_future(ImageServiceStub(one).Generate(FOX)) for _ in range(2)]
            await until(lambda: painter.calls == 2)
            for channel, most in ((one, 2), (other, 3)):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await asyncio.gather(*(ImageServiceStub(channel).Generate(FOX) for _ in range(2)))
                assert reason(caught.value) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL", True)
                await until(lambda most=most: painter.calls == most)  # type: ignore[misc]
                health = health_pb2_grpc.HealthStub(channel)
                assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
            painter.go.set()
            await asyncio.gather(*held)


async def test_a_provider_that_keeps_failing_is_paused_and_its_health_says_so() -> None:
    painter = Painter(tries=1, pause_after=3, pause_seconds=0.3)
    painter.fails, painter.go = ProviderUnavailable("down"), painter.go
    ended: Counter[str] = Counter()
    async with running([painter]) as server, grpc.aio.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        of_provider = health_pb2.HealthCheckRequest(service="providers/fake")
        for _ in range(5):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ImageServiceStub(channel).Generate(FOX)
            ended[reason(caught.value)[1]] += 1
        assert ended == {"PROVIDER_UNAVAILABLE": 5}
        assert painter.calls == 3
        assert reason(caught.value) == ("UNAVAILABLE", "PROVIDER_UNAVAILABLE", True)
        assert 0 < (pushback(caught.value) or 0) <= 300
        assert (await health.Check(of_provider)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
        painter.fails = None
        painter.go.set()
        await until(lambda: not server.app.breakers["fake"].left_seconds)
        assert (await ImageServiceStub(channel).Generate(FOX)).result.images
        assert (await health.Check(of_provider)).status == health_pb2.HealthCheckResponse.SERVING


async def test_pixels_at_work_have_a_limit() -> None:
    picture = ImageInput(data=pictures.plain(40, 30))
    settings = {"admission": {"pixels": 1200}, "server": {"budget_wait_seconds": 0.01}}
    async with running(**settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        analyze = AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=picture)
        assert (await ImageServiceStub(channel).Analyze(analyze)).result.analysis.metadata.width == 40
        assert server.app.pixels
        with server.app.pixels.count(1):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ImageServiceStub(channel).Analyze(analyze)
            assert reason(caught.value) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL", True)
        assert server.app.pixels.held == 0


@pytest.mark.faults
async def test_a_hundred_images_of_40_megapixels_delay_nobody_else() -> None:
    """All on one connection: another caller's upscales are done before ten of them are."""
    bombs = [pictures.large_webp(6300, 6300, red=number) for number in range(100)]
    async with running(images={"decoders": 2}) as server:
        async with (
            grpc.aio.insecure_channel(server.address, options=OWN_CONNECTION) as many,
            grpc.aio.insecure_channel(server.address, options=OWN_CONNECTION) as other,
        ):
            await upscaled(other)
            requests = [AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=data)) for data in bombs]
            calls = [asyncio.ensure_future(ImageServiceStub(many).Analyze(request)) for request in requests]
            await until(lambda: server.app.guard.waiting > 30)
            for _ in range(3):
                assert await upscaled(other) == 80
            done = [call for call in calls if call.done()]
            refused = [call for call in done if call.exception()]
            assert len(done) - len(refused) < 10
            for call in refused:
                error = call.exception()
                assert isinstance(error, grpc.aio.AioRpcError)
                assert reason(error) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL", True)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)


async def test_a_request_that_no_queue_takes_has_no_image_decoded() -> None:
    upscaler = FakeProvider([UPSCALER])
    upscaler.settings = upscaler.Settings(concurrency=1, queue=0)
    busy = asyncio.Event()

    async def upscale(request: Any, candidate: Any) -> AsyncGenerator[Event, None]:
        busy.set()
        await asyncio.Event().wait()
        yield Picture(b"", "image/png", 8, 8)

    upscaler.run = upscale
    async with running([upscaler]) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = ImageServiceStub(channel)
        first = UpscaleRequest(model="fake/upscaler", factor=2, image=ImageInput(data=pictures.plain(8, 8)))
        call = stub.Upscale(first)
        await asyncio.wait_for(busy.wait(), 20)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Upscale(UpscaleRequest(model="fake/upscaler", factor=2, image=ImageInput(data=b"no image")))
        assert reason(caught.value) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL", True)
        call.cancel()
