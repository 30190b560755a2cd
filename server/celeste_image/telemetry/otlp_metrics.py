"""Exports the metrics by OTLP, with exemplars, from a thread: OpenTelemetry's exporter sends what is written here.

Imported while metrics are exported, since it needs OpenTelemetry's SDK.
"""

from collections.abc import Iterator, Mapping

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.sdk.metrics.export import MetricExportResult

from celeste_image.telemetry.series import Counter, Exemplar, Gauge, Histogram, Instrument, Snapshot, Values

__all__ = ["OtlpExporter", "message"]

CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
NANO = 1_000_000_000
SCOPE = "celeste_image"


class OtlpExporter:
    """Sends snapshots of the metrics. The endpoint, headers, certificates and timeout are those of the environment.

    Args:
        resource: Attributes of this server.
    """

    def __init__(self, resource: Mapping[str, str]) -> None:
        self._exporter = _Exporter(resource)

    def send(self, snapshot: Snapshot) -> bool:
        """Sends a snapshot and returns whether it arrived. It takes as long as the exporter's timeout at most."""
        result = self._exporter.export(snapshot)  # type: ignore[arg-type]  # see _translate_data
        return result is MetricExportResult.SUCCESS

    def close(self) -> None:
        """Ends the connection."""
        self._exporter.shutdown()


class _Exporter(OTLPMetricExporter):
    """OpenTelemetry's exporter for our snapshots."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        super().__init__()
        self._resource = resource

    def _translate_data(self, data: Snapshot) -> ExportMetricsServiceRequest:  # type: ignore[override]
        return message(data, self._resource)

    def _count_data(self, data: Snapshot) -> int:  # type: ignore[override]
        return sum(len(values) for _, values in data.values)


def message(snapshot: Snapshot, resource: Mapping[str, str]) -> ExportMetricsServiceRequest:
    """Returns the message with a snapshot; a metric without values is not in it."""
    metrics = [_metric(instrument, values, snapshot) for instrument, values in snapshot.values if values]
    scope = common_pb2.InstrumentationScope(name=SCOPE)
    return ExportMetricsServiceRequest(
        resource_metrics=[
            metrics_pb2.ResourceMetrics(
                resource=resource_pb2.Resource(attributes=list(_attributes(resource))),
                scope_metrics=[metrics_pb2.ScopeMetrics(scope=scope, metrics=metrics)],
            )
        ]
    )


def _metric(instrument: Instrument, values: Values, snapshot: Snapshot) -> metrics_pb2.Metric:
    metric = metrics_pb2.Metric(name=instrument.name, description=instrument.text, unit=instrument.unit)
    names = [label.name for label in instrument.labels]
    times = {"start_time_unix_nano": round(snapshot.since * NANO), "time_unix_nano": round(snapshot.at * NANO)}
    match instrument:
        case Histogram():
            metric.histogram.aggregation_temporality = CUMULATIVE
            for labels, spread in values:
                metric.histogram.data_points.add(
                    attributes=_attributes(dict(zip(names, labels, strict=True))),
                    count=sum(spread.counts),
                    sum=spread.sum,
                    bucket_counts=spread.counts,
                    explicit_bounds=instrument.bounds,
                    exemplars=map(_exemplar, filter(None, spread.exemplars)),
                    **times,
                )
        case Counter() | Gauge():
            if isinstance(instrument, Counter):
                metric.sum.aggregation_temporality, metric.sum.is_monotonic = CUMULATIVE, True
            points = metric.sum.data_points if isinstance(instrument, Counter) else metric.gauge.data_points
            for labels, value in values:
                points.add(attributes=_attributes(dict(zip(names, labels, strict=True))), as_double=value, **times)
    return metric


def _attributes(values: Mapping[str, str]) -> Iterator[common_pb2.KeyValue]:
    for name, value in values.items():
        yield common_pb2.KeyValue(key=name, value=common_pb2.AnyValue(string_value=value))


def _exemplar(exemplar: Exemplar) -> metrics_pb2.Exemplar:
    return metrics_pb2.Exemplar(
        as_double=exemplar.value,
        time_unix_nano=round(exemplar.at * NANO),
        trace_id=exemplar.trace_id.to_bytes(16, "big"),
        span_id=exemplar.span_id.to_bytes(8, "big"),
    )
