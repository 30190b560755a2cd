"""Metrics as others get them: by HTTP for Prometheus, and by OTLP from a real exporter to a real receiver."""

import asyncio
from collections.abc import Iterator, Mapping

import aiohttp
import pytest
from opentelemetry.proto.metrics.v1 import metrics_pb2
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from structlog.testing import capture_logs
from tests.support.otlp import Receiver, receiving
from tests.support.ports import free_port

from celeste_image.telemetry import instruments as of
from celeste_image.telemetry.metrics import LoopDelay, Metrics, open_metrics
from celeste_image.telemetry.series import is_recording, take_exemplars

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0x00F067AA0BA902B7
OPENMETRICS = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
NAME = "celeste.image.v1.ImageService/Generate"


def last(receiver: Receiver) -> dict[str, metrics_pb2.Metric]:
    """Returns the metrics of the last message by name."""
    (resource,) = receiver.metrics[-1].resource_metrics
    (scope,) = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def record() -> None:
    """Records some values, one of them with an exemplar."""
    of.METHOD.allow([NAME])
    of.RPC_RECEIVED.add(300, NAME)
    of.RPC_DURATION.record(0.02, NAME, "OK")
    take_exemplars(lambda: (TRACE, SPAN))
    of.RPC_DURATION.record(7.0, NAME, "OK")
    of.BUDGET_HELD.watch(lambda: [(5.0, ("calls",)), (6.0, ("chunks",))])


async def scrape(address: str, headers: Mapping[str, str], path: str = "/metrics") -> tuple[str, str, int]:
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(f"http://{address}{path}", headers=headers) as answer,
    ):
        return await answer.text(), answer.headers["content-type"], answer.status


async def started(environment: Mapping[str, str], listen: str = "") -> tuple[Metrics, str]:
    metrics = open_metrics(listen, environment)
    assert metrics
    return metrics, await metrics.start()


async def test_prometheus_reads_openmetrics_with_exemplars() -> None:
    metrics, address = await started({}, "127.0.0.1:0")
    try:
        record()
        text, content_type, status = await scrape(address, OPENMETRICS)
        plain, plain_type, _ = await scrape(address, {"accept": "text/plain"})
        *_, lost = await scrape(address, {}, "/")
    finally:
        await metrics.close()
    assert (status, lost) == (200, 404)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert plain_type.startswith("text/plain; version=")
    families = {family.name: family for family in parse_openmetrics(text)}
    samples = {sample.labels["le"]: sample for sample in families["rpc_server_call_duration_seconds"].samples[:16]}
    assert (samples["0.01"].value, samples["0.025"].value, samples["+Inf"].value) == (0, 1, 2)
    assert samples["10.0"].labels == {"rpc_method": NAME, "rpc_response_status_code": "OK", "le": "10.0"}
    exemplar = samples["10.0"].exemplar
    assert exemplar
    assert exemplar.labels == {"trace_id": f"{TRACE:032x}", "span_id": f"{SPAN:016x}"}
    assert exemplar.value == 7.0
    assert samples["0.025"].exemplar is None
    for found in (families, {family.name: family for family in parse_text(plain)}):
        assert [sample.value for sample in found["celeste_rpc_received_bytes"].samples] == [300]
        assert {s.labels["budget"]: s.value for s in found["celeste_budget_held_bytes"].samples} == {
            "calls": 5,
            "chunks": 6,
        }
        assert found["process_resident_memory_bytes"].samples[0].value > 1 << 20
    assert families["target"].samples[0].labels["service_name"] == "celeste"
    assert not is_recording()


