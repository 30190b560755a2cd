"""Metrics of real calls, as Prometheus gets them, and how many time series callers can cause."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import pytest
from docs.metrics_page import most_series
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from tests.support import pictures
from tests.support.fake_provider import PLAIN, FakeProvider
from tests.support.servers import running
from tests.support.waiting import until

from celeste_image.app import App
from celeste_image.core.call import Candidate
from celeste_image.core.errors import ProviderFailed
from celeste_image.core.events import Event, Picture
from celeste_image.core.request import Generate, ImageRequest
from celeste_image.telemetry.instruments import INSTRUMENTS
from celeste_image.telemetry.metrics import open_metrics
from celeste_image.telemetry.prometheus import prometheus_name
from celeste_image.telemetry.series import take_exemplars
from celeste_image.telemetry.tracing import Tracer, exemplar
from celeste_image.v1 import (
    CACHE_MODE_BYPASS,
    GenerateRequest,
    GetServerInfoRequest,
    ImageServiceStub,
    ModelServiceStub,
    RequestOptions,
)

GENERATE = "celeste.image.v1.ImageService/Generate"
OPENMETRICS = {"accept": "application/openmetrics-text;version=1.0.0"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass
class Measured:
    """A server, and the address of its metrics."""

    channel: grpc.aio.Channel
    address: str
    app: App

    async def generate(self, **facts: object) -> str:
        """Returns the gRPC code of a call."""
        try:
            await ImageServiceStub(self.channel).Generate(GenerateRequest(**facts), timeout=60)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    async def scrape(self) -> str:
        async with aiohttp.ClientSession(trust_env=False) as session:
            async with session.get(f"http://{self.address}/metrics", headers=OPENMETRICS) as answer:
                return await answer.text()

    async def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """Returns the samples of one name by their label values, in the order of the labels' names."""
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for sample in samples(await self.scrape())
            if sample.name == name
        }


