"""The trace of a caller whose program uses OpenTelemetry: its calls go on with the current span."""

import sys

__all__ = ["trace_metadata"]


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Returns `traceparent` and `tracestate` of the current span as metadata of a call; none without OpenTelemetry.

    A program without OpenTelemetry never imports it here. Baggage is not sent.
    """
    if "opentelemetry.trace" not in sys.modules:
        return ()
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return tuple(headers.items())
