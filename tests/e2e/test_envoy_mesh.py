"""Two replicas behind a real Envoy with mutual TLS, with the configuration of operators, `deploy/envoy/mesh.yaml`."""

import asyncio
import contextlib
import hashlib
import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1.health_pb2 import HealthCheckResponse
from structlog.testing import capture_logs
from tests.support import pictures
from tests.support.certificates import CALLER, LOOPBACK, Certificates, Identity
from tests.support.envoy import MESH, Mesh, mesh
from tests.support.fake_provider import PAINTER, FakeProvider
from tests.support.grpc_calls import reason
from tests.support.otlp import Receiver, receiving
from tests.support.waiting import until

from celeste_image.app import App, build_app
from celeste_image.config import Settings
from celeste_image.core.events import Event, Picture
from celeste_image.emulate import EMULATED, emulating
from celeste_image.rpc.server import Server
from celeste_image.telemetry.traces import open_tracer
from celeste_image.v1 import (
    ArtifactServiceStub,
    GenerateRequest,
    ImageServiceStub,
    ListArtifactsRequest,
    Operation,
    StreamRequest,
)

PROXY = "spiffe://celeste.test/proxy/envoy"
READINESS = "readiness"
HEALTHY, FAILED = "healthy", "failed_active_health_check"
KEY = "a key of two hundred and fifty-six bits"
SERVER_UNAVAILABLE = ("UNAVAILABLE", "SERVER_UNAVAILABLE", False)


class Painter(FakeProvider):
    """A provider whose calls for `slow` prompts never end; those for `held` ones wait until they are let go.

    Attributes:
        asked: The prompts that it got.
        times: When each came, in seconds of the monotonic clock.
        running: Calls that run now.
    """

    def __init__(self, concurrency: int = 100, queue: int = 100) -> None:
        super().__init__([PAINTER], run=self._paint)
        self.settings = self.Settings(concurrency=concurrency, queue=queue)
        self.go = asyncio.Event()
        self.asked: list[str] = []
        self.times: list[float] = []
        self.running = 0

    async def _paint(self, request: Any, candidate: Any) -> AsyncGenerator[Event, None]:
        self.asked.append(request.prompt)
        self.times.append(time.monotonic())
        self.running += 1
        try:
            if request.prompt in ("slow", "held"):
                await (asyncio.Event() if request.prompt == "slow" else self.go).wait()
            yield Picture(pictures.plain(8, 8), "image/png", 8, 8)
        finally:
            self.running -= 1


@dataclass
class Marks:
    """The pauses of a server that ends: each lasts until the test lets it pass."""

    asked: int = 0
    passed: list[asyncio.Event] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.asked += 1
        self.passed.append(asyncio.Event())
        await self.passed[-1].wait()


@dataclass
class Replica:
    """A server of the mesh."""

    address: str
    server: Server
    app: App
    painter: Painter
    marks: Marks
    ending: asyncio.Future[None] | None = None

    def stop(self, drain_seconds: float = 0, notice_seconds: float = 0) -> asyncio.Future[None]:
        """Has the server end, once."""
        self.ending = self.ending or asyncio.ensure_future(self.server.stop(drain_seconds, notice_seconds))
        return self.ending

    def cut(self) -> asyncio.Future[None]:
        """Has the server end at once."""
        self.server.hurry()
        return self.stop()


@dataclass
class Site:
    """Two replicas behind Envoy, and who may call."""

    mesh: Mesh
    first: Replica
    second: Replica
    certificates: Certificates

    @property
    def prompts(self) -> list[list[str]]:
        """What each replica was asked."""
        return [self.first.painter.asked, self.second.painter.asked]

    def channel(self, caller: Identity | None = None, *options: tuple[str, Any]) -> grpc.aio.Channel:
        """Opens a channel to Envoy, by default with the certificate of the known caller."""
        return secured(self.mesh.address, self.certificates, caller or self.certificates.client, *options)


def secured(
    address: str, certificates: Certificates, caller: Identity | None, *options: tuple[str, Any]
) -> grpc.aio.Channel:
    roots = certificates.authority.certificate.read_bytes()
    pair = (caller.key.read_bytes(), caller.certificate.read_bytes()) if caller else (None, None)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(roots, *pair), options=options)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates") / "all")