async def test_otlp_has_the_values_that_prometheus_has(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OTEL_SERVICE_NAME": "images",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    metrics, address = await started(variables, "127.0.0.1:0")
    record()
    text, *_ = await scrape(address, OPENMETRICS)
    await metrics.close()
    families = {family.name: family for family in parse_openmetrics(text)}
    found = last(receiver)
    assert receiver.headers[-1]["api-key"] == "secret"
    resource = {
        pair.key: pair.value.string_value for pair in receiver.metrics[-1].resource_metrics[0].resource.attributes
    }
    assert resource["service.name"] == "images"
    assert resource["deployment.environment.name"] == "test"

    (point,) = found["rpc.server.call.duration"].histogram.data_points
    assert found["rpc.server.call.duration"].unit == "s"
    assert {pair.key: pair.value.string_value for pair in point.attributes} == {
        "rpc.method": NAME,
        "rpc.response.status_code": "OK",
    }
    assert (point.count, point.sum) == (2, 7.02)
    buckets = [
        sample for sample in families["rpc_server_call_duration_seconds"].samples if sample.name.endswith("_bucket")
    ]
    assert [sum(point.bucket_counts[: i + 1]) for i in range(len(point.bucket_counts))] == [s.value for s in buckets]
    assert [float(sample.labels["le"]) for sample in buckets[:-1]] == list(point.explicit_bounds)
    (exemplar,) = point.exemplars
    assert (exemplar.trace_id, exemplar.span_id) == (TRACE.to_bytes(16, "big"), SPAN.to_bytes(8, "big"))
    assert exemplar.as_double == 7.0
    assert 0 < point.start_time_unix_nano <= exemplar.time_unix_nano <= point.time_unix_nano

    received = found["celeste.rpc.received"]
    assert received.sum.is_monotonic
    assert received.sum.aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert [point.as_double for point in received.sum.data_points] == [300]
    held = found["celeste.budget.held"].gauge.data_points
    assert {point.attributes[0].value.string_value: point.as_double for point in held} == {"calls": 5, "chunks": 6}
    assert "celeste.images" not in found, "a metric without values is not sent"


async def test_metrics_are_exported_at_the_interval(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", receiver.endpoint)
    variables = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": receiver.endpoint, "OTEL_METRIC_EXPORT_INTERVAL": "10"}
    metrics, address = await started(variables)
    assert address == ""
    await asyncio.to_thread(receiver.wait_for, lambda: len(receiver.metrics) >= 3)
    await metrics.close()


async def test_a_dead_collector_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter retries for ten seconds; the end of the server waits for less."""
    monkeypatch.setattr("celeste_image.telemetry.metrics.CLOSE_SECONDS", 0.01)
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    monkeypatch.setenv(*next(iter(variables.items())))
    metrics, _ = await started(variables)
    async with asyncio.timeout(5):
        await metrics.close()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OTEL_METRICS_EXPORTER": "console"}, "OTEL_METRICS_EXPORTER: there is no exporter 'console'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "OTEL_EXPORTER_OTLP_PROTOCOL: there is no protocol"),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "soon"}, "OTEL_METRIC_EXPORT_INTERVAL: must be a number"),
        ({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}, "TEMPORALITY_PREFERENCE: this server"),
    ],
)
def test_a_wrong_variable_is_named(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_metrics("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"} | variables)
    assert not is_recording()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_metrics_are_off_unless_somebody_may_read_them(variables: dict[str, str]) -> None:
    assert open_metrics("", variables) is None
    assert not is_recording()


async def test_an_address_in_use_is_an_error() -> None:
    first, address = await started({}, "127.0.0.1:0")
    second = open_metrics(address, {})
    assert second
    try:
        with pytest.raises(OSError, match=rf"metrics.listen: can.t listen on {address}: Address already in use"):
            await second.start()
    finally:
        await second.close()
        await first.close()


def test_a_delay_of_the_loop_is_shown_for_a_minute() -> None:
    now = 0.0
    delay = LoopDelay(lambda: now)
    shown = []
    for at, late in ((0.0, 0.2), (10.0, 0.5), (20.0, 0.1), (65.0, -0.001), (75.0, 0.05), (90.0, 0.0)):
        now = at
        delay.note(late)
        shown += [value for value, _ in delay.read()]
    assert shown == [0.2, 0.5, 0.5, 0.5, 0.1, 0.05]


async def test_a_gauge_that_can_not_be_read_costs_itself_alone() -> None:
    def broken() -> Iterator[tuple[float, tuple[str, ...]]]:
        raise OSError("the disk is gone")

    metrics, address = await started({}, "127.0.0.1:0")
    try:
        record()
        of.STORE_FREE.watch(broken)
        with capture_logs() as logs:
            text, _, status = await scrape(address, OPENMETRICS)
    finally:
        await metrics.close()
    families = {family.name: family for family in parse_openmetrics(text)}
    assert status == 200
    assert len(families["celeste_budget_held_bytes"].samples) == 2
    assert "celeste_store_free_bytes" not in families
    assert [(line["event"], line["metric"]) for line in logs] == [("gauge", "celeste.store.free")]


async def test_attributes_with_other_characters_are_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod-name=a,9/x=b,team_name=c")
    metrics, address = await started({}, "127.0.0.1:0")
    try:
        text, *_ = await scrape(address, OPENMETRICS)
        plain, *_ = await scrape(address, {"accept": "text/plain"})
    finally:
        await metrics.close()
    for families in (parse_openmetrics(text), parse_text(plain)):
        (labels,) = [s.labels for family in families for s in family.samples if s.name == "target_info"]
        assert (labels["k8s_pod_name"], labels["_9_x"], labels["team_name"]) == ("a", "b", "c")
