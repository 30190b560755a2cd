"""The dashboards and rules of `deploy/` as data: their queries, and the metrics and labels that a query names."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = [
    "ROOT",
    "Matcher",
    "alerts",
    "grouped",
    "matchers",
    "panel_queries",
    "recorded",
    "tried",
    "variables",
    "without_threshold",
]

ROOT = Path(__file__).parents[2]
BOARDS = ROOT / "deploy" / "grafana" / "dashboards"
WORD = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
THRESHOLD = re.compile(r"\s(?:[<>]=?|==)\s[\d.]+(?:\s\*\s[\d.]+)*")
OPERATORS = {"and", "or", "unless", "offset"}
VARIABLES = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*", "$provider": ".*", "$pool": ".*"}
"""Values of the dashboards' variables, as for `All`."""


@dataclass(frozen=True)
class Matcher:
    """One condition of a selector, `error_type=~"A|B"`. `label` is empty for a metric without conditions."""

    metric: str
    label: str = ""
    operator: str = ""
    value: str = ""


def matchers(expr: str) -> Iterator[Matcher]:
    """Yields the conditions of a query, one for each metric and label."""
    bare = GROUPING.sub("", re.sub(r"\[[^\]]*\]", "", expr))
    for name, _, inner in re.findall(rf'\b({WORD})(\{{((?:[^}}"]|"[^"]*")*)\}})?(?!\w|\s*\()', bare):
        if name not in OPERATORS:
            found = re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', inner)
            yield from (Matcher(name, *each) for each in found) if found else [Matcher(name)]


def grouped(expr: str) -> set[str]:
    """Returns the labels by which a query sums up or matches."""
    return {name for inner in GROUPING.findall(expr) for name in re.findall(WORD, inner)}


def without_threshold(expr: str) -> str:
    """Returns the query of an alert without its comparisons with numbers, so that it has a value at all times."""
    return THRESHOLD.sub("", expr)


def tried(expr: str) -> str:
    """Returns a panel's query with all that a reader of the dashboard can choose set to `All`."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return expr


@cache
def panel_queries() -> dict[str, dict[str, Any]]:
    """Returns the targets of all panels, by dashboard, title and letter: `traffic: Images A`."""
    found = {}
    for path in sorted(BOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                found[f"{path.stem}: {panel['title']} {target['refId']}"] = target
    return found


@cache
def variables() -> dict[str, str]:
    """Returns the queries that fill the choices of the dashboards, by dashboard and variable."""
    boards = {path.stem: json.loads(path.read_text()) for path in BOARDS.glob("*.json")}
    choices = ((name, each) for name, board in boards.items() for each in board["templating"]["list"])
    return {f"{name}: {each['name']}": each["definition"] for name, each in choices if each["type"] == "query"}


@cache
def recorded() -> list[dict[str, Any]]:
    """Returns the recording rules."""
    return _rules("recording.yml")


@cache
def alerts() -> list[dict[str, Any]]:
    """Returns the alerts."""
    return _rules("alerts.yml")


def _rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]
