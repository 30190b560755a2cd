"""Traces of real calls: one trace from the caller to the vendor, with everything between them."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field

import grpc
import pytest
from tests.support import pictures
from tests.support.fake_provider import FakeProvider, card, parameter, picture
from tests.support.hosts import VendorHost, listening, says
from tests.support.otlp import Told, tree
from tests.support.recordings import KEY
from tests.support.servers import Running, running
from tests.support.waiting import until

from celeste_image.core.call import Candidate
from celeste_image.core.card import TextRange
from celeste_image.core.errors import ProviderUnavailable
from celeste_image.core.events import Event
from celeste_image.core.request import ImageRequest, OperationKind
from celeste_image.telemetry.instruments import INSTRUMENTS, PROVIDER_DURATION, RPC_DURATION, RPC_ERRORS
from celeste_image.telemetry.series import begin_recording, end_recording
from celeste_image.telemetry.tracing import CLIENT, SERVER, Span, Tracer
from celeste_image.v1 import (
    AnalyzeRequest,
    GenerateRequest,
    ImageInput,
    ImageServiceStub,
    ListModelsRequest,
    ModelServiceStub,
    Size,
    StreamRequest,
)

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
METADATA = (("traceparent", f"00-{TRACE}-{CALLER}-01"), ("tracestate", "rojo=1"), ("baggage", "user=alice"))
STREAM = "celeste.image.v1.ImageService/Stream"
GENERATE = "celeste.image.v1.ImageService/Generate"


@dataclass
class Traced:
    """A server whose spans are kept."""

    server: Running
    stub: ImageServiceStub
    channel: grpc.aio.Channel
    kept: list[Span] = field(default_factory=list)

    @property
    def spans(self) -> list[Told]:
        return [Told.of(span) for span in self.kept]

    def named(self, name: str) -> Told:
        (found,) = [span for span in self.spans if span.name == name]
        return found


@contextlib.asynccontextmanager
async def traced(*extra: FakeProvider, propagates: bool = True, **settings: object) -> AsyncIterator[Traced]:
    kept: list[Span] = []
    tracer = Tracer(kept.append, propagates=propagates)
    async with running(extra, tracer=tracer, **settings) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield Traced(server, ImageServiceStub(channel), channel, kept)


def stream_of(prompt: str = "two red apples", model: str = "local/compose") -> StreamRequest:
    request = StreamRequest()
    request.operation.generate.CopyFrom(GenerateRequest(prompt=prompt, model=model))
    return request


async def test_a_stream_is_one_trace_from_the_caller_to_the_engine_and_the_store() -> None:
    async with traced() as at:
        answers = [each async for each in at.stub.Stream(stream_of(), metadata=METADATA)]
        spans = at.spans
    assert {span.trace_id for span in spans} == {TRACE}
    phases: dict[str, object] = {name: {} for name in ("start", "run", "scene", "render", "encode")}
    found = tree(spans, CALLER)
    found[STREAM].pop("wait", None)  # on a busy machine, a moment may pass before the slot is taken
    assert found == {STREAM: {"generate local/compose": {"worker local/compose (compose)": phases}, "store put": {}}}
    (rpc,) = [span for span in spans if span.parent_id == CALLER]
    assert (rpc.kind, rpc.state, rpc.is_failed) == (SERVER, "rojo=1", False)
    assert rpc.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": STREAM,
        "rpc.response.status_code": "OK",
        "celeste.request_id": answers[0].request_id,
        "gen_ai.operation.name": "generate",
    }
    names = [name for name, _ in rpc.events]
    assert names[0] == "started"
    assert "saved" in names
    assert dict(rpc.events)["saved"]["celeste.media_type"] == "image/png"
    provider = at.named("generate local/compose")
    assert (provider.kind, provider.attributes) == (
        CLIENT,
        {
            "gen_ai.operation.name": "generate",
            "gen_ai.provider.name": "local",
            "gen_ai.request.model": "local/compose",
        },
    )
    for span in spans:
        above = next((each for each in spans if each.span_id == span.parent_id), rpc)
        assert above.began <= span.began <= span.ended <= above.ended


async def test_a_warm_process_does_not_start_again() -> None:
    async with traced() as at:
        for _ in range(2):
            await at.stub.Generate(GenerateRequest(prompt="a boat", model="local/compose"))
        starts = [span.name for span in at.spans if span.name in ("start", "render")]
    assert sorted(starts) == ["render", "render", "start"]


async def test_the_vendor_gets_the_trace_and_no_baggage() -> None:
    answer = {"created": 1, "data": [{"b64_json": base64.b64encode(pictures.plain(64, 64)).decode()}]}
    fake = VendorHost({"/v1/images/generations": [says(answer)]})
    table = {"base_url": f"{fake.host.url}/v1", "allow_private": True, "key": KEY}
    request = GenerateRequest(prompt="a secret wish", model="openai/gpt-image-2", size=Size(width=1024, height=1024))
    async with listening(fake.host), traced(providers={"openai": table | {"base_url": fake.host.url + "/v1"}}) as at:
        await at.stub.Generate(request, metadata=METADATA)
        post = at.named("POST")
        spans = at.spans
    (asked,) = fake.host.asked
    assert asked.headers["traceparent"] == f"00-{TRACE}-{post.span_id}-01"
    assert asked.headers["tracestate"] == "rojo=1"
    assert "baggage" not in asked.headers
    assert tree(spans, CALLER)[GENERATE]["generate openai/gpt-image-2"] == {"POST": {}}
    assert (post.kind, post.attributes["http.request.method"], post.attributes["http.response.status_code"]) == (
        CLIENT,
        "POST",
        200,
    )
    assert post.attributes["server.address"] == "127.0.0.1"
    for secret in (KEY, "a secret wish", "/v1/images", "alice"):
        assert secret not in repr(spans)


async def test_the_operator_can_keep_the_trace_from_vendors() -> None:
    answer = {"created": 1, "data": [{"b64_json": base64.b64encode(pictures.plain(64, 64)).decode()}]}
    fake = VendorHost({"/v1/images/generations": [says(answer)]})
    async with listening(fake.host):
        table = {"base_url": fake.host.url + "/v1", "allow_private": True, "key": KEY}
        async with traced(propagates=False, providers={"openai": table}) as at:
            request = GenerateRequest(prompt="a boat", model="openai/gpt-image-2", size=Size(width=1024, height=1024))
            await at.stub.Generate(request, metadata=METADATA)
            assert at.named("POST").trace_id == TRACE
    assert not {"traceparent", "tracestate"} & set(fake.host.asked[0].headers)


async def test_a_caller_who_does_not_record_has_no_spans_here() -> None:
    async with traced() as at:
        metadata = (("traceparent", f"00-{TRACE}-{CALLER}-00"),)
        await at.stub.Generate(GenerateRequest(prompt="a boat", model="local/compose"), metadata=metadata)
        assert at.spans == []


class Slow(FakeProvider):
    """Makes an image when it is told to; runs one call at a time."""

    def __init__(self, *errors: Exception) -> None:
        cards = [card("fake/slow", OperationKind.GENERATE, parameter("prompt", TextRange()))]
        super().__init__(cards, run=self._run)
        self.settings = self.Settings(concurrency=1, patience_seconds=0)
        self.may_go = asyncio.Event()
        self.at_work = 0
        self.errors = list(errors)

    async def _run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        self.at_work += 1
        await self.may_go.wait()
        if self.errors:
            raise self.errors.pop()
        yield picture(pictures.plain(8, 8))


async def test_waiting_for_a_slot_is_told_apart_from_work() -> None:
    provider = Slow()
    async with traced(provider) as at:
        first = asyncio.ensure_future(_all(at.stub.Stream(stream_of(model="fake/slow"))))
        await until(lambda: provider.at_work == 1)
        async for answer in at.stub.Stream(stream_of(model="fake/slow")):
            if answer.event.WhichOneof("kind") == "queued":
                provider.may_go.set()
        await first
        spans = at.spans
    waits = [span for span in spans if span.name == "wait"]
    assert [span.attributes for span in waits] == [{"gen_ai.provider.name": "fake"}]
    (wait,) = waits
    (work,) = [span for span in spans if span.name == "generate fake/slow" and span.parent_id == wait.parent_id]
    assert wait.ended <= work.began
    (rpc,) = [span for span in spans if span.span_id == wait.parent_id]
    assert ("queued", {"celeste.position": 1}) in rpc.events


async def _all(call: object) -> None:
    async for _ in call:  # type: ignore[attr-defined]
        pass


async def test_each_try_is_a_span() -> None:
    provider = Slow(ProviderUnavailable("a secret reason"))
    provider.may_go.set()
    async with traced(provider) as at:
        await _all(at.stub.Stream(stream_of(model="fake/slow")))
        spans = at.spans
    tries = sorted((span for span in spans if span.name == "generate fake/slow"), key=lambda span: span.began)
    assert [span.attributes.get("error.type") for span in tries] == ["PROVIDER_UNAVAILABLE", None]
    (rpc,) = [span for span in spans if span.name == STREAM]
    (retrying,) = [facts for name, facts in rpc.events if name == "retrying"]
    assert (retrying["error.type"], retrying["celeste.try"]) == ("PROVIDER_UNAVAILABLE", 2)
    assert "a secret reason" not in repr(spans)


async def test_a_failed_call_has_its_reason_and_nothing_that_the_caller_chose() -> None:
    async with traced() as at:
        with pytest.raises(grpc.aio.AioRpcError):
            await at.stub.Generate(GenerateRequest(prompt="a secret wish", model="fake/secret-model"))
        (rpc,) = at.spans
    assert rpc.is_failed
    assert rpc.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert rpc.attributes["error.type"] == "MODEL_NOT_FOUND"
    assert "secret" not in repr(rpc)


async def test_a_call_that_is_cancelled_or_late_says_so() -> None:
    provider = Slow()
    async with traced(provider) as at:
        call = at.stub.Generate(GenerateRequest(prompt="a boat", model="fake/slow"))
        await until(lambda: provider.at_work == 1)
        call.cancel()
        await until(lambda: len(at.kept) == 2)
        cancelled = at.named(GENERATE)
        for number, timeout in enumerate((0.2, 1, 5, 25)):
            trace = f"{number + 1:032x}"
            metadata = [("traceparent", f"00-{trace}-{CALLER}-01")]
            with pytest.raises(grpc.aio.AioRpcError):
                await at.stub.Generate(
                    GenerateRequest(prompt="a boat", model="fake/slow"), metadata=metadata, timeout=timeout
                )
            if provider.at_work == 2:  # on a busy machine, a short time is over before that
                break
        await until(lambda: sum(span.trace_id == trace for span in at.kept) == 2)
        (late,) = [span for span in at.spans if (span.name, span.trace_id) == (GENERATE, trace)]
        rpcs = [cancelled, late]
    assert [span.attributes["rpc.response.status_code"] for span in rpcs] == ["CANCELLED", "DEADLINE_EXCEEDED"]
    assert [span.attributes["error.type"] for span in rpcs] == ["CANCELLED", "DEADLINE_EXCEEDED"]


async def test_decoders_and_other_services_have_spans_too() -> None:
    async with traced() as at:
        await at.stub.Analyze(AnalyzeRequest(image=ImageInput(data=pictures.photo(64)), model="local/analyze"))
        await ModelServiceStub(at.channel).ListModels(ListModelsRequest())
        names = {span.name for span in at.spans}
    assert {"worker guard", "celeste.image.v1.ModelService/ListModels", "analyze local/analyze"} <= names


@pytest.fixture
def _metrics() -> Iterator[None]:
    begin_recording(INSTRUMENTS)
    yield
    end_recording()


@pytest.mark.usefixtures("_metrics")
async def test_calls_are_measured_without_traces() -> None:
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = ImageServiceStub(channel)
        await stub.Generate(GenerateRequest(prompt="a boat", model="local/compose"))
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Generate(GenerateRequest(prompt="a boat", model="fake/none"))
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/celeste.image.v1.ImageService/Alice")(b"")
    counts = {labels: sum(spread.counts) for labels, spread in RPC_DURATION.read()}
    assert counts == {(GENERATE, "OK"): 1, (GENERATE, "NOT_FOUND"): 1, ("_OTHER", "UNIMPLEMENTED"): 1}
    assert [labels for labels, _ in RPC_ERRORS.read()] == [(GENERATE, "MODEL_NOT_FOUND")]
    tries = {labels: sum(spread.counts) for labels, spread in PROVIDER_DURATION.read()}
    assert tries == {("generate", "local", "local/compose", ""): 1}
