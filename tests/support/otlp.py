"""A receiver of OpenTelemetry's protocol over gRPC, which keeps the spans and the metrics that it gets."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from celeste_image.telemetry.tracing import Span

__all__ = ["Receiver", "Told", "receiving", "tree"]

ARRIVE_SECONDS = 60.0


@dataclass(frozen=True)
class Told:
    """A span that arrived: ids in hexadecimal, times in nanoseconds since 1970."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    began: int
    ended: int
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    is_failed: bool
    state: str = ""

    @classmethod
    def of(cls, span: Span) -> "Told":
        """Returns a span of this process as a receiver would see it."""
        began = span.trace.began_unix_ns
        return cls(
            span.name,
            span.trace_id,
            span.id.hex(),
            span.parent_id.hex(),
            span.kind,
            began + span.began_ns,
            began + span.ended_ns,
            dict(span.attributes),
            [(name, dict(attributes)) for _, name, attributes in span.events],
            bool(span.error),
            span.trace.state,
        )


@dataclass
class Receiver:
    """What arrived.

    Attributes:
        port: Port on this machine.
        spans: The spans, in the order of their arrival.
        resources: What the senders say about themselves.
        metrics: The requests with metrics.
        headers: The headers of each request.
    """

    port: int = 0
    spans: list[Told] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str | bytes]] = field(default_factory=list)
    arrival: threading.Condition = field(default_factory=threading.Condition)

    @property
    def endpoint(self) -> str:
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, is_there: Callable[[], bool]) -> None:
        """Waits until something arrived. Raises AssertionError if it does not."""
        with self.arrival:
            assert self.arrival.wait_for(is_there, ARRIVE_SECONDS), "it did not arrive"

    def trace(self, trace_id: str) -> list[Told]:
        """Returns the spans of one trace."""
        return [span for span in self.spans if span.trace_id == trace_id]


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Runs a receiver on this machine."""
    receiver = Receiver()

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            with receiver.arrival:
                receiver.headers.append(dict(context.invocation_metadata()))
                for each in request.resource_spans:
                    receiver.resources.append(_values(each.resource.attributes))
                    receiver.spans += [_told(span) for scope in each.scope_spans for span in scope.spans]
                receiver.arrival.notify_all()
            return trace_service_pb2.ExportTraceServiceResponse()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            with receiver.arrival:
                receiver.headers.append(dict(context.invocation_metadata()))
                receiver.metrics.append(request)
                receiver.arrival.notify_all()
            return metrics_service_pb2.ExportMetricsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    receiver.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield receiver
    finally:
        server.stop(0).wait()


def tree(spans: list[Told], root: str = "") -> dict[str, Any]:
    """Returns the names of some spans of one trace as a tree, in the order of their beginning.

    Args:
        spans: The spans.
        root: The id of the span above; empty for the caller's.
    """
    above = root or next(span.parent_id for span in spans if span.parent_id not in {each.span_id for each in spans})
    below = sorted((span for span in spans if span.parent_id == above), key=lambda span: span.began)
    found: dict[str, Any] = {}
    for span in below:
        found.setdefault(span.name, {}).update(tree(spans, span.span_id))
    return found


def _told(span: Any) -> Told:
    return Told(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _values(span.attributes),
        [(event.name, _values(event.attributes)) for event in span.events],
        span.status.code == span.status.STATUS_CODE_ERROR,
        span.trace_state,
    )


def _values(pairs: Any) -> dict[str, Any]:
    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: value(pair) for pair in pairs}
