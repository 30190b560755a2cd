"""The values of metrics: what is recorded, and how many time series there can be."""

from collections.abc import Iterator

import pytest

from celeste_image.telemetry import instruments
from celeste_image.telemetry.series import (
    MOST_SERIES,
    OTHER,
    Counter,
    Gauge,
    Histogram,
    Label,
    begin_recording,
    end_recording,
    take_exemplars,
)

MODEL = Label("model", "a model", ["a/one"], source="models")
CALLS = Counter("calls", "", "Calls", [MODEL])
SECONDS = Histogram("seconds", "s", "Time", [MODEL], [0.1, 1.0])
DEPTH = Gauge("depth", "", "Depth", [MODEL])


@pytest.fixture(autouse=True)
def _recording() -> Iterator[None]:
    begin_recording([CALLS, SECONDS, DEPTH])
    yield
    end_recording()


def test_values_are_kept_by_their_labels() -> None:
    MODEL.allow(["b/two"])
    for model, seconds in (("a/one", 0.1), ("a/one", 0.2), ("b/two", 9.0)):
        CALLS.add(2, model)
        SECONDS.record(seconds, model)
    assert dict(CALLS.read()) == {("a/one",): 4, ("b/two",): 2}
    assert {labels: (spread.counts, spread.sum) for labels, spread in SECONDS.read()} == {
        ("a/one",): ([1, 1, 0], pytest.approx(0.3)),
        ("b/two",): ([0, 0, 1], 9.0),
    }


def test_values_that_callers_choose_are_one_series() -> None:
    for number in range(100):
        CALLS.add(1, f"made/{number}")
        SECONDS.record(1, f"made/{number}")
    with pytest.raises(ValueError, match="the values of stage are fixed"):
        instruments.STAGE.allow(["more"])
    assert CALLS.read() == [((OTHER,), 100)]
    assert [labels for labels, _ in SECONDS.read()] == [(OTHER,)]


def test_an_instrument_has_a_last_series() -> None:
    MODEL.allow(map(str, range(2 * MOST_SERIES)))
    for number in range(2 * MOST_SERIES):
        CALLS.add(1, str(number))
    CALLS.add(1, "0")
    found = dict(CALLS.read())
    assert len(found) == MOST_SERIES + 1
    assert found["0",] == 2
    assert found[OTHER,] == MOST_SERIES


def test_a_gauge_is_read_from_what_it_watches() -> None:
    depth = {"a/one": 1, "made/1": 2, "made/2": 3}
    end = DEPTH.watch(lambda: [(value, (model,)) for model, value in depth.items()])
    assert dict(DEPTH.read()) == {("a/one",): 1, (OTHER,): 5}
    depth["a/one"] = 7
    assert dict(DEPTH.read())["a/one",] == 7
    end()
    end()
    assert DEPTH.read() == []


def test_an_exemplar_is_the_last_value_of_a_sampled_span() -> None:
    spans = [(0xA, 1), None, (0xB, 2), (0xC, 3)]
    take_exemplars(lambda: spans.pop(0))
    for seconds in (0.01, 0.02, 0.03, 5.0):
        SECONDS.record(seconds, "a/one")
    ((_, spread),) = SECONDS.read()
    found = [each and (each.value, each.trace_id, each.span_id) for each in spread.exemplars]
    assert found == [(0.03, 0xB, 2), None, (5.0, 0xC, 3)]


def test_nothing_is_recorded_while_metrics_are_off() -> None:
    end_recording()
    CALLS.add(1, "a/one")
    SECONDS.record(1, "a/one")
    assert not CALLS.read()
    assert not SECONDS.read()


def test_instruments_and_labels_have_one_name_each() -> None:
    names = [each.name for each in instruments.INSTRUMENTS]
    assert len(names) == len(set(names)) > 30
    for each in instruments.INSTRUMENTS:
        labels = [label.name for label in each.labels]
        assert len(labels) == len(set(labels))
        assert each.text and not each.text.endswith(".")
        assert each.unit in ("", "s", "By")
        assert all(label.fixed or label.source for label in each.labels)
