"""Many calls at once: each is answered or refused in words, counted and logged; a request's own run side by side."""

import asyncio
import resource
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs
from tests.support import pictures
from tests.support.fake_provider import PAINTER, FakeProvider
from tests.support.grpc_calls import reason
from tests.support.servers import running
from tests.support.waiting import until

from celeste_image.core.events import Event, Picture
from celeste_image.rpc import refusals
from celeste_image.rpc.receive import CALL_BYTES
from celeste_image.v1 import (
    GenerateRequest,
    GetServerInfoRequest,
    ImageServiceStub,
    ModelServiceStub,
    Operation,
    StreamRequest,
)

MIB = 1 << 20
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
IMAGES = {"max_bytes": MIB}
NO_MEMORY = ("RESOURCE_EXHAUSTED", "MEMORY_BUDGET", True)


class Painter(FakeProvider):
    """A provider of one image per call, which is made once `many` calls are at work."""

    def __init__(self, many: int) -> None:
        super().__init__([replace(PAINTER, max_count=1)], run=self._paint)
        self._barrier = asyncio.Barrier(many)

    async def _paint(self, request: Any, candidate: Any) -> AsyncGenerator[Event, None]:
        await self._barrier.wait()
        yield Picture(pictures.plain(8, 8), "image/png", 8, 8, seed=request.seed)


async def test_eight_images_of_a_vendor_that_makes_one_per_call_take_two_rounds() -> None:
    """The provider has four places, so its calls end only if four run at a time."""
    async with running([Painter(4)]) as server, grpc.aio.insecure_channel(server.address) as channel:
        request = GenerateRequest(model="fake/one", prompt="a fox", count=8, seed=40)
        result = (await ImageServiceStub(channel).Generate(request, timeout=20)).result
    assert [image.index for image in result.images] == list(range(8))
    assert [image.seed for image in result.images] == list(range(40, 48))
    assert not result.failures


async def test_an_open_call_holds_memory_so_their_number_is_limited() -> None:
    most = 4 * MIB // CALL_BYTES
    settings = {"budget_bytes": 4 * MIB, "request_bytes": 64 << 10, "budget_wait_seconds": 0.1}
    painter = Painter(1000)
    painter.settings = painter.Settings(queue=1000)
    async with running([painter], server=settings, images=IMAGES) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            request = StreamRequest()
            request.operation.generate.MergeFrom(GenerateRequest(model="fake/one", prompt="a fox"))
            streams = [ImageServiceStub(channel).Stream(request) for _ in range(most)]
            for stream in streams:
                await stream.read()
            await until(lambda: server.app.budget.held_bytes == 4 * MIB)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ModelServiceStub(channel).GetServerInfo(GetServerInfoRequest())
            assert reason(caught.value) == NO_MEMORY
            for stream in streams:
                stream.cancel()
            await until(lambda: server.app.budget.held_bytes == 0)


async def test_calls_that_find_no_room_are_counted_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "LOG_SECONDS", 0.05)
    settings = {"budget_bytes": 4 * MIB, "budget_wait_seconds": 0.01}
    async with running(server=settings, images=IMAGES) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = ModelServiceStub(channel)
            for times in (1, 2):
                with capture_logs() as logs, server.app.budget.count(4 * MIB):
                    for _ in range(3):
                        with pytest.raises(grpc.aio.AioRpcError) as caught:
                            await stub.GetServerInfo(GetServerInfoRequest())
                        assert reason(caught.value) == NO_MEMORY
                    await until(lambda: sum(line["calls"]["MEMORY_BUDGET"] for line in refused(logs)) == 3)
                assert refused(logs)[-1]["since_start"] == {"MEMORY_BUDGET": 3 * times}
                assert {line["log_level"] for line in refused(logs)} == {"warning"}
            with capture_logs() as logs, suppress(grpc.aio.AioRpcError):
                await ImageServiceStub(channel).Generate(GenerateRequest(model="nobody/nothing", prompt="a fox"))
            await asyncio.sleep(0)
            assert not refused(logs), "other errors are no refusals"


class Held(FakeProvider):
    """A provider whose calls wait until they are let go."""

    def __init__(self, concurrency: int, queue: int) -> None:
        super().__init__([PAINTER], run=self._paint)
        self.settings = self.Settings(concurrency=concurrency, queue=queue)
        self.go = asyncio.Event()

    async def _paint(self, request: Any, candidate: Any) -> AsyncGenerator[Event, None]:
        await self.go.wait()
        yield Picture(pictures.plain(8, 8), "image/png", 8, 8)


@pytest.mark.parametrize("kind", ["Stream", "Generate"])
async def test_each_of_many_calls_is_completed_or_refused_with_a_time_to_retry(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """With 4 places and 20 in the queue, 24 of 200 calls are answered. The others are refused, counted and logged."""
    monkeypatch.setattr(refusals, "LOG_SECONDS", 0.05)
    provider = Held(concurrency=4, queue=20)
    generate = GenerateRequest(model="fake/one", prompt="a fox")
    ended: Counter[object] = Counter()

    async def call(channel: grpc.aio.Channel) -> None:
        stub = ImageServiceStub(channel)
        try:
            if kind == "Generate":
                images = (await stub.Generate(generate)).result.images
            else:
                request = StreamRequest(operation=Operation(generate=generate))
                images = [each async for each in stub.Stream(request)][-1].event.completed.result.images
            ended[len(images)] += 1
        except grpc.aio.AioRpcError as error:
            ended[reason(error)] += 1

    async with running([provider], server={"request_bytes": 64 << 10}) as server:
        with capture_logs() as logs:
            async with (
                grpc.aio.insecure_channel(server.address, options=OWN_CONNECTION) as one,
                grpc.aio.insecure_channel(server.address, options=OWN_CONNECTION) as other,
                asyncio.TaskGroup() as calls,
            ):
                for _ in range(100):
                    calls.create_task(call(one))
                    calls.create_task(call(other))
                await until(lambda: ended.total() == 176)
                provider.go.set()
            await until(lambda: refused(logs) and refused(logs)[-1]["since_start"] == {"QUEUE_FULL": 176})
    assert ended == {1: 24, ("RESOURCE_EXHAUSTED", "QUEUE_FULL", True): 176}
    assert Counter(line["outcome"] for line in logs if line["event"] == "rpc") == {"OK": 24, "QUEUE_FULL": 176}


def refused(logs: list[Any]) -> list[Any]:
    return [line for line in logs if line["event"] == "refused"]


async def test_the_server_may_open_as_many_files_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        async with running():
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.faults
async def test_thousands_of_calls_at_once_are_all_answered() -> None:
    """By default gRPC cancels some when more than 1,000 wait to be taken, and all new ones when 3,000 do."""
    async with running(server={"concurrent_streams": 5000}) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = ModelServiceStub(channel)

            async def ask() -> str:
                try:
                    await stub.GetServerInfo(GetServerInfoRequest(), timeout=120)
                except grpc.aio.AioRpcError as error:
                    return error.code().name
                return "OK"

            assert Counter(await asyncio.gather(*(ask() for _ in range(4000)))) == {"OK": 4000}
