"""Dashboards and rules name only what the server declares, and operators find a section for each alert."""

import re
from collections.abc import Iterable
from typing import Any

import pytest
import yaml
from tests.support.promql import ROOT, Matcher, alerts, grouped, matchers, panel_queries, recorded, variables

from celeste_image.core.errors import ERRORS
from celeste_image.telemetry.instruments import INSTRUMENTS
from celeste_image.telemetry.prometheus import prometheus_name
from celeste_image.telemetry.series import Histogram, Label

PAGE = (ROOT / "docs" / "operate.md").read_text()
TARGET = {"job", "instance"}
"""What Prometheus adds to each time series of a server."""
FROM_LIBRARY = (
    *("celeste_build_info", "process_open_fds", "process_max_fds", "process_start_time_seconds"),
    *("process_resident_memory_bytes", "process_cpu_seconds_total"),
)
QUERIES = {
    **{name: target["expr"] for name, target in panel_queries().items()},
    **{f"{rule['record']} {rule.get('labels', '')}": rule["expr"] for rule in recorded()},
    **{rule["alert"]: rule["expr"] for rule in alerts()},
}


def declared() -> dict[str, dict[str, Label | None]]:
    """Returns the labels of each metric, by their names in Prometheus."""
    found: dict[str, dict[str, Label | None]] = {name: {} for name in ("up", *FROM_LIBRARY)}
    for each in INSTRUMENTS:
        labels: dict[str, Label | None] = {label.name.replace(".", "_"): label for label in each.labels}
        name = prometheus_name(each)
        if isinstance(each, Histogram):
            found[f"{name}_bucket"] = labels | {"le": None}
            found |= {f"{name}_sum": labels, f"{name}_count": labels}
        else:
            found[name] = labels
    for rule in recorded():
        outcome = dict.fromkeys(rule.get("labels", {}))
        found[rule["record"]] = found.get(rule["record"], {}) | outcome | dict.fromkeys(grouped(rule["expr"]) - {"le"})
    return found


DECLARED = declared()


@pytest.mark.parametrize("expr", QUERIES.values(), ids=QUERIES)
def test_a_query_names_declared_metrics_and_labels(expr: str) -> None:
    found = list(matchers(expr))
    assert found
    known: set[str] = set()
    for matcher in found:
        assert matcher.metric in DECLARED, f"no such metric: {matcher.metric}"
        labels = DECLARED[matcher.metric]
        known |= set(labels)
        if matcher.label and matcher.label not in TARGET:
            assert matcher.label in labels, f"{matcher.metric} has no label {matcher.label}"
            assert not unknown_values(matcher, labels[matcher.label])
    assert grouped(expr) <= known | TARGET


@pytest.mark.parametrize("query", variables().values(), ids=variables())
def test_a_choice_of_a_dashboard_has_values(query: str) -> None:
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
    assert found
    test_a_query_names_declared_metrics_and_labels(found[1])
    (metric,) = {matcher.metric for matcher in matchers(found[1])}
    assert found[2] in TARGET | set(DECLARED[metric])


def unknown_values(matcher: Matcher, label: Label | None) -> set[str]:
    """Returns the values of a condition that the label never has. Only labels with fixed values are looked at."""
    if label is None or label.source or "$" in matcher.value:
        return set()
    asked = matcher.value.split("|") if "~" in matcher.operator else [matcher.value]
    return {value for value in asked if not any(re.fullmatch(value, known) for known in label.fixed)}


@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        ("sum(celeste_imagess_total)", "no such metric: celeste_imagess_total"),
        ('rate(celeste_images_total{model="x"}[5m])', "celeste_images_total has no label model"),
        ('celeste_worker_ends_total{reason=~"crashed|tired"}', "tired"),
        ("sum by (pool) (celeste_store_free_bytes)", "pool"),
        ('up offset 5m unless rpc_server_call_duration_seconds{job="a"}', "no such metric: rpc_server_call_duration_"),
    ],
)
def test_a_wrong_query_is_found(expr: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        test_a_query_names_declared_metrics_and_labels(expr)


def test_each_reason_has_one_outcome() -> None:
    lists: list[str] = []
    for rule in recorded():
        if rule["record"] == "job:celeste_calls:rate5m" and rule["labels"]["outcome"] != "ok":
            (matcher,) = [each for each in matchers(rule["expr"]) if each.label == "error_type"]
            lists += matcher.value.split("|")
    assert sorted(lists) == sorted(ERRORS)


def test_each_alert_has_its_section() -> None:
    sections = re.findall(r"^### (Celeste\w+)$", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted(rule["alert"] for rule in alerts())
    for rule in alerts():
        assert rule["annotations"]["runbook_url"] == f"docs/operate.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert f"| [{rule['alert']}](#{rule['alert'].lower()}) | {rule['labels']['severity']} |" in PAGE


def test_each_alert_is_tested_to_fire_and_to_keep_silent() -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for path in (ROOT / "deploy" / "prometheus" / "tests").glob("*.yml"):
        for case in (case for test in yaml.safe_load(path.read_text())["tests"] for case in test["alert_rule_test"]):
            (fires if case["exp_alerts"] else silent).add(case["alertname"])
    assert fires == {rule["alert"] for rule in alerts()}
    assert fires - silent == {  # among the time series of these tests are some that must not fire
        "CelesteFilesNearLimit",
        "CelesteLoopLate",
        "CelesteMemoryNearLimit",
        "CelesteModelEnds",
        "CelesteProviderFailing",
        "CelesteQueueOld",
        "CelesteStoreFills",
    }


def test_the_compose_file_and_what_it_mounts_agree() -> None:
    folder = ROOT / "deploy" / "observability"
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    services = compose["services"]
    mounts = {source: target for name in services for source, target, *_ in volumes(services[name])}
    for source in (source for source in mounts if source.startswith(".")):
        assert (folder / source).exists(), source
    assert {name for name in mounts if not name.startswith(".")} == set(compose["volumes"])
    environment = services["celeste"]["environment"]
    (targets,) = yaml.safe_load((folder / "targets.yml").read_text())
    assert targets["targets"] == [f"celeste:{environment['CELESTE_METRICS__LISTEN'].rpartition(':')[2]}"]
    collector = yaml.safe_load((folder / "collector.yaml").read_text())
    receiver = collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://collector:{receiver.rpartition(':')[2]}"
    for pipeline in collector["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(collector[kind])
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/celeste.yaml").read_text())["datasources"]
    assert {source["url"].split("/")[2].partition(":")[0] for source in sources} <= set(services)
    exemplars = sources[0]["jsonData"]["exemplarTraceIdDestinations"]
    assert [each["datasourceUid"] for each in exemplars] == [sources[1]["uid"]]
    (provider,) = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/celeste.yaml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == mounts["../grafana/dashboards"]


def volumes(service: dict[str, Any]) -> Iterable[list[str]]:
    return (volume.split(":") for volume in service.get("volumes", []))
