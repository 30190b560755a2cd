"""Writes the metrics for Prometheus: as OpenMetrics with exemplars, or in the older text format.

Imported while metrics are on, since it needs prometheus_client.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar as TextExemplar
from prometheus_client.utils import floatToGoString

from celeste_image.telemetry.series import Counter, Exemplar, Gauge, Histogram, Instrument, Snapshot, Spread

__all__ = ["Exposition", "prometheus_labels", "prometheus_name"]

NOT_IN_NAMES = re.compile(r"^(?=[0-9])|[^a-zA-Z0-9_]")
UNITS = {"s": "seconds", "By": "bytes"}


def prometheus_name(instrument: Instrument) -> str:
    """Returns an instrument's name in Prometheus, `celeste_images_total`."""
    parts = [instrument.name.replace(".", "_"), UNITS.get(instrument.unit, "")]
    parts.append("total" if isinstance(instrument, Counter) else "")
    return "_".join(part for part in parts if part)


def prometheus_labels(instrument: Instrument) -> list[str]:
    """Returns the names of an instrument's labels in Prometheus."""
    return [label.name.replace(".", "_") for label in instrument.labels]


class Exposition:
    """Writes snapshots of the metrics, with those of the process: its memory, CPU time, files and garbage collector.

    Args:
        target: Attributes of this server, which become the labels of `target_info`.
    """

    def __init__(self, target: Mapping[str, str]) -> None:
        names = {NOT_IN_NAMES.sub("_", name): value for name, value in target.items()}
        self._facts = [
            InfoMetricFamily("target", "The server, as OpenTelemetry's resource", names),
            InfoMetricFamily("celeste_build", "Version of the server", {"version": version("celeste-image")}),
        ]
        registry = CollectorRegistry(auto_describe=False)  # each registers itself in one
        self._process = [ProcessCollector(registry=registry), PlatformCollector(registry), GCCollector(registry)]

    def write(self, snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
        """Returns the metrics in the format that the reader prefers, and its content type.

        Runs in any thread.

        Args:
            snapshot: The values.
            accept: The header Accept of the reader.
        """
        encode, content_type = choose_encoder(accept)
        return encode(_Families([*self._facts, *_families(snapshot), *self._of_process()])), content_type

    def _of_process(self) -> Iterator[Metric]:
        for collector in self._process:
            yield from collector.collect()


class _Families(Collector):
    """Some metrics, in place of a registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Returns the metrics."""
        return self._families


def _families(snapshot: Snapshot) -> Iterator[Metric]:
    for instrument, values in snapshot.values:
        name, labels, unit = prometheus_name(instrument), prometheus_labels(instrument), UNITS.get(instrument.unit, "")
        match instrument:
            case Counter():
                counter = CounterMetricFamily(name, instrument.text, labels=labels, unit=unit)
                for label_values, value in values:
                    counter.add_metric(label_values, value)
                yield counter
            case Gauge():
                gauge = GaugeMetricFamily(name, instrument.text, labels=labels, unit=unit)
                for label_values, value in values:
                    gauge.add_metric(label_values, value)
                yield gauge
            case Histogram():
                histogram = HistogramMetricFamily(name, instrument.text, labels=labels, unit=unit)
                bounds = [*map(floatToGoString, instrument.bounds), "+Inf"]
                for label_values, spread in values:
                    histogram.add_metric(label_values, list(_buckets(bounds, spread)), spread.sum)
                yield histogram


def _buckets(bounds: list[str], spread: Spread) -> Iterator[tuple[str, float] | tuple[str, float, TextExemplar]]:
    for bound, count, exemplar in zip(bounds, accumulate(spread.counts), spread.exemplars, strict=True):
        yield (bound, count, _exemplar(exemplar)) if exemplar else (bound, count)


def _exemplar(exemplar: Exemplar) -> TextExemplar:
    span = {"trace_id": f"{exemplar.trace_id:032x}", "span_id": f"{exemplar.span_id:016x}"}
    return TextExemplar(span, exemplar.value, exemplar.at)