@contextlib.asynccontextmanager
async def replica(
    certificates: Certificates, identity: Identity | None = None, **settings: Any
) -> AsyncIterator[Replica]:
    """Runs a server that wants certificates of callers."""
    identity = identity or certificates.server
    tls = {
        "certificate_file": identity.certificate,
        "key_file": identity.key,
        "client_ca_file": certificates.authority.certificate,
    }
    painter, marks = Painter(), Marks()
    tracer = open_tracer(os.environ)
    more = {"server": {"tls": tls} | settings.pop("server", {})} | settings
    more["store"] = {"url": "memory:///", "reserve_bytes": 0} | more.get("store", {})
    app = build_app(Settings.model_validate(more), [painter], tracer=tracer)
    running = Server(app, marks.sleep)
    (address,) = await running.start(["127.0.0.1:0"])
    made = Replica(address, running, app, painter, marks)
    try:
        yield made
    finally:
        await made.cut()


@contextlib.asynccontextmanager
async def behind_envoy(
    certificates: Certificates, collector: str = "127.0.0.1:1", **settings: Any
) -> AsyncIterator[Site]:
    async with contextlib.AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(replica(certificates, **settings)) for _ in range(2)]
        proxy = certificates.authority.issue("proxy", *LOOPBACK, f"URI:{PROXY}")
        running = mesh([first.address, second.address], proxy, certificates.authority.certificate, collector)
        yield Site(await stack.enter_async_context(running), first, second, certificates)


def generate(prompt: str = "a fox") -> GenerateRequest:
    return GenerateRequest(prompt=prompt, model="fake/one")


def streamed(prompt: str) -> StreamRequest:
    return StreamRequest(operation=Operation(generate=generate(prompt)))


async def outcome(call: Any) -> Any:
    """Returns OK, or why a call failed."""
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return reason(error)
    return "OK"


# Which replica


async def test_calls_go_to_the_replicas_in_turn(certificates: Certificates) -> None:
    async with behind_envoy(certificates) as site, site.channel() as channel:
        for number in range(6):
            await ImageServiceStub(channel).Generate(generate(str(number)))
        assert sorted(site.prompts) == [["0", "2", "4"], ["1", "3", "5"]]


async def test_a_replica_that_is_not_ready_gets_no_calls_until_it_is(certificates: Certificates) -> None:
    async with behind_envoy(certificates) as site, site.channel() as channel:
        down, other = site.first, site.second
        for status, state, turns in (
            (HealthCheckResponse.NOT_SERVING, FAILED, {other.address}),
            (HealthCheckResponse.SERVING, HEALTHY, {down.address, other.address}),
            (HealthCheckResponse.NOT_SERVING, FAILED, {other.address}),
        ):
            await down.server.health.servicer.set(READINESS, status)
            await site.mesh.until_states({down.address: state, other.address: HEALTHY})
            async with asyncio.timeout(10):  # the thread that sends the calls learns it a moment later
                while {await used(site, channel) for _ in range(4)} != turns:
                    pass
            assert {await used(site, channel) for _ in range(8)} == turns


async def used(site: Site, channel: grpc.aio.Channel) -> str:
    """Makes a call, and returns the address of the replica that got it."""
    before = len(site.first.painter.asked)
    await ImageServiceStub(channel).Generate(generate())
    return (site.first if len(site.first.painter.asked) > before else site.second).address


# Who calls


async def test_envoy_lets_in_whom_the_configuration_names(certificates: Certificates) -> None:
    async with behind_envoy(certificates) as site:
        async with site.channel() as channel:
            await ImageServiceStub(channel).Generate(generate())
        strangers = {
            "no certificate": None,
            "another authority": certificates.client_of_other_authority,
            "expired": certificates.expired_client,
            "another URI": certificates.client_of("spiffe://celeste.test/else/acme"),
            "another trust domain": certificates.client_of(CALLER.replace("celeste.test", "celeste.test.example")),
            "a DNS name alone": certificates.client_without_uri,
        }
        for why, stranger in strangers.items():
            async with secured(site.mesh.address, certificates, stranger) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ImageServiceStub(channel).Generate(generate())
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE, why
        assert len(site.first.painter.asked) + len(site.second.painter.asked) == 1


@pytest.mark.faults
async def test_a_caller_does_not_call_an_envoy_with_a_wrong_certificate(certificates: Certificates) -> None:
    async with replica(certificates) as one:
        elsewhere = certificates.authority.issue("elsewhere", "DNS:elsewhere.test", f"URI:{PROXY}")
        async with mesh([one.address], elsewhere, certificates.authority.certificate) as running:
            async with secured(running.address, certificates, certificates.client) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ImageServiceStub(channel).Generate(generate())
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["server_elsewhere", "server_of_other_authority"])
async def test_envoy_uses_no_replica_with_a_wrong_certificate(certificates: Certificates, kind: str) -> None:
    async with replica(certificates) as good, replica(certificates, getattr(certificates, kind)) as wrong:
        proxy = certificates.authority.issue("proxy", *LOOPBACK, f"URI:{PROXY}")
        addresses = [wrong.address, good.address]
        async with mesh(addresses, proxy, certificates.authority.certificate, healthy=1) as running:
            async with secured(running.address, certificates, certificates.client) as channel:
                for _ in range(4):
                    await ImageServiceStub(channel).Generate(generate())
            assert running.states()[wrong.address] != HEALTHY
        assert (len(wrong.painter.asked), len(good.painter.asked)) == (0, 4)


