"""The export of spans: their encoding, the batches, and OpenTelemetry's standard variables."""

import threading
from collections.abc import Sequence

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from structlog.testing import capture_logs

from celeste_image.telemetry.otlp import exports
from celeste_image.telemetry.span_encoding import encoded, encoded_resource
from celeste_image.telemetry.span_export import SpanExport, sampling_of
from celeste_image.telemetry.traces import open_tracer
from celeste_image.telemetry.tracing import CLIENT, INTERNAL, SERVER, Span, Tracer, Value

KINDS = {INTERNAL: SpanKind.INTERNAL, SERVER: SpanKind.SERVER, CLIENT: SpanKind.CLIENT}
RESOURCE = {"service.name": "größe", "count": 3}
HEADERS = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", "a=1,b=x y")]


def test_the_encoding_is_that_of_the_sdk() -> None:
    spans: list[Span] = []
    values: dict[str, Value] = {"text": "é" * 200, "yes": True, "no": False, "one": 1, "minus": -7, "large": 1 << 62}
    values |= {"half": 0.5, "": "", "minus half": -0.5, "zero": 0}
    for headers in ((), HEADERS):
        with Tracer(spans.append).serve("call", headers, dict(values)) as call:
            for number in range(130):
                call.event("saved", {"celeste.index": number})
            call.past("wait", call.began_ns, call.began_ns + 2)
            with call.child("vendor " + "x" * 300, kind=CLIENT) as span:
                assert span
                span.event("empty")
                span.fail("QUEUE_FULL")
    ours = ExportTraceServiceRequest.FromString(encoded(spans, encoded_resource(RESOURCE)))
    sdk = encode_spans([_as_sdk(span) for span in spans])
    for span in sdk.resource_spans[0].scope_spans[0].spans:
        span.flags |= 1  # trace.proto: the lowest byte has the flags of W3C, which the SDK leaves out
        if not span.status.code:
            span.ClearField("status")
    assert ours == sdk


def _as_sdk(span: Span) -> ReadableSpan:
    began, trace_id = span.trace.began_unix_ns, int.from_bytes(span.trace.id)
    flags, state = TraceFlags(TraceFlags.SAMPLED), TraceState.from_header([span.trace.state])
    parent = SpanContext(trace_id, int.from_bytes(span.parent_id), span.is_remote, flags)

    class Dropping(ReadableSpan):
        dropped_events = span.dropped_events

    return Dropping(
        span.name,
        SpanContext(trace_id, int.from_bytes(span.id), False, flags, state),
        parent if span.parent_id else None,
        Resource(RESOURCE),
        span.attributes,
        [Event(name, attributes, began + at) for at, name, attributes in span.events],
        kind=KINDS[span.kind],
        status=Status(StatusCode.ERROR if span.error else StatusCode.UNSET),
        start_time=began + span.began_ns,
        end_time=began + span.ended_ns,
        instrumentation_scope=InstrumentationScope("celeste_image"),
    )


def test_spans_go_in_batches_and_the_rest_at_the_end() -> None:
    sent: list[int] = []
    arrived = threading.Event()

    def send(spans: Sequence[Span]) -> bool:
        sent.append(len(spans))
        arrived.set()
        return True

    export = SpanExport(send, queue=10, batch=3, delay_seconds=600)
    call = Tracer(export.add).serve("call", ())
    for _ in range(3):
        call.past("wait", 1, 2)
    assert arrived.wait(10)
    call.end()
    export.close()
    assert (sent, export.dropped) == ([3, 1], 0)


def test_spans_that_find_no_room_are_counted_and_told() -> None:
    may_go, sending = threading.Event(), threading.Event()

    def send(spans: Sequence[Span]) -> bool:
        sending.set()
        return may_go.wait(10)

    with capture_logs() as lines:
        export = SpanExport(send, queue=4, batch=2, delay_seconds=600)
        call = Tracer(export.add).serve("call", ())
        for _ in range(2):
            call.past("wait", 1, 2)
        assert sending.wait(10)
        for _ in range(7):
            call.past("wait", 1, 2)
        may_go.set()
        export.close()
    assert export.dropped == 3
    assert [(line["event"], line["since_start"]) for line in lines] == [("spans dropped", 3)]


def test_a_collector_that_does_not_answer_costs_its_spans_alone() -> None:
    export = SpanExport(lambda spans: False, queue=4, batch=2, delay_seconds=600)
    Tracer(export.add).serve("call", ()).end()
    with capture_logs():
        export.close()
    assert export.dropped == 1


@pytest.mark.parametrize(
    ("variables", "is_on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4317"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, True),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, False),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            True,
        ),
    ],
)
def test_standard_variables_switch_traces_on(variables: dict[str, str], is_on: bool) -> None:
    assert exports("traces", variables) is is_on


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "there is no exporter 'zipkin'; the exporters are otlp and none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "there is no protocol 'http/protobuf': this server has grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "usually 4317"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "there is no sampler 'jaeger_remote'; the samplers are always_on,"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "must be a number from 0"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1, canary", "must be NAME=VALUE, with commas between several"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=canary;", "must be NAME=VALUE"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:canary@127.0.0.1:1", "must have no user name or key in it"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "must be a number from 0"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "must be gzip, or unset for none"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem", "there is no file /nowhere/ca.pem"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "must be a number from 0"),
    ],
)
def test_a_variable_that_asks_for_what_is_not_there_is_named(name: str, value: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        open_tracer({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("sampler", "argument", "takes"),
    [
        ("", "", {None: True, True: True, False: False}),
        ("always_on", "", {None: True, True: True, False: True}),
        ("always_off", "", {None: False, True: False, False: False}),
        ("traceidratio", "0", {None: False, True: False, False: False}),
        ("parentbased_always_off", "", {None: False, True: True, False: False}),
        ("parentbased_traceidratio", "0", {None: False, True: True, False: False}),
        ("parentbased_traceidratio", "", {None: True, True: True, False: False}),
    ],
)
def test_the_samplers_are_those_of_the_standard(sampler: str, argument: str, takes: dict[bool | None, bool]) -> None:
    sampling = sampling_of({"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument})
    assert {parent: sampling.takes(b"\x7f" * 16, parent) for parent in takes} == takes


def test_a_ratio_above_one_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1"):
        sampling_of({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10"})


def test_headers_that_opentelemetry_takes_are_taken() -> None:
    headers = "x-team=a%20b, authorization=Bearer abc=,empty="
    assert exports("traces", {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": headers})


def test_an_export_that_breaks_ends_no_later_one() -> None:
    sent: list[int] = []

    def send(spans: Sequence[Span]) -> bool:
        sent.append(len(spans))
        if len(sent) == 1:
            raise ValueError("a secret")
        return True

    with capture_logs() as lines:
        export = SpanExport(send, batch=1, delay_seconds=600)
        call = Tracer(export.add).serve("call", ())
        for _ in range(3):
            call.past("wait", 1, 2)
        export.close()
    assert (sent, export.dropped) == ([1, 1, 1], 1)
    assert "a secret" not in repr(lines)
