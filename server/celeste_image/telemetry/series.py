"""Counter, Gauge, Histogram: the values of all metrics, kept once and read by Prometheus and by OTLP.

While metrics are off, recording a value does nothing. While they are on, it takes 1 to 2 microseconds. All values are
recorded in the thread of the event loop; a reader may be in another thread.

No caller can make a time series: a label has a closed set of values, and any other value becomes `_OTHER`.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import structlog

__all__ = [
    "MOST_SERIES",
    "OTHER",
    "Counter",
    "Exemplar",
    "Gauge",
    "Histogram",
    "Instrument",
    "Label",
    "Reading",
    "Snapshot",
    "Spread",
    "Values",
    "begin_recording",
    "end_recording",
    "is_recording",
    "take_exemplars",
    "take_snapshot",
]

log = structlog.get_logger("celeste_image.metrics")

OTHER = "_OTHER"
"""The value of a label in place of one that it does not know; OpenTelemetry's name for it."""
MOST_SERIES = 2000
"""Most combinations of label values of one instrument: OpenTelemetry's limit for a metric. Beyond it, all labels of a
new combination become `_OTHER`."""

Reading = Iterable[tuple[float, tuple[str, ...]]]
"""Values of a gauge now, each with the values of the labels in their order."""
Values = list[tuple[tuple[str, ...], Any]]
"""Values of an instrument by the values of its labels: a Spread for a histogram, else a number."""


class _State:
    """Whether values are recorded, and the source of exemplars."""

    is_on = False
    since = 0.0
    span: Callable[[], tuple[int, int] | None] | None = None


def is_recording() -> bool:
    """Returns whether metrics are on. Ask once, where wrappers are put together."""
    return _State.is_on


def begin_recording(instruments: Iterable["Instrument"]) -> None:
    """Switches metrics on; every value begins at zero, and labels know the values of the contract alone."""
    for instrument in instruments:
        instrument.clear()
    _State.is_on, _State.since = True, time.time()


def end_recording() -> None:
    """Switches metrics off."""
    _State.is_on, _State.span = False, None


def take_exemplars(span: Callable[[], tuple[int, int] | None] | None) -> None:
    """Makes histograms keep exemplars.

    Args:
        span: Returns the trace id and the span id of the current span if it is sampled, else None. None ends it.
    """
    _State.span = span


class Label:
    """A label, which is an attribute in OTLP, with the set of values that it may have.

    Attributes:
        name: OpenTelemetry's name, `rpc.method`.
        text: What a value says, and where the values come from.
        fixed: The values that are known in advance.
        source: What `allow` adds at the start of the server: `models`; empty for a label with fixed values alone.
    """

    def __init__(self, name: str, text: str, values: Iterable[str] = (), *, source: str = "") -> None:
        self.name, self.text = name, text
        self.fixed = frozenset(values)
        self.source = source
        self._values = set(self.fixed)

    def allow(self, values: Iterable[str]) -> None:
        """Adds values, from the configuration or the contract; never ones that a caller or a vendor chose."""
        if not self.source:
            raise ValueError(f"the values of {self.name} are fixed")
        self._values.update(values)

    def known(self, value: str) -> str:
        """Returns the value, or `_OTHER` if the label does not have it."""
        return value if value in self._values else OTHER

    def clear(self) -> None:
        """Removes the values that were added."""
        self._values = set(self.fixed)


class Exemplar(NamedTuple):
    """A recorded value with the span that it comes from; `at` is in seconds since 1970."""

    value: float
    at: float
    trace_id: int
    span_id: int


class Spread:
    """The values of a histogram for one combination of label values.

    Attributes:
        counts: Number of values up to each bound and over the one before; the last is for those over all bounds.
        sum: Sum of the values.
        exemplars: The last value of each count that came from a sampled span.
    """

    __slots__ = ("counts", "exemplars", "sum")

    def __init__(self, size: int) -> None:
        self.counts = [0] * size
        self.sum = 0.0
        self.exemplars: list[Exemplar | None] = [None] * size

    def copy(self) -> "Spread":
        """Returns what there is now."""
        copy = Spread(0)
        copy.counts, copy.sum, copy.exemplars = self.counts.copy(), self.sum, self.exemplars.copy()
        return copy


