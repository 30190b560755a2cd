"""The page docs/metrics.md: the metrics of a server, their labels, and how many time series there can be."""

from collections.abc import Mapping
from math import prod

from docs.words import table

from celeste_image.telemetry.instruments import INSTRUMENTS, MODEL, PROVIDER
from celeste_image.telemetry.prometheus import prometheus_labels, prometheus_name
from celeste_image.telemetry.series import MOST_SERIES, Counter, Gauge, Histogram, Instrument, Label

HEAD = """# Metrics

A server measures its calls, providers, images, worker processes, memory and store. `make docs` writes this page from
`server/celeste_image/telemetry/instruments.py`, which declares each metric once. `make check` fails if the page is
stale.

## Switch them on

Metrics are off by default: then no call spends time on them, two servers on one machine need no port each, and the
server of a single command opens none. Prometheus and OTLP are independent, and have the same values.

**Prometheus** scrapes an address of each process: `http://127.0.0.1:9464/metrics` with

```toml
[metrics]
listen = "127.0.0.1:9464"
```

or `CELESTE_METRICS__LISTEN=127.0.0.1:9464`. The endpoint has no password. Whoever reaches it learns which providers and
models are used and how much, so listen on loopback or on a private network. It has OpenMetrics with exemplars for
readers that ask for it, as Prometheus does, and Prometheus's text format for others. Prometheus keeps exemplars with
`--enable-feature=exemplar-storage`. Several processes have an address each.

**OTLP** is set by OpenTelemetry's variables, and goes by gRPC:

```sh
OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 celeste serve
```

| variable | default | meaning |
| --- | --- | --- |
| `OTEL_EXPORTER_OTLP_ENDPOINT` | none | where the collector listens for gRPC; it switches the export on |
| `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` | none | the same for metrics alone |
| `OTEL_METRICS_EXPORTER` | `otlp` with an endpoint, else `none` | `otlp` or `none`. `none` leaves traces alone |
| `OTEL_METRIC_EXPORT_INTERVAL` | 60000 | time between two exports, in milliseconds |

The others are those of [traces](tracing.md#switch-traces-on), also with `METRICS_` in their names. Sums begin with the
process (cumulative); a variable that asks for differences (delta) is an error at the start. The server exports once
more when it stops. A collector that is slow or absent delays no call; the log says `metrics not exported`, and the next
export has everything.

## Exemplars

With [traces](tracing.md) on, a histogram keeps for each of its ranges the last value that came from a recorded trace,
with the trace's id. So a slow call on a dashboard leads to its trace.

## Names

The first column has OpenTelemetry's names; the second has Prometheus's. OTLP has the labels with dots.
"""
SERIES = f"""## How many time series there are

No caller can make a time series. Each label has a closed set of values, from the contract, this package or the
configuration; any other value is `_OTHER`. Prompts, keys, URLs, request ids and names of callers are in no label.

Calls of all methods that the server does not have are one combination of `rpc.server.call.duration`, `_OTHER` with
`UNIMPLEMENTED`, and in no other metric; their time is 0. Calls of health and reflection are not measured.

A combination of label values appears with its first value. In Prometheus, a counter or a gauge has one time series for
each combination; a histogram has one for each range, one for values over all ranges, a sum and a count. The table has
the product of the sizes of the labels. Beyond {MOST_SERIES:,} combinations of one counter or histogram, further ones
are counted where all labels are `_OTHER`, so a counter has at most {MOST_SERIES + 1:,} time series.
"""
PROCESS = """## The process

Prometheus's own: `process_resident_memory_bytes`, `process_cpu_seconds_total`, `process_open_fds`, `process_max_fds`,
`process_start_time_seconds`, `process_virtual_memory_bytes`, `python_gc_collections_total`,
`python_gc_objects_collected_total`, `python_gc_objects_uncollectable_total`, `python_info`; `target_info` with the
attributes of the server; and `celeste_build_info` with its version. OTLP has none of them but the attributes.
"""
GROUPS = {
    "rpc": "Calls",
    "celeste.rpc": "Calls",
    "gen_ai": "Providers",
    "celeste.provider": "Providers",
    "celeste.images": "Images",
    "celeste.safety": "Images",
    "http": "Requests to other servers",
    "celeste.worker": "Worker processes",
}