def samples(text: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


class Painter(FakeProvider):
    """A provider that fails when the prompt asks for it, and that takes ids outside its catalog."""

    model_form = "[a-z0-9-]+"

    def __init__(self) -> None:
        super().__init__([PLAIN], run=self._paint)

    async def _paint(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        assert isinstance(request, Generate)
        if "fail" in request.prompt:
            raise ProviderFailed(f"the vendor says {request.prompt}")
        yield Picture(pictures.plain(8, 8), "image/png", 8, 8)


@contextlib.asynccontextmanager
async def measured(tracer: Tracer | None = None, **settings: object) -> AsyncIterator[Measured]:
    metrics = open_metrics("127.0.0.1:0", {})
    assert metrics
    try:
        address = await metrics.start()
        catalog = {"allow_unknown": ["fake"]}
        async with running([Painter()], tracer=tracer, catalog=catalog, **settings) as server:
            async with grpc.aio.insecure_channel(server.address) as channel:
                yield Measured(channel, address, server.app)
    finally:
        await metrics.close()


async def test_a_call_is_counted_with_what_it_made() -> None:
    async with measured() as at:
        for prompt in ("a fox", "a cat", "fail"):
            await at.generate(model="fake/plain", prompt=prompt)
        await at.generate(model="fake/unheard-of", prompt="a fox")
        await at.generate(model="nobody/knows", prompt="a fox")
        durations = await at.samples("rpc_server_call_duration_seconds_count")
        assert durations == {
            (GENERATE, "OK"): 3,
            (GENERATE, "FAILED_PRECONDITION"): 1,
            (GENERATE, "NOT_FOUND"): 1,
        }
        assert await at.samples("celeste_rpc_errors_total") == {
            ("MODEL_NOT_FOUND", GENERATE): 1,
            ("PROVIDER_FAILED", GENERATE): 1,
        }
        assert await at.samples("celeste_rpc_active") == {(GENERATE,): 0}
        assert (await at.samples("celeste_rpc_received_bytes_total"))[GENERATE,] == sum(
            GenerateRequest(model=model, prompt=prompt).ByteSize()
            for model, prompt in [
                *(("fake/plain", prompt) for prompt in ("a fox", "a cat", "fail")),
                ("fake/unheard-of", "a fox"),
                ("nobody/knows", "a fox"),
            ]
        )
        made = {("generate", "fake", "fake/plain"): 2, ("generate", "fake", "_OTHER"): 1}
        assert await at.samples("celeste_images_total") == made
        assert await at.samples("celeste_images_pixels_total") == {labels: 64 * n for labels, n in made.items()}
        size = len(pictures.plain(8, 8))
        assert await at.samples("celeste_images_size_bytes_total") == {labels: size * n for labels, n in made.items()}
        tries = await at.samples("gen_ai_client_operation_duration_seconds_count")
        assert tries == {
            ("", "generate", "fake", "fake/plain"): 2,
            ("PROVIDER_FAILED", "generate", "fake", "fake/plain"): 1,
            ("", "generate", "fake", "_OTHER"): 1,
        }
        assert (await at.samples("celeste_provider_wait_duration_seconds_count"))["fake",] == 4
        assert (await at.samples("celeste_provider_places"))["fake",] == Painter().settings.concurrency
        puts = await at.samples("celeste_store_operation_duration_seconds_count")
        assert puts["", "put"] == 3
        await until(lambda: at.app.budget.held_bytes == 0)  # a moment after the last response
        held = await at.samples("celeste_budget_held_bytes")
        assert held == {("calls",): 0, ("chunks",): 0}


async def test_a_cached_result_is_no_image_that_was_made(tmp_path: Path) -> None:
    async with measured(store={"url": (tmp_path / "store").as_uri()}, cache={"enabled": True}) as at:
        for _ in range(3):
            assert await at.generate(model="fake/plain", prompt="a fox") == "OK"
        bypass = RequestOptions(cache_mode=CACHE_MODE_BYPASS)
        assert await at.generate(model="fake/plain", prompt="a fox", options=bypass) == "OK"
        assert await at.samples("celeste_results_total") == {("generate", "made"): 2, ("generate", "cached"): 2}
        assert await at.samples("celeste_images_total") == {("generate", "fake", "fake/plain"): 2}
        assert await at.samples("celeste_cache_requests_total") == {("miss",): 1, ("hit",): 2, ("bypassed",): 1}
        assert await at.samples("celeste_cache_stored_total") == {(): 1}
        size = await at.samples("celeste_cache_size_bytes")
        assert size["rows",] > len(pictures.plain(8, 8))
        assert size["memory",] > 0


async def test_an_exemplar_has_the_trace_of_the_caller() -> None:
    take_exemplars(exemplar)
    async with measured(Tracer(lambda span: None)) as at:
        stub = ImageServiceStub(at.channel)
        for sampled in ("01", "00"):
            trace = TRACE if sampled == "01" else TRACE[::-1]
            metadata = [("traceparent", f"00-{trace}-b7ad6b7169203331-{sampled}")]
            await stub.Generate(GenerateRequest(model="fake/plain", prompt="a fox"), metadata=metadata)
        text = await at.scrape()
    found = {
        sample.name: sample.exemplar.labels["trace_id"]
        for sample in samples(text)
        if sample.exemplar and sample.name.startswith(("rpc_", "gen_ai_", "celeste_"))
    }
    assert found == dict.fromkeys(
        (
            "rpc_server_call_duration_seconds_bucket",
            "gen_ai_client_operation_duration_seconds_bucket",
            "celeste_provider_wait_duration_seconds_bucket",
            "celeste_store_operation_duration_seconds_bucket",
        ),
        TRACE,
    )


async def vary(at: Measured, number: int) -> None:
    """Calls with what no other call has: a prompt, a model, a request id, metadata, a method."""
    facts = {"prompt": f"prompt-{number}"}
    await at.generate(model="fake/plain", request_id=f"{number:08d}-0000-4000-8000-000000000000", **facts)
    await at.generate(model=f"fake/model-{number}", request_id=f"{number:08d}-0000-4000-9000-000000000000", **facts)
    await at.generate(model=f"strange-{number}/up", prompt=f"fail-{number}")
    await at.generate(model="fake/plain", prompt=f"fail-{number}")
    for method in (f"/celeste.image.v1.ImageService/Method{number}", f"/strange.v{number}.Up/Call"):
        with contextlib.suppress(grpc.aio.AioRpcError):
            await at.channel.unary_unary(method)(b"", metadata=[(f"x-strange-{number}", f"value-{number}")])
    await ModelServiceStub(at.channel).GetServerInfo(
        GetServerInfoRequest(), metadata=[("user-agent", f"strange-{number}")]
    )


@pytest.mark.parametrize("calls", [50, pytest.param(10_000, marks=pytest.mark.faults)])
async def test_callers_can_not_make_time_series(calls: int) -> None:
    """Each round has seven calls; the number of series is the same after the first rounds and after all."""

    def series(text: str) -> set[tuple[str, ...]]:
        own = ("rpc_", "gen_ai_", "http_", "celeste_")
        found = [sample for sample in samples(text) if sample.name.startswith(own)]
        return {(sample.name, *sorted(map("=".join, sample.labels.items()))) for sample in found}

    gate = asyncio.Semaphore(20)

    async def one(number: int) -> None:
        async with gate:
            await vary(at, number)

    async with measured() as at:
        await asyncio.gather(*map(one, range(10)))
        before = series(await at.scrape())
        await asyncio.gather(*map(one, range(10, 10 + calls // 7)))
        text = await at.scrape()
        sizes = {
            "methods": 2,
            "providers": len(at.app.registry.providers),
            "models": len(at.app.registry.cards),
            "categories": 0,
            "hosts": 0,
            "engines": len(at.app.workers.pools),
        }
    assert series(text) == before
    counts: Counter[str] = Counter()
    for name, *_ in before:
        counts[re.sub("_(bucket|sum|count)$", "", name)] += 1
    for each in INSTRUMENTS:
        assert counts[prometheus_name(each)] <= most_series(each, sizes)
    outcomes = 5  # three of Generate, one of GetServerInfo, and one of all methods that the server does not have
    assert counts["rpc_server_call_duration_seconds"] == outcomes * 18
    assert counts["celeste_images_total"] == 2, "of the model in the catalog, and of all others"
    for made in ("prompt-", "-4000-8000-", "-4000-9000-", "model-", "strange", "fail-", "Method", "value-"):
        assert made not in text
    ended = {
        (sample.labels["rpc_method"], sample.labels["rpc_response_status_code"])
        for sample in samples(text)
        if sample.name.startswith("rpc_")
    }
    assert ended == {
        *((GENERATE, code) for code in ("OK", "NOT_FOUND", "FAILED_PRECONDITION")),
        ("celeste.image.v1.ModelService/GetServerInfo", "OK"),
        ("_OTHER", "UNIMPLEMENTED"),
    }