class Instrument:
    """One metric.

    Attributes:
        name: OpenTelemetry's name, `celeste.images.failed`.
        unit: UCUM's code: `s`, `By`; empty for a count of things.
        text: What is measured, in one sentence.
        labels: Its labels, in the order in which values are given.
    """

    def __init__(self, name: str, unit: str, text: str, labels: Sequence[Label] = ()) -> None:
        self.name, self.unit, self.text, self.labels = name, unit, text, tuple(labels)

    def read(self) -> Values:
        """Returns the values now."""
        raise NotImplementedError

    def clear(self) -> None:
        """Forgets all values, and the values that were added to its labels."""
        for label in self.labels:
            label.clear()

    def _known(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(label.known(value) for label, value in zip(self.labels, labels, strict=True))


Value = TypeVar("Value")


class _Recorded(Instrument, Generic[Value]):
    """An instrument whose values are kept from recording to recording."""

    def __init__(self, name: str, unit: str, text: str, labels: Sequence[Label] = ()) -> None:
        super().__init__(name, unit, text, labels)
        self._series: dict[tuple[str, ...], Value] = {}

    def clear(self) -> None:
        """Forgets all values."""
        super().clear()
        self._series.clear()

    def _new(self) -> Value:
        raise NotImplementedError

    def _find(self, labels: tuple[str, ...]) -> Value:
        """Returns the series of label values, with `_OTHER` for those that are not known."""
        known = self._known(labels)
        if known not in self._series and len(self._series) >= MOST_SERIES:
            known = (OTHER,) * len(labels)
        if (value := self._series.get(known)) is None:
            value = self._series[known] = self._new()
        return value


class Counter(_Recorded[list[float]]):
    """A sum that only grows."""

    def _new(self) -> list[float]:
        return [0.0]

    def add(self, amount: float, *labels: str) -> None:
        """Adds an amount, which is not negative."""
        if _State.is_on:
            (self._series.get(labels) or self._find(labels))[0] += amount

    def read(self) -> Values:
        """Returns the sums."""
        return [(labels, value) for labels, (value,) in self._series.items()]


class Histogram(_Recorded[Spread]):
    """How values are spread over ranges.

    Attributes:
        bounds: Upper bounds of the ranges, growing; one more range is beyond the last.
    """

    def __init__(self, name: str, unit: str, text: str, labels: Sequence[Label], bounds: Sequence[float]) -> None:
        super().__init__(name, unit, text, labels)
        self.bounds = tuple(bounds)

    def _new(self) -> Spread:
        return Spread(len(self.bounds) + 1)

    def record(self, value: float, *labels: str) -> None:
        """Records a value. It is an exemplar too if the current span is sampled."""
        if not _State.is_on:
            return
        spread = self._series.get(labels) or self._find(labels)
        index = bisect_left(self.bounds, value)
        spread.counts[index] += 1
        spread.sum += value
        if _State.span and (span := _State.span()):
            spread.exemplars[index] = Exemplar(value, time.time(), *span)

    def read(self) -> Values:
        """Returns a Spread for each combination of label values."""
        return [(labels, spread.copy()) for labels, spread in self._series.items()]


class Gauge(Instrument):
    """A value that goes up and down, read when somebody asks for it."""

    def __init__(self, name: str, unit: str, text: str, labels: Sequence[Label] = ()) -> None:
        super().__init__(name, unit, text, labels)
        self._sources: list[Callable[[], Reading]] = []

    def watch(self, source: Callable[[], Reading]) -> Callable[[], None]:
        """Reads the values from a source whenever they are asked for. Returns a function that ends this."""
        self._sources.append(source)
        return lambda: None if source not in self._sources else self._sources.remove(source)

    def read(self) -> Values:
        """Returns the values now, in sum if several sources have the same labels, or several labels are `_OTHER`."""
        sums: dict[tuple[str, ...], float] = {}
        for source in self._sources:
            for value, labels in source():
                known = self._known(labels)
                sums[known] = sums.get(known, 0.0) + value
        return list(sums.items())

    def clear(self) -> None:
        """Forgets all sources."""
        super().clear()
        self._sources.clear()


class Snapshot(NamedTuple):
    """The values of all instruments at one moment.

    Attributes:
        since: When recording began, in seconds since 1970.
        at: The moment, likewise.
        values: The instruments with their values.
    """

    since: float
    at: float
    values: list[tuple[Instrument, Values]]


def take_snapshot(instruments: Iterable[Instrument]) -> Snapshot:
    """Returns the values now. Call it in the thread of the event loop; any thread may use the snapshot.

    A gauge that can't be read is without values, and the log says why.
    """
    values: list[tuple[Instrument, Values]] = []
    for each in instruments:
        try:
            values.append((each, each.read()))
        except Exception:
            log.exception("gauge", metric=each.name)
    return Snapshot(_State.since, time.time(), values)