def metrics_page() -> str:
    """Returns the text of the page."""
    lines = [HEAD]
    groups: dict[str, list[Instrument]] = {}
    for each in INSTRUMENTS:
        group = next((title for prefix, title in GROUPS.items() if each.name.startswith(prefix)), "Server")
        groups.setdefault(group, []).append(each)
    for title, instruments in groups.items():
        lines += [f"### {title}", ""]
        lines += table(["metric", "in Prometheus", "kind", "what it measures", "labels"], map(_row, instruments))
    lines += ["Histograms have these ranges, in seconds:", ""]
    ranges: dict[tuple[float, ...], list[str]] = {}
    for each in INSTRUMENTS:
        if isinstance(each, Histogram):
            ranges.setdefault(each.bounds, []).append(f"`{each.name}`")
    lines += table(["metrics", "up to"], ([", ".join(n), ", ".join(f"{b:g}" for b in r)] for r, n in ranges.items()))
    lines += ["## Labels", ""]
    labels = dict.fromkeys(label for each in INSTRUMENTS for label in each.labels)
    lines += table(["label", "in Prometheus", "values", "how many"], map(_label_row, labels))
    lines += [SERIES]
    lines += table(
        ["metric", "most time series in Prometheus"], ([f"`{each.name}`", _most(each)] for each in INSTRUMENTS)
    )
    return "\n".join([*lines, PROCESS]).rstrip() + "\n"


def _row(each: Instrument) -> list[str]:
    kind = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}[type(each)]
    unit = f", {each.unit}" if each.unit else ""
    labels = ", ".join(f"`{name}`" for name in prometheus_labels(each))
    return [f"`{each.name}`", f"`{prometheus_name(each)}`", kind + unit, each.text, labels or "-"]


def _label_row(label: Label) -> list[str]:
    return [f"`{label.name}`", f"`{label.name.replace('.', '_')}`", label.text, _size(label)]


def _size(label: Label) -> str:
    return f"{label.source} + {len(label.fixed) + 1}" if label.source else str(len(label.fixed) + 1)


def most_series(each: Instrument, sizes: Mapping[str, int]) -> int:
    """Returns the most time series of a metric in Prometheus.

    Args:
        each: The metric.
        sizes: How many values the configuration adds to labels, by their `source`.
    """
    fixed, added = _factors(each)
    combinations = fixed * prod(sum(sizes[source] for source in sources) + more for sources, more in added)
    return _per_combination(each) * (combinations if isinstance(each, Gauge) else min(combinations, MOST_SERIES + 1))


def _most(each: Instrument) -> str:
    """Returns the most time series of a metric in Prometheus as a product, before its limit."""
    fixed, added = _factors(each)
    fixed *= _per_combination(each)
    factors = [f"({' + '.join([*sources, str(more)])})" for sources, more in added]
    return " x ".join(factors + ([f"{fixed:,}"] if fixed > 1 or not factors else []))


def _per_combination(each: Instrument) -> int:
    return len(each.bounds) + 3 if isinstance(each, Histogram) else 1


def _factors(each: Instrument) -> tuple[int, list[tuple[tuple[str, ...], int]]]:
    """Returns the combinations of fixed labels, and the factors of the others: what they add up, and a number more."""
    fixed = prod(len(label.fixed) + 1 for label in each.labels if not label.source)
    if MODEL in each.labels:  # a model is of one provider; `_OTHER` is one of each
        return fixed, [((MODEL.source, PROVIDER.source), 1)]
    return fixed, [((label.source,), len(label.fixed) + 1) for label in each.labels if label.source]
