"""Panels of Grafana dashboards: what dashboards.py lists becomes the JSON that Grafana reads.

The JSON follows Grafana's dashboard schema 39 (Grafana 11; newer ones read it). A panel has the default look of its
kind, so only what differs between panels is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Board", "Panel", "Query", "Row", "dashboard"]

SCHEMA = 39
WIDTH, HEIGHT = 24, 8
"""Columns of Grafana's grid, and the rows of it that a panel takes."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Query:
    """A PromQL query of a panel.

    Attributes:
        expr: The query. `SERVERS` stands for the selection of servers by the dashboard's variables.
        legend: Text for each time series; `{{label}}` is the value of a label.
        exemplars: Whether the panel marks traced calls. For queries of histograms' buckets.
    """

    expr: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes:
        title: What is shown.
        queries: One or more queries, all in one unit.
        unit: Grafana's name of the unit: `s`, `bytes`, `reqps`, `percentunit`, `short`.
        text: How to read the panel; shown on demand.
        kind: `timeseries`, `stat`, or `table` with the values of now.
        width: Columns of the grid, 24 to a row.
        stacked: Whether the time series are added up.
        warn: From this value on, a stat or a cell of a table is red; None means that no value is bad.
        bad_below: Whether values below `warn` are the bad ones.
    """

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    text: str = ""
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    warn: float | None = None
    bad_below: bool = False


@dataclass(frozen=True)
class Row:
    """A heading with panels below."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """A dashboard.

    Attributes:
        name: Name of its file, and end of its uid.
        title: Its title.
        text: What it answers.
        rows: Its panels.
        variables: More variables, as labels to choose by: their name, and the query of their values.
    """

    name: str
    title: str
    text: str
    rows: Sequence[Row]
    variables: Sequence[tuple[str, str]] = ()


def dashboard(board: Board) -> dict[str, Any]:
    """Returns a dashboard as Grafana's JSON."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in board.rows:
        panels.append(
            {"type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": _at(0, y, 24, 1)}
        )
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + HEIGHT
            panels.append(_panel(panel, _at(x, y, panel.width, HEIGHT)))
            x += panel.width
        y += HEIGHT
    for number, each in enumerate(panels, 1):
        each["id"] = number
    choices = [_choice("job", "label_values(celeste_build_info, job)")]
    choices += [_choice("instance", 'label_values(celeste_build_info{job=~"$job"}, instance)')]
    choices += [_choice(*variable) for variable in board.variables]
    links = {"type": "dashboards", "title": "Celeste", "tags": ["celeste"], "asDropdown": True, "keepTime": True}
    return {
        "uid": f"celeste-{board.name}",
        "title": board.title,
        "description": board.text,
        "tags": ["celeste"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [links | {"includeVars": True}],
        "annotations": {"list": []},
        "templating": {"list": [_source(), *choices]},
        "panels": panels,
    }


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _choice(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "hide": 0,
    }


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [_target(panel, query, chr(ord("A") + number)) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    } | ({"transformations": _columns()} if panel.kind == "table" else {})


def _target(panel: Panel, query: Query, letter: str) -> dict[str, Any]:
    is_now = panel.kind == "table"
    return {
        "refId": letter,
        "datasource": SOURCE,
        "expr": query.expr.replace("SERVERS", 'job=~"$job", instance=~"$instance"'),
        "legendFormat": query.legend,
        "range": not is_now,
        "instant": is_now,
        "format": "table" if is_now else "time_series",
        "exemplar": query.exemplars,
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warn is not None:
        steps = [{"color": "red" if panel.bad_below else "green", "value": None}]
        steps += [{"color": "green" if panel.bad_below else "red", "value": panel.warn}]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        defaults |= {"min": 0, "custom": {"fillOpacity": 40 if panel.stacked else 5, "stacking": stacking}}
    if panel.kind == "table" and panel.warn is not None:
        defaults["custom"] = {"cellOptions": {"type": "color-text"}}
    return defaults


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case "stat":
            calculated = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            return {"reduceOptions": calculated, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
        case "table":
            return {"showHeader": True}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _columns() -> list[dict[str, Any]]:
    """Returns what removes the column of the time, which is now."""
    return [{"id": "organize", "options": {"excludeByName": {"Time": True}}}]
