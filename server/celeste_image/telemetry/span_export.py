"""Exports spans by OTLP: reads OpenTelemetry's standard variables, and sends batches of spans from a thread.

The SDK's exporter has the connection: endpoint, headers, certificates, compression, timeout and retries.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExportResult

from celeste_image.telemetry.otlp import number, resource
from celeste_image.telemetry.span_encoding import encoded, encoded_resource
from celeste_image.telemetry.tracing import Sampling, Span, Tracer

__all__ = ["SpanExport", "otlp_tracer", "sampling_of"]

log = structlog.get_logger("celeste_image.traces")

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

    def _arrives(self, spans: Sequence[Span]) -> bool:
        try:
            return self._send(spans)
        except Exception as error:  # else the thread would end, and every later span would be dropped
            log.warning("spans not sent", error=type(error).__name__)
            return False

    def _run(self) -> None:
        while True:
            if len(self._spans) < self._batch and not self._ending:
                self._wake.wait(self._delay)
            self._wake.clear()
            some = [self._spans.popleft() for _ in range(min(self._batch, len(self._spans)))]
            if some and not self._arrives(some):
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
    delay = max(10, number(environment, "OTEL_BSP_SCHEDULE_DELAY", 5000)) / 1000
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
        self._resource = encoded_resource(resource().attributes)

    def _translate_data(self, data: Sequence[Span]) -> ExportTraceServiceRequest:  # type: ignore[override]
        return ExportTraceServiceRequest.FromString(encoded(data, self._resource))
