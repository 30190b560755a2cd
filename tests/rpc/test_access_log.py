"""The access log: one line per RPC, with what an operator needs to find and count calls."""

import hashlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs
from tests.support import pictures
from tests.support.servers import running

from celeste_image import v1
from celeste_image.telemetry.tracing import Tracer

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as found:
        yield found


def only(lines: list[Any], event: str = "rpc") -> Any:
    """The one line of an event."""
    (line,) = [line for line in lines if line["event"] == event]
    return line


async def test_the_line_of_a_unary_call_says_who_did_what_and_how_much(lines: list[Any]) -> None:
    request = v1.ListModelsRequest(page_size=1)
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        response = await v1.ModelServiceStub(channel).ListModels(request)
    line = only(lines)
    assert isinstance(line.pop("seconds"), float)
    assert line.pop("peer").startswith("ipv4:127.0.0.1:")
    assert line == {
        "event": "rpc",
        "log_level": "info",
        "method": "/celeste.image.v1.ModelService/ListModels",
        "code": "OK",
        "outcome": "OK",
        "caller": "anonymous",
        "tenant": "anonymous",
        "received": request.ByteSize(),
        "sent": response.ByteSize(),
    }


async def test_the_bytes_of_streams_are_counted_both_ways(lines: list[Any]) -> None:
    data = pictures.photo(200)
    name = f"artifacts/sha256-{hashlib.sha256(data).hexdigest()}"
    messages = [
        v1.WriteArtifactRequest(name=name, size_bytes=len(data)),
        v1.WriteArtifactRequest(chunk=v1.ArtifactChunk(data=data)),
    ]
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = v1.ArtifactServiceStub(channel)
        written = await stub.WriteArtifact(iter(messages))
        read = [each async for each in stub.ReadArtifact(v1.ReadArtifactRequest(name=name))]
    upload, download = [line for line in lines if line["event"] == "rpc"]
    assert (upload["received"], upload["sent"]) == (sum(each.ByteSize() for each in messages), written.ByteSize())
    asked = v1.ReadArtifactRequest(name=name).ByteSize()
    assert (download["received"], download["sent"]) == (asked, sum(each.ByteSize() for each in read))


async def test_a_failed_call_has_its_code_and_its_reason(lines: list[Any]) -> None:
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await v1.ImageServiceStub(channel).Generate(v1.GenerateRequest())
    line = only(lines)
    assert (line["code"], line["outcome"], line["fields"]) == ("INVALID_ARGUMENT", "INVALID_FIELD", 1)


async def test_the_trace_of_the_caller_is_in_the_line(lines: list[Any]) -> None:
    traces = {
        f"00-{TRACE}-{PARENT}-01": TRACE,
        f"00-{TRACE}-{PARENT}-00": TRACE,
        f"00-{TRACE}-{PARENT}": None,
        f"00-{TRACE[:-1]}x-{PARENT}-01": None,
        "00-a b=c-d-01": None,
    }
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = v1.ModelServiceStub(channel)
        for header in traces:
            await stub.GetServerInfo(v1.GetServerInfoRequest(), metadata=(("traceparent", header),))
    assert [line.get("trace_id") for line in lines if line["event"] == "rpc"] == [*traces.values()]


async def test_with_traces_the_line_has_the_id_of_the_span(lines: list[Any]) -> None:
    spans: list[Any] = []
    async with (
        running(tracer=Tracer(spans.append)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        await v1.ModelServiceStub(channel).GetServerInfo(v1.GetServerInfoRequest())
    assert only(lines)["trace_id"] == spans[0].trace_id


@pytest.mark.parametrize("logged", [False, True])
async def test_prompts_are_in_the_log_only_if_the_operator_asks_for_them(lines: list[Any], logged: bool) -> None:
    request = v1.GenerateRequest(model="local/none", prompt="a canary")
    async with running(log={"prompts": logged}) as server, grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await v1.ImageServiceStub(channel).Generate(request)
    assert only(lines, "call").get("prompts") == ({"prompt": "a canary"} if logged else None)
    assert ("canary" in str(lines)) is logged
