"""Observed: throughput with traces and metrics on, beside both off, with a collector that takes everything.

Each call is recorded, since no caller here has a `traceparent`. `traces` in the settings of the results is the number
of traces that arrived: as many as calls of the targets with traces, unless the queue of spans had no room.
"""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from bench.speed import throughput
from bench.speed.results import Results
from bench.speed.targets import RUNNABLE
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["measure"]

METRICS = {"CELESTE_METRICS__LISTEN": "127.0.0.1:0"}


@dataclass
class Collector(grpc.GenericRpcHandler):  # type: ignore[misc]  # its stubs have no base
    """Answers every call, and keeps the bodies of traces."""

    bodies: list[bytes] = field(default_factory=list)

    def service(self, call: Any) -> Any:
        is_trace = "trace" in call.method

        def take(body: bytes, context: Any) -> bytes:
            if is_trace:
                self.bodies.append(body)
            return b""

        return grpc.unary_unary_rpc_method_handler(take)

    def counted(self) -> dict[str, int]:
        """Returns the number of traces and of spans."""
        requests = map(ExportTraceServiceRequest.FromString, self.bodies)
        scopes = [scope for request in requests for each in request.resource_spans for scope in each.scope_spans]
        spans = [span.trace_id for scope in scopes for span in scope.spans]
        return {"traces": len(set(spans)), "spans": len(spans)}


@contextlib.contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """Runs a collector; gives it and its endpoint."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(1), handlers=[collector])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def measure(*, sizes: Sequence[str], callers: Sequence[int], rounds: int, seconds: float, starts: int) -> Results:
    """Measures Celeste with traces, with metrics, with both, and with neither, as throughput.py does."""
    with collecting() as (collector, endpoint):
        traces = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint}
        kinds = {"celeste-traces": traces, "celeste-metrics": METRICS, "celeste-both": traces | METRICS}
        for name, variables in kinds.items():
            RUNNABLE[name] = replace(RUNNABLE["celeste"], name=name, variables=variables)
        targets = ("celeste", *kinds)
        results = throughput.measure(
            targets=targets, sizes=sizes, callers=callers, rounds=rounds, seconds=seconds, starts=starts
        )
    results.command, results.title = "observed", "Throughput with traces and metrics"
    results.settings |= collector.counted()
    return results
