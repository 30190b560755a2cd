"""Opens the traces of a server, if OpenTelemetry's standard variables ask for them."""

from collections.abc import Mapping

from celeste_image.telemetry.otlp import exports
from celeste_image.telemetry.series import take_exemplars
from celeste_image.telemetry.tracing import Tracer, exemplar

__all__ = ["open_tracer"]


def open_tracer(environment: Mapping[str, str], *, propagates: bool = True) -> Tracer | None:
    """Returns the tracer that the standard variables describe; None if no traces are exported.

    Raises:
        ValueError: A variable is wrong; the text names it.
    """
    if not exports("traces", environment):
        return None
    from celeste_image.telemetry.span_export import otlp_tracer  # imports OpenTelemetry

    take_exemplars(exemplar)
    return otlp_tracer(environment, propagates=propagates)
