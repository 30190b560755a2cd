"""Calls that gRPC stops: cancelled by the caller, or late. The access log, metrics and traces say the same of each."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs
from tests.support.fake_provider import PLAIN, FakeProvider
from tests.support.otlp import Told
from tests.support.servers import running
from tests.support.waiting import until

from celeste_image.core.call import Candidate
from celeste_image.core.events import Event, Progress
from celeste_image.core.request import ImageRequest
from celeste_image.telemetry.instruments import INSTRUMENTS, RPC_ACTIVE, RPC_DURATION, RPC_ERRORS
from celeste_image.telemetry.series import begin_recording, end_recording
from celeste_image.telemetry.tracing import Span, Tracer
from celeste_image.v1 import GenerateRequest, ImageServiceStub, StreamRequest

REPEATS = [2, pytest.param(50, marks=pytest.mark.faults)]
REQUEST = GenerateRequest(prompt="a boat", model="fake/plain")
METHODS = {"celeste.image.v1.ImageService/Generate", "celeste.image.v1.ImageService/Stream"}


class Endless(FakeProvider):
    """A provider that never ends its work."""

    def __init__(self, calls: int) -> None:
        super().__init__([PLAIN], run=self._run)
        self.settings = self.Settings(concurrency=calls)
        self.at_work = 0

    async def _run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        self.at_work += 1
        yield Progress(0.1)
        await asyncio.Event().wait()


@pytest.fixture
def _metrics() -> Iterator[None]:
    begin_recording(INSTRUMENTS)
    yield
    end_recording()


async def told(stub: ImageServiceStub, number: int, timeout: float) -> grpc.StatusCode:
    """Returns what the caller is told: of a unary call or, for odd numbers, of a stream."""
    try:
        if number % 2:
            request = StreamRequest()
            request.operation.generate.CopyFrom(REQUEST)
            async for _ in stub.Stream(request, timeout=timeout):
                pass
        else:
            await stub.Generate(REQUEST, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        return error.code()
    raise AssertionError("the call ended well")


def check(code: str, begun: int, lines: list[Any], spans: list[Span]) -> None:
    """Checks that everything says the same of at least as many calls as the provider began."""
    rpcs = [line for line in lines if line["event"] == "rpc"]
    assert len(rpcs) >= begun
    assert {(line["code"], line["outcome"]) for line in rpcs} == {(code, code)}
    assert {line["outcome"] for line in lines if line["event"] == "call"} == {code}
    served = [Told.of(span) for span in spans if span.name in METHODS]
    assert {(span.attributes["rpc.response.status_code"], span.attributes["error.type"]) for span in served} == {
        (code, code)
    }
    durations = {labels: sum(spread.counts) for labels, spread in RPC_DURATION.read()}
    assert {labels[1] for labels in durations} == {code}
    assert len(rpcs) == len(served) == sum(durations.values()) == sum(count for _, count in RPC_ERRORS.read())
    assert {labels for labels, _ in RPC_ERRORS.read()} == {(method, code) for method in METHODS}


@pytest.mark.usefixtures("_metrics")
@pytest.mark.parametrize("calls", REPEATS)
async def test_calls_that_their_callers_cancel(calls: int) -> None:
    provider, kept = Endless(calls), list[Span]()
    with capture_logs() as lines:
        async with running([provider], tracer=Tracer(kept.append)) as server:
            async with grpc.aio.insecure_channel(server.address) as channel:
                stub = ImageServiceStub(channel)
                tasks = [asyncio.create_task(told(stub, number, timeout=600)) for number in range(calls)]
                await until(lambda: provider.at_work == calls, 60)
                for task in tasks:
                    task.cancel()
                await until(lambda: sum(line["event"] == "rpc" for line in lines) == calls, 60)
    check("CANCELLED", calls, lines, kept)


@pytest.mark.usefixtures("_metrics")
@pytest.mark.parametrize(
    ("calls", "timeouts"), [(2, (1.001, 4.001, 16.01)), pytest.param(50, (10.001, 30.001), marks=pytest.mark.faults)]
)
async def test_calls_whose_deadline_passes(calls: int, timeouts: tuple[float, ...]) -> None:
    """A Python client sends 1.001 s as 1.01 s, and 10.001 s as 10.1 s: it resets its calls before the server would."""
    provider, kept = Endless(calls), list[Span]()
    with capture_logs() as lines:
        async with running([provider], tracer=Tracer(kept.append)) as server:
            async with grpc.aio.insecure_channel(server.address) as channel:
                stub = ImageServiceStub(channel)
                for timeout in timeouts:  # on a busy machine, a short one passes before all are at work
                    before = provider.at_work
                    codes = await asyncio.gather(*(told(stub, number, timeout) for number in range(calls)))
                    assert set(codes) == {grpc.StatusCode.DEADLINE_EXCEEDED}
                    if provider.at_work - before == calls:
                        break
                else:
                    raise AssertionError("the provider never had all calls")
                await until(lambda: sum(line["event"] == "rpc" for line in lines) >= provider.at_work)
                await until(lambda: not any(active for _, active in RPC_ACTIVE.read()))
    check("DEADLINE_EXCEEDED", provider.at_work, lines, kept)