async def test_a_replica_knows_callers_by_their_keys_and_not_by_the_proxy(certificates: Certificates) -> None:
    keys = {
        name: {"tenant": name, "sha256": hashlib.sha256(f"{KEY} {name}".encode()).hexdigest()}
        for name in ("acme", "zeta")
    }
    rules = {"all": {"uri": "spiffe://celeste.test/tenant/{tenant}/caller/{name}"}}
    async with behind_envoy(certificates, callers={"keys": keys, "certificates": rules}) as site:
        async with site.channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:  # the proxy's own certificate names no caller
                await ImageServiceStub(channel).Generate(generate())
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            listed = {}
            for name in keys:
                metadata = (("authorization", f"Bearer {KEY} {name}"),)
                for _ in range(2):
                    await ImageServiceStub(channel).Generate(generate(name), metadata=metadata)
                artifacts = ArtifactServiceStub(channel)
                listed[name] = (await artifacts.ListArtifacts(ListArtifactsRequest(), metadata=metadata)).artifacts
        assert sorted(site.prompts) == [["acme", "zeta"]] * 2
        assert all(listed.values())


# Time, retries, and the end


def route() -> dict[str, Any]:
    (listener,) = yaml.safe_load(MESH.read_text())["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert (manager["stream_idle_timeout"], manager["request_timeout"]) == ("0s", "0s")
    return dict(route["route"])


def test_no_time_limit_of_envoy_ends_a_long_generation() -> None:
    assert route()["timeout"] == "0s", "without this, Envoy's is 15 s"
    assert "max_stream_duration" not in route()


def test_envoy_repeats_only_what_no_replica_has_begun() -> None:
    retries = route()["retry_policy"]
    assert set(retries["retry_on"].split(",")) == {"connect-failure", "refused-stream", "reset-before-request"}
    assert retries["num_retries"] <= 2


@pytest.mark.faults
async def test_a_generation_of_a_minute_passes(certificates: Certificates) -> None:
    async with behind_envoy(certificates) as site, site.channel() as channel:
        calls = [
            asyncio.ensure_future(ImageServiceStub(channel).Generate(generate("held"), timeout=120)),
            asyncio.ensure_future(outcome(ImageServiceStub(channel).Stream(streamed("held")))),
        ]
        await asyncio.sleep(61)
        assert not any(call.done() for call in calls)
        site.first.painter.go.set()
        site.second.painter.go.set()
        assert (await calls[0]).result.images
        assert await calls[1] == "OK"


@pytest.mark.faults
async def test_a_call_that_may_have_begun_is_not_repeated(certificates: Certificates) -> None:
    """A replica that dies with a call in it: the caller is told, and no other replica does the work again."""
    async with behind_envoy(certificates) as site, site.channel() as channel:
        call = asyncio.ensure_future(ImageServiceStub(channel).Generate(generate("slow")))
        await until(lambda: site.first.painter.running + site.second.painter.running == 1)
        (busy,) = [each for each in (site.first, site.second) if each.painter.running]
        await busy.server._server.stop(0)  # as by a kill: connections are cut
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert len(site.first.painter.asked) + len(site.second.painter.asked) == 1


RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": "celeste.image.v1.ImageService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.001s",
                "maxBackoff": "0.001s",
                "backoffMultiplier": 1,
                "retryableStatusCodes": ["RESOURCE_EXHAUSTED", "UNAVAILABLE"],
            },
        }
    ]
}


async def test_a_client_waits_as_long_as_a_replica_asks(certificates: Certificates) -> None:
    """gRPC's own retries, which would come after a millisecond, wait for the pushback that passed through Envoy."""
    config = ("grpc.service_config", json.dumps(RETRIES)), ("grpc.enable_retries", 1)
    wait = {"budget_wait_seconds": 0.05}
    async with behind_envoy(certificates, server=wait) as site, site.channel(None, *config) as channel:
        with contextlib.ExitStack() as stack:
            for each in (site.first, site.second):
                stack.enter_context(each.app.budget.count(each.app.budget.total_bytes))
            with capture_logs() as lines:
                call = asyncio.ensure_future(ImageServiceStub(channel).Generate(generate()))
                await until(lambda: [line for line in lines if line.get("outcome") == "MEMORY_BUDGET"])
                refused = time.monotonic()
        assert (await call).result.images
        (came,) = site.first.painter.times + site.second.painter.times
        assert came - refused > 0.5, "the replica asks for a second"
        assert len([line for line in lines if line.get("outcome") == "MEMORY_BUDGET"]) == 1


