"""The end of a server: its marks in order, what becomes of running calls, and what new ones are told."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs
from tests.support import pictures
from tests.support.fake_provider import PAINTER, FakeProvider
from tests.support.grpc_calls import READ, reason, status_of
from tests.support.raw_http2 import RawCalls
from tests.support.waiting import until

from celeste_image.app import build_app
from celeste_image.config import Settings
from celeste_image.core.events import Event, Picture
from celeste_image.rpc.server import Server
from celeste_image.v1 import GenerateRequest, ImageServiceStub, Operation, StreamRequest

STOPPED = ("UNAVAILABLE", "SERVER_UNAVAILABLE", False)
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Held(FakeProvider):
    """A provider whose calls for `slow` prompts last for ever; others wait until they are let go."""

    def __init__(self) -> None:
        super().__init__([PAINTER], run=self._paint)
        self.settings = self.Settings(concurrency=100, queue=100)
        self.go = asyncio.Event()
        self.running = self.stopped = 0

    async def _paint(self, request: Any, candidate: Any) -> AsyncGenerator[Event, None]:
        self.running += 1
        try:
            await (asyncio.Event() if request.prompt == "slow" else self.go).wait()
            yield Picture(pictures.plain(8, 8), "image/png", 8, 8)
        finally:
            self.stopped += 1


class Marks:
    """The sleep of a server that ends: each pause lasts until the test lets it pass.

    Attributes:
        asked: The pauses so far, in seconds.
    """

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._passed: list[asyncio.Event] = []

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._passed.append(asyncio.Event())
        await self._passed[-1].wait()

    async def reached(self, number: int) -> None:
        await until(lambda: len(self.asked) == number)

    def let_pass(self) -> None:
        self._passed[-1].set()


class Draining:
    """A server with a fake provider whose marks a test lets pass."""

    def __init__(self, **settings: Any) -> None:
        self.provider, self.marks = Held(), Marks()
        self.app = build_app(Settings(store={"url": "memory:///", "reserve_bytes": 0}, **settings), [self.provider])  # type: ignore[arg-type]
        self.server = Server(self.app, self.marks.sleep)
        self.address = ""
        self.stopping: asyncio.Task[None] | None = None

    def stop(self, drain_seconds: float = 60, notice_seconds: float = 5) -> None:
        self.stopping = asyncio.create_task(self.server.stop(drain_seconds, notice_seconds))


@asynccontextmanager
async def draining(**settings: Any) -> AsyncIterator[tuple[Draining, grpc.aio.Channel]]:
    made = Draining(**settings)
    (made.address,) = await made.server.start(["127.0.0.1:0"])
    async with grpc.aio.insecure_channel(made.address) as channel:
        try:
            yield made, channel
        finally:
            made.server.hurry()
            await (made.stopping or made.server.stop(0))


def stream(channel: grpc.aio.Channel, prompt: str) -> Any:
    generate = GenerateRequest(model="fake/one", prompt=prompt)
    return ImageServiceStub(channel).Stream(StreamRequest(operation=Operation(generate=generate)))


async def outcome(call: Any) -> tuple[str, Any]:
    """Returns the kind of the last event of a stream, and OK or the reason of its failure."""
    last = ""
    try:
        async for response in call:
            last = response.event.WhichOneof("kind")
    except grpc.aio.AioRpcError as error:
        return last, reason(error)
    return last, "OK"


async def test_twenty_streams_end_on_the_stated_timeline() -> None:
    async with draining() as (made, channel):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        alive = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="liveness"))
        assert (await watch.read()).status == (await alive.read()).status == SERVING
        quick = [stream(channel, "quick") for _ in range(10)]
        slow = [stream(channel, "slow") for _ in range(10)]
        outcomes = [asyncio.create_task(outcome(call)) for call in (*quick, *slow)]
        await until(lambda: made.provider.running == 20)

        with capture_logs() as logs:
            made.stop()
            assert (await watch.read()).status == NOT_SERVING, "at once"
            await made.marks.reached(1)
            late = asyncio.create_task(outcome(stream(channel, "quick")))  # load balancers have not noticed yet
            await until(lambda: made.provider.running == 21)
            made.marks.let_pass()

            await made.marks.reached(2)
            assert made.marks.asked == [5, 55]
            async with grpc.aio.insecure_channel(made.address, [("grpc.use_local_subchannel_pool", 1)]) as other:
                assert (await refused(other)).code() is grpc.StatusCode.UNAVAILABLE
            assert made.provider.stopped == 0, "running calls go on"
            made.provider.go.set()
            assert await asyncio.gather(late, *outcomes[:10]) == [("completed", "OK")] * 11
            assert not any(task.done() for task in outcomes[10:])
            made.marks.let_pass()

            assert await asyncio.gather(*outcomes[10:]) == [("failed", STOPPED)] * 10
            assert made.stopping
            await asyncio.wait_for(made.stopping, 10)
        assert made.provider.stopped == 21, "their work was stopped"
        assert [line["calls"] for line in logs if line["event"] == "calls cancelled"] == [10]
        assert sorted(line["outcome"] for line in logs if line["event"] == "rpc") == ["OK"] * 11 + [STOPPED[1]] * 10
        with pytest.raises(grpc.aio.AioRpcError):  # the liveness did not change before its stream was cut
            await alive.read()


async def refused(channel: grpc.aio.Channel) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ImageServiceStub(channel).Generate(GenerateRequest(model="fake/one", prompt="quick"), timeout=20)
    return caught.value


async def test_a_server_without_calls_ends_after_the_notice() -> None:
    """Streams of health that go on, as clients and load balancers hold them, do not keep it up."""
    async with draining() as (made, channel):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        made.stop()
        await made.marks.reached(1)
        made.marks.let_pass()
        assert made.stopping
        await asyncio.wait_for(made.stopping, 10)
        assert made.marks.asked in ([5], [5, 55])


async def test_a_second_signal_passes_all_marks_at_once() -> None:
    async with draining() as (made, channel):
        call = asyncio.create_task(outcome(stream(channel, "slow")))
        await until(lambda: made.provider.running == 1)
        made.stop()
        await made.marks.reached(1)
        made.server.hurry()
        assert await call == ("failed", STOPPED)
        assert made.stopping
        await asyncio.wait_for(made.stopping, 10)
        assert made.provider.stopped == 1


async def test_unary_calls_uploads_and_calls_without_a_request_are_told_too() -> None:
    async with draining() as (made, channel):
        unary = ImageServiceStub(channel).Generate(GenerateRequest(model="fake/one", prompt="slow"))
        await until(lambda: made.provider.running == 1)
        async with RawCalls(made.address) as silent:
            number = silent.call(READ, None)
            await until(lambda: len(made.server._running) == 2)
            made.stop()
            made.server.hurry()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary
            assert reason(caught.value) == STOPPED
            assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "-1", "never again by itself"
            status: status_pb2.Status = status_of(caught.value)
            assert status.message == "the server stops and ended the call; a provider may have done the work already"
            await asyncio.wait_for(silent.over[number].wait(), 10)
            assert silent.trailers[number], "a status, not a reset"
