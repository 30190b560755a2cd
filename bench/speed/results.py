"""Results of a measurement: medians of rounds, ratios to a reference, spreads, and whether they are fit to quote.

A ratio is taken within a round, since other work on the machine moves both of its sides; the median of these is quoted
with the least and the largest, of six rounds or more without the lowest and the highest quarter. A run says that it is
too noisy to quote if other processes took more than a tenth of the machine, or if the ratios of one cell that are left
are further apart than a third of their median.

Two runs agree on a ratio if the medians are no further apart than the spread that either prints for it. Rounds that
share the gateways' processes can't show what a fresh start of these changes: 15 % are always allowed. On a measurement
that one of the runs calls too noisy, they neither agree nor disagree.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from bench.speed.machine import Load, described

__all__ = ["Comparison", "Figure", "Results", "agreement", "read", "write"]

MOST_OTHERS = 0.10
"""Part of the machine's processors that other processes may take in a run that is quoted."""
MOST_SPREAD = 0.33
"""Distance between the least and the largest ratio of a cell, as a part of the median, in a run that is quoted."""

FEWEST_TRIMMED = 6
"""Fewest rounds of which the lowest and the highest quarter are left out: a machine that is shared stalls at times."""

LEAST_APART = 0.15
"""Part by which the medians of two runs may always differ."""


@dataclass(frozen=True)
class Figure:
    """A column.

    Attributes:
        name: Its name, with the unit.
        digits: Digits after the point.
        ratio: Whether ratios to the reference are quoted.
        better: Whether more or less of it is better; empty if neither is.
        worst: Whether the largest of the rounds is quoted, in the place of the median.
    """

    name: str
    digits: int = 1
    ratio: bool = False
    better: Literal["more", "less", ""] = "less"
    worst: bool = False


Rounds = list[dict[str, float]]


@dataclass
class Results:
    """The rounds of one measurement, by load and target.

    Attributes:
        command: The measurement's name.
        title: What was measured, a heading.
        reference: The target that ratios refer to.
        figures: The columns.
        settings: The arguments of the run.
        absent: Targets that were left out, with the reason.
        errors: What went wrong, by load and target, with the number of times.
    """

    command: str
    title: str
    reference: str
    figures: Sequence[Figure]
    settings: dict[str, Any] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    rounds: dict[str, dict[str, Rounds]] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=described)
    began: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))
    load_average: float = 0.0
    others: float = 0.0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._load, self._clock = Load(), time.monotonic()

    def add(self, load: str, target: str, figures: dict[str, float]) -> None:
        """Adds a round; `load` names what all targets were given alike."""
        self.rounds.setdefault(load, {}).setdefault(target, []).append(figures)

    def failed(self, load: str, target: str, errors: dict[str, int]) -> None:
        """Notes errors. A run with errors is not quoted."""
        for error, number in errors.items():
            key = f"{load}, {target}: {error}"
            self.errors[key] = self.errors.get(key, 0) + number

    def close(self) -> "Results":
        """Notes how long the run took, and what other processes took of the machine."""
        self.load_average, self.others = round(self._load.average, 2), round(self._load.others(), 3)
        self.seconds = round(time.monotonic() - self._clock, 1)
        return self

    def value(self, load: str, target: str, figure: str) -> float:
        """Returns what is quoted of a figure: the median of the rounds, or the largest."""
        quoted = max if any(each.worst for each in self.figures if each.name == figure) else median
        return quoted(each[figure] for each in self.rounds[load][target])

    def ratios(self, load: str, target: str, figure: str, base: str = "") -> list[float]:
        """Returns a figure's ratio to that of another target in each round that counts, in ascending order.

        Args:
            load: The load.
            target: Whose figure it is.
            figure: Its name.
            base: The other target; the reference if empty. Without rounds of it, there are no ratios.
        """
        theirs = self.rounds[load].get(base or self.reference, [])
        pairs = zip(self.rounds[load][target], theirs, strict=False)
        found = sorted(ours[figure] / base[figure] for ours, base in pairs if base.get(figure) and figure in ours)
        left_out = len(found) // 4 if len(found) >= FEWEST_TRIMMED else 0
        return found[left_out : len(found) - left_out]

    def cells(self) -> dict[str, list[float]]:
        """Returns the ratios to the reference that are quoted, by load, target and figure."""
        return {
            f"{load}, {target}, {figure.name}": ratios
            for load, targets in self.rounds.items()
            for target in targets
            for figure in self.figures
            if figure.ratio and target != self.reference
            if (ratios := self.ratios(load, target, figure.name)) and median(ratios)
        }

    def doubts(self) -> list[str]:
        """Returns why the run is not fit to quote; empty if it is."""
        found = []
        if self.others > MOST_OTHERS:
            found.append(f"other processes took {self.others:.0%} of the machine")
        wide = {cell: wide for cell, ratios in self.cells().items() if (wide := spread(ratios)) > MOST_SPREAD}
        if wide:
            worst = max(wide, key=wide.__getitem__)
            found.append(f"{len(wide)} of the ratios spread over more than {MOST_SPREAD:.0%}, most of all {worst}")
        if self.errors:
            found.append(f"{sum(self.errors.values())} errors")
        return found

    def table(self) -> str:
        """Returns the medians and ratios as a table in Markdown, with a verdict below."""
        shown = [figure for figure in self.figures if any(self._has(figure.name))]
        lines = [
            "| " + " | ".join(["load", "target", *(figure.name for figure in shown)]) + " |",
            "| --- | --- |" + " --- |" * len(shown),
        ]
        for load, targets in self.rounds.items():
            for target in targets:
                cells = [self._cell(load, target, figure) for figure in shown]
                lines.append("| " + " | ".join([load, target, *cells]) + " |")
        return "\n".join([*lines, "", *self.notes()])

    def notes(self) -> Iterable[str]:
        """Yields the lines below the table: the verdict, errors and absent targets."""
        rounds = max((len(each) for targets in self.rounds.values() for each in targets.values()), default=0)
        load = f", load by {self.settings['load']}" if "load" in self.settings else ""
        yield (
            f"{self.began}, rounds: {rounds}, {self.seconds:.0f} s{load}; Celeste at {self.machine['celeste']}; load "
            f"average {self.load_average:g} at the start; other processes took {self.others:.0%} of the machine."
        )
        doubts = self.doubts()
        yield f"**Too noisy to quote**: {'; '.join(doubts)}." if doubts else "Fit to quote."
        for error, number in self.errors.items():
            yield f"* {number} x {error}"
        for name, reason in self.absent.items():
            yield f"* {name} is absent: {reason}"

    def saved(self) -> dict[str, Any]:
        """Returns everything as JSON values."""
        values = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return values | {"figures": [vars(figure) for figure in self.figures], "doubts": self.doubts()}

    def _has(self, figure: str) -> Iterable[bool]:
        return (figure in each for targets in self.rounds.values() for rounds in targets.values() for each in rounds)

    def _cell(self, load: str, target: str, figure: Figure) -> str:
        rounds = self.rounds[load][target]
        if not all(figure.name in each for each in rounds):
            return ""
        text = f"{self.value(load, target, figure.name):,.{figure.digits}f}"
        ratios = self.ratios(load, target, figure.name) if figure.ratio and target != self.reference else []
        if not ratios:
            return text
        spread = f" [{ratios[0]:.2f}-{ratios[-1]:.2f}]" if len(ratios) > 1 else ""
        return f"{text} (x{median(ratios):.2f}{spread})"