async def test_a_replica_that_drains_under_twenty_streams_fails_no_call(certificates: Certificates) -> None:
    """Streams end well or as cleanly UNAVAILABLE, and new calls go on at the other replica all the time."""
    async with behind_envoy(certificates) as site, site.channel() as channel:
        ending, other = site.first, site.second
        images = ImageServiceStub(channel)
        prompts = ["held"] * 10 + ["slow"] * 10
        streams = [asyncio.ensure_future(outcome(images.Stream(streamed(prompt)))) for prompt in prompts]
        await until(lambda: ending.painter.running == other.painter.running == 10)
        held = {each.address: each.painter.asked.count("held") for each in (ending, other)}
        over = asyncio.Event()
        steady = asyncio.ensure_future(keep_calling(images, over))
        stopping = ending.stop(60, 5)
        await until(lambda: ending.marks.asked)  # NOT_SERVING, and calls are still taken
        await site.mesh.until_states({ending.address: FAILED})
        before = await left_alone(ending, other)  # Envoy's threads know it later than its admin
        ending.marks.passed[0].set()  # GOAWAY
        await until(lambda: ending.marks.asked == 2)
        ending.painter.go.set()
        await until(lambda: sum(stream.done() for stream in streams) == held[ending.address])
        for mark in ending.marks.passed:
            mark.set()  # the end of the drain
        await stopping
        assert len(ending.painter.asked) == before
        other.painter.go.set()
        over.set()
        assert set(await steady) == {"OK"}
        await until(lambda: other.painter.running == 10 - held[other.address])
        await other.cut()
        outcomes = [await stream for stream in streams]
        assert sorted(map(str, outcomes)) == sorted(map(str, ["OK"] * 10 + [SERVER_UNAVAILABLE] * 10))


async def left_alone(ending: Replica, other: Replica) -> int:
    """Waits until ten calls in a row go to the other replica. Returns how many this one had."""
    while True:
        before, calls = len(ending.painter.asked), len(other.painter.asked)
        await until(lambda calls=calls: len(other.painter.asked) >= calls + 10)  # type: ignore[misc]
        if len(ending.painter.asked) == before:
            return before


async def keep_calling(images: Any, over: asyncio.Event) -> list[Any]:
    """Makes one call after the other, and returns how each ended."""
    outcomes = []
    while not over.is_set():
        outcomes.append(await outcome(images.Stream(streamed("steady"))))
    return outcomes


# Traces


async def test_one_trace_goes_through_envoy_the_server_and_the_vendor(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        async with emulating([EMULATED["openai"]]) as emulator:
            table = emulator["openai"].table | {"key": "sk-a", "allow_private": True}
            settings = {"providers": {"openai": table}}
            collector = f"127.0.0.1:{receiver.port}"
            async with behind_envoy(certificates, collector, **settings) as site, site.channel() as channel:
                request = GenerateRequest(prompt="a boat", model="openai/gpt-image-2")
                metadata = (("traceparent", f"00-{trace}-{parent}-01"),)
                await ImageServiceStub(channel).Generate(request, metadata=metadata)
                await asyncio.to_thread(receiver.wait_for, lambda: len(envoys(receiver, trace)) == 2)
            (call,) = emulator.ledger.of("openai", "call")
        spans = {span.span_id: span for span in receiver.trace(trace)}
        (ingress,) = [span for span in spans.values() if span.parent_id == parent]
        above = list(ancestors(spans, call.traceparent.split("-")[2]))
        assert ingress in above
        assert "celeste.image.v1.ImageService/Generate" in [span.name for span in above]
        assert {span.span_id for span in envoys(receiver, trace)} < {span.span_id for span in above}


def envoys(receiver: Receiver, trace: str) -> list[Any]:
    """Returns the spans of Envoy: that of the caller's request, and that of the request to a replica."""
    return [span for span in receiver.trace(trace) if "upstream_cluster" in span.attributes]


def ancestors(spans: dict[str, Any], span_id: str) -> Any:
    """Yields a span and those above it."""
    while span := spans.get(span_id):
        yield span
        span_id = span.parent_id
