"""Exports spans by OTLP: reads OpenTelemetry's standard variables, and sends batches of spans from a thread.

The SDK's exporter has the connection: endpoint, headers, certificates, compression, timeout and retries. The encoding
is by hand, since the texts of spans repeat: from a cache, it takes a third of the time of protobuf's objects. A test
compares both.
"""

import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk.trace.export import SpanExportResult

from celeste_image.telemetry.otlp import number, resource
from celeste_image.telemetry.tracing import Sampling, Span, Tracer, Value

__all__ = ["SpanExport", "encoded", "otlp_tracer", "sampling_of"]

log = structlog.get_logger("celeste_image.traces")

FIXED = struct.Struct("<Q")
TIMES = struct.Struct("<cQcQ")
IS_REMOTE, REMOTE_IS_KNOWN, SAMPLED = 0x200, 0x100, 0x01  # SpanFlags of trace.proto
FAILED = b"\x7a\x02\x18\x02"
"""Span.status with the code STATUS_CODE_ERROR."""
SAMPLERS = ("always_on", "always_off", "traceidratio")


class SpanExport:
    """Collects spans and sends them in batches from a thread of its own.

    Args:
        send: Sends some spans; returns whether they arrived. Runs in the thread.
        queue: Most spans that wait; further ones are dropped, and the log tells their number.
        batch: Most spans of one message.
        delay_seconds: Longest time that a span waits for others.
        close: Ends the connection.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Span]], bool],
        *,
        queue: int = 2048,
        batch: int = 512,
        delay_seconds: float = 5.0,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._send = send
        self._close = close
        self._most, self._batch, self._delay = queue, batch, delay_seconds
        self._spans: deque[Span] = deque()
        self._wake = threading.Event()
        self._ending = False
        self._crowded = self._lost = self._told = 0  # each is counted by one thread
        self._thread = threading.Thread(target=self._run, name="celeste-spans", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Number of spans that found no room, or did not arrive."""
        return self._crowded + self._lost

    def add(self, span: Span) -> None:
        """Takes a span that has ended."""
        waiting = len(self._spans)
        if waiting >= self._most:
            self._crowded += 1
            return
        self._spans.append(span)
        if waiting + 1 == self._batch:
            self._wake.set()

    def close(self, seconds: float = 5.0) -> None:
        """Sends what is left, for at most `seconds`, and ends the connection."""
        self._ending = True
        self._wake.set()
        self._thread.join(seconds)
        self._close()

    def _run(self) -> None:
        while True:
            if len(self._spans) < self._batch and not self._ending:
                self._wake.wait(self._delay)
            self._wake.clear()
            some = [self._spans.popleft() for _ in range(min(self._batch, len(self._spans)))]
            if some and not self._send(some):
                self._lost += len(some)
            if (dropped := self.dropped) > self._told:
                log.warning("spans dropped", spans=dropped - self._told, since_start=dropped)
                self._told = dropped
            if self._ending and not self._spans:
                return


def otlp_tracer(environment: Mapping[str, str], *, propagates: bool = True) -> Tracer:
    """Returns the tracer that the standard variables describe.

    Raises:
        ValueError: A variable is wrong; the text names it.
    """
    sampling = sampling_of(environment)
    queue = int(number(environment, "OTEL_BSP_MAX_QUEUE_SIZE", 2048))
    batch = int(number(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512))
    delay = number(environment, "OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000
    exporter = _Exporter()
    export = SpanExport(
        lambda spans: exporter.export(spans) is SpanExportResult.SUCCESS,  # type: ignore[arg-type]  # see _Exporter
        queue=queue,
        batch=max(1, min(batch, queue)),
        delay_seconds=delay,
        close=exporter.shutdown,
    )
    return Tracer(export.add, sampling, propagates=propagates, close=export.close)


def sampling_of(environment: Mapping[str, str]) -> Sampling:
    """Returns the sampling of OTEL_TRACES_SAMPLER and its argument. Raises ValueError for another one."""
    name = environment.get("OTEL_TRACES_SAMPLER", "").strip() or "parentbased_always_on"
    kind = name.removeprefix("parentbased_")
    if kind not in SAMPLERS:
        names = ", ".join((*SAMPLERS, *(f"parentbased_{each}" for each in SAMPLERS)))
        raise ValueError(f"OTEL_TRACES_SAMPLER: there is no sampler {name!r}; the samplers are {names}")
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(kind)
    if ratio is None:
        ratio = number(environment, "OTEL_TRACES_SAMPLER_ARG", 1.0, most=1.0)
    return Sampling(ratio, follows_parent=kind != name)


class _Exporter(OTLPSpanExporter):
    """The SDK's exporter, for spans of ours."""

    def __init__(self) -> None:
        super().__init__()
        attributes = [KeyValue(key=name, value=_value(value)) for name, value in resource().attributes.items()]  # type: ignore[arg-type]
        self._resource = Resource(attributes=attributes).SerializeToString()

    def _translate_data(self, data: Sequence[Span]) -> ExportTraceServiceRequest:  # type: ignore[override]
        return ExportTraceServiceRequest.FromString(encoded(data, self._resource))


def encoded(spans: Sequence[Span], resource: bytes = b"") -> bytes:
    """Returns the message ExportTraceServiceRequest with some spans; `resource` is an encoded Resource."""
    scope = _field(1, _field(1, b"celeste_image"))  # ScopeSpans.scope, InstrumentationScope.name
    scope += b"".join(_field(2, _span(span)) for span in spans)  # ScopeSpans.spans
    return _field(1, _field(1, resource) + _field(2, scope))  # ResourceSpans: resource, scope_spans


def _span(span: Span) -> bytes:
    """Returns the message Span. The numbers of its fields are in opentelemetry/proto/trace/v1/trace.proto."""
    trace = span.trace
    began, flags = trace.began_unix_ns, SAMPLED | REMOTE_IS_KNOWN | (IS_REMOTE if span.is_remote else 0)
    parts = [
        b"\x0a\x10" + trace.id + b"\x12\x08" + span.id,  # trace_id, span_id
        _text(3, trace.state) if trace.state else b"",
        b"\x22\x08" + span.parent_id if span.parent_id else b"",
        _text(5, span.name),
        bytes((0x30, span.kind)),
        TIMES.pack(b"\x39", began + span.began_ns, b"\x41", began + span.ended_ns),
    ]
    for name, value in span.attributes.items():
        parts += b"\x4a", _pair(name, value)  # attributes
    for at, name, attributes in span.events:
        event = b"\x09" + FIXED.pack(began + at) + _text(2, name)  # time_unix_nano
        event += b"".join([b"\x1a" + _pair(key, value) for key, value in attributes.items()])
        parts.append(_field(11, event))
    if span.dropped_events:
        parts.append(b"\x60" + _varint(span.dropped_events))
    if span.error:
        parts.append(FAILED)
    parts.append(b"\x85\x01" + flags.to_bytes(4, "little"))
    return b"".join(parts)


def _field(number: int, content: bytes) -> bytes:
    """Returns a field with a length prefix, whose number is below 16."""
    return b"".join((bytes((number << 3 | 2,)), _varint(len(content)), content))


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


@lru_cache(1024)
def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


@lru_cache(4096, typed=True)
def _pair(name: str, value: Value) -> bytes:
    """Returns a KeyValue after its length."""
    pair = KeyValue(key=name, value=_value(value)).SerializeToString()
    return _varint(len(pair)) + pair


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
    return AnyValue(string_value=str(value))