def loaded(saved: dict[str, Any]) -> Results:
    """Returns results that `saved` wrote."""
    values = {name: value for name, value in saved.items() if name not in ("figures", "doubts")}
    return Results(figures=[Figure(**each) for each in saved["figures"]], **values)


def spread(ratios: Sequence[float]) -> float:
    """Returns the distance between the least and the largest of ascending ratios, as a part of their median."""
    return (ratios[-1] - ratios[0]) / abs(median(ratios))


@dataclass(frozen=True)
class Comparison:
    """A ratio in two runs.

    Attributes:
        cell: Its name.
        first: The median of the first run.
        second: That of the second.
        allowed: How far apart these may be, as a part of the first.
        is_noisy: Whether one of the runs calls the measurement too noisy to quote.
    """

    cell: str
    first: float
    second: float
    allowed: float
    is_noisy: bool = False

    @property
    def apart(self) -> float:
        """How far the second median is from the first, as a part of it."""
        return (self.second - self.first) / abs(self.first)

    @property
    def agrees(self) -> bool:
        """Whether the medians are no further apart than they may be."""
        return abs(self.apart) <= self.allowed


def agreement(first: Sequence[Results], second: Sequence[Results]) -> list[Comparison]:
    """Compares each ratio that two runs have in common."""
    found = []
    theirs = {each.command: each for each in second}
    for run in first:
        if not (other_run := theirs.get(run.command)):
            continue
        others, is_noisy = other_run.cells(), bool(run.doubts() or other_run.doubts())
        for cell, ratios in run.cells().items():
            if other := others.get(cell):
                allowed = max(LEAST_APART, spread(ratios), spread(other))
                found.append(Comparison(f"{run.command}: {cell}", median(ratios), median(other), allowed, is_noisy))
    return found


def write(file: Path, results: Sequence[Results]) -> None:
    """Writes results as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([each.saved() for each in results], indent=1) + "\n")


def read(file: Path) -> list[Results]:
    """Reads results that `write` wrote."""
    return [loaded(each) for each in json.loads(file.read_text())]
