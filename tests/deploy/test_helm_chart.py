"""The Helm chart: what it makes passes Kubernetes' schemas, fits the server, and refuses what would not work."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.helm import CHART, Refused, lint, rendered, schema_problems

from celeste_image.config import ServerSettings, Settings

LIVENESS, READINESS = "liveness", "readiness"
TELL_SECONDS = 3.0
"""What the cancelled calls of a drain get to tell their callers."""
VERSIONS = ("1.27", "1.37")
"""The least and the newest Kubernetes that the chart is checked for."""
BUCKET = {"store": {"url": "s3://images/celeste"}}
SETS: dict[str, dict[str, Any]] = {
    "mesh": {"insecure": True},
    "tls": {"tls": {"secretName": "celeste-tls"}},
    "mtls": {"tls": {"secretName": "celeste-tls", "clientCertificates": True}},
    "replicas": {
        "insecure": True,
        "replicas": 3,
        "settings": BUCKET | {"server": {"drain_seconds": 90.5}, "providers": {"openai": {"key": "env:OPENAI"}}},
        "secrets": {"openai": {"secretName": "vendors", "key": "openai"}},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector.observability:4317"}],
        "imagePullSecrets": [{"name": "registry"}],
        "networkPolicy": {
            "clients": [{"namespaceSelector": {"matchLabels": {"team": "web"}}}],
            "egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 4317}]}],
        },
        "serviceAccount": {"annotations": {"iam.example.com/role": "images"}},
        "podAnnotations": {"team": "images"},
        "podLabels": {"team": "images"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "images", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "podDisruptionBudget": {"maxUnavailable": "34%"},
    },
    "claim": {"insecure": True, "persistence": {"enabled": True, "storageClass": "fast"}},
    "existing claim": {"insecure": True, "persistence": {"existingClaim": "images"}, "metrics": {"enabled": False}},
    "closed": {"insecure": True, "networkPolicy": {"clients": [], "monitoring": []}},
    "bare": {
        "insecure": True,
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "service": {"type": "LoadBalancer", "port": 443},
    },
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "neither TLS nor the word": ({}, "set tls.secretName; or insecure=true"),
    "replicas without a common store": ({"insecure": True, "replicas": 2}, "need a common store"),
    "replicas with one claim": (
        {"insecure": True, "replicas": 2, "settings": BUCKET, "persistence": {"enabled": True}},
        "a claim belongs to one replica",
    ),
    "a misspelt value": ({"insecure": True, "replica": 2}, "replica"),
    "no number": ({"insecure": True, "replicas": "two"}, "replicas"),
    "a wrong word": ({"tls": {"secretName": "a", "clientCertificates": "maybe"}}, "clientCertificates"),
    "no time to end": ({"insecure": True, "terminationMarginSeconds": 0}, "terminationMarginSeconds"),
}


@cache
def charts() -> dict[str, list[dict[str, Any]] | Refused]:
    """Returns what the chart makes of all sets, rendered by one process."""
    sets = SETS | {name: values for name, (values, _) in REFUSED.items()}
    return dict(zip(sets, rendered(list(sets.values())), strict=True))


def objects(name: str) -> list[dict[str, Any]]:
    found = charts()[name]
    assert not isinstance(found, Refused), found
    return found


def one(name: str, kind: str) -> dict[str, Any]:
    (found,) = [each for each in objects(name) if each["kind"] == kind]
    return found


def pod(name: str) -> dict[str, Any]:
    return dict(one(name, "Deployment")["spec"]["template"]["spec"])


def container(name: str) -> dict[str, Any]:
    (found,) = pod(name)["containers"]
    return dict(found)


def settings(name: str) -> dict[str, Any]:
    (text,) = one(name, "ConfigMap")["data"].values()
    return dict(yaml.safe_load(text))


def different() -> list[dict[str, Any]]:
    """Returns the objects of all sets that differ in more than texts that follow from others."""
    kinds = {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "PersistentVolumeClaim", "Service"}
    found = {
        json.dumps(each): each
        for name in SETS
        for each in objects(name)
        if each["kind"] in kinds or (name == "replicas" and "monitoring.coreos.com" not in each["apiVersion"])
    }
    return list(found.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_each_object(version: str) -> None:
    kinds = {each["kind"] for each in different()}
    assert kinds == {each["kind"] for name in SETS for each in objects(name)} - {"ServiceMonitor"}
    # Of an older version one set that has everything is enough: each object takes a tenth of a second.
    checked = different() if version == VERSIONS[-1] else [*objects("replicas"), one("claim", "PersistentVolumeClaim")]
    native = [each for each in checked if each["kind"] != "ServiceMonitor"]
    assert [problem for each in native for problem in schema_problems(each, version)] == []


def test_a_wrong_object_is_found() -> None:
    wrong = one("mesh", "Deployment")
    assert schema_problems(wrong | {"spec": wrong["spec"] | {"replcas": 2}}, VERSIONS[0])


def test_helm_lint_finds_nothing() -> None:
    assert [message for message in lint(SETS["replicas"]) if "icon is recommended" not in message] == []


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_would_not_work_are_refused(name: str) -> None:
    found = charts()[name]
    assert isinstance(found, Refused)
    assert REFUSED[name][1] in str(found)


@pytest.mark.parametrize("name", SETS)
def test_the_server_takes_its_settings(name: str) -> None:
    found = Settings.model_validate(settings(name))
    assert found.server.listen[0] == "0.0.0.0:50051"
    assert found.log.format == "json"


@pytest.mark.parametrize("name", SETS)
def test_what_is_mounted_exists_and_what_the_settings_name_is_mounted(name: str) -> None:
    volumes = {volume["name"] for volume in pod(name)["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container(name)["volumeMounts"]}
    assert set(mounts.values()) == volumes
    config = container(name)["args"][container(name)["args"].index("--config") + 1]
    for path in (config, *paths(settings(name))):
        assert any(path.startswith(f"{mount}/") for mount in mounts), path


def paths(values: Any) -> Iterator[str]:
    """Yields the paths of files that settings name."""
    if isinstance(values, dict):
        for value in values.values():
            yield from paths(value)
    elif isinstance(values, list):
        for value in values:
            yield from paths(value)
    elif isinstance(values, str) and (found := re.match(r"(?:file://|file:|unix:)?(/.+)", values)):
        yield found[1]


@pytest.mark.parametrize("name", SETS)
def test_selectors_and_ports_meet(name: str) -> None:
    deployment = one(name, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"] for port in container(name)["ports"]}
    services = [each for each in objects(name) if each["kind"] == "Service"]
    selectors = [service["spec"]["selector"] for service in services]
    selectors += [
        each["spec"]["selector" if each["kind"] != "NetworkPolicy" else "podSelector"]["matchLabels"]
        for each in objects(name)
        if each["kind"] in ("Deployment", "PodDisruptionBudget", "NetworkPolicy")
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert {port["targetPort"] for service in services for port in service["spec"]["ports"]} == ports - {"admin"}
    for each in (each for each in objects(name) if each["kind"] == "ServiceMonitor"):
        wanted = each["spec"]["selector"]["matchLabels"].items()
        (service,) = [service for service in services if wanted <= service["metadata"]["labels"].items()]
        (endpoint,) = each["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert {"targetLabel": "job", "replacement": "celeste"} in endpoint["relabelings"]


@pytest.mark.parametrize("name", SETS)
def test_a_pod_has_longer_than_its_drain(name: str) -> None:
    drain = settings(name)["server"].get("drain_seconds", ServerSettings().drain_seconds)
    assert pod(name)["terminationGracePeriodSeconds"] >= drain + TELL_SECONDS + 5


@pytest.mark.parametrize("name", SETS)
def test_the_pod_has_no_more_rights_than_the_profile_restricted_allows(name: str) -> None:
    rights, of_pod = container(name)["securityContext"], pod(name)["securityContext"]
    assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (False, True)
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert (of_pod["runAsNonRoot"], of_pod["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert {of_pod["runAsUser"], of_pod["runAsGroup"], of_pod["fsGroup"]} == {10001}
    assert pod(name)["automountServiceAccountToken"] is False
    image = (CHART.parents[2] / "Dockerfile").read_text()
    assert "USER 10001:10001" in image


@pytest.mark.parametrize("name", SETS)
def test_kubernetes_asks_the_admin_listener_which_nothing_else_reaches(name: str) -> None:
    port = int(settings(name)["admin"]["listen"].rpartition(":")[2])
    for probe, service in (("startupProbe", LIVENESS), ("livenessProbe", LIVENESS), ("readinessProbe", READINESS)):
        assert container(name)[probe]["grpc"] == {"port": port, "service": service}
    services = [each for each in objects(name) if each["kind"] == "Service"]
    assert "admin" not in {port["targetPort"] for service in services for port in service["spec"]["ports"]}
    for policy in (each for each in objects(name) if each["kind"] == "NetworkPolicy"):
        assert "admin" not in {port["port"] for rule in policy["spec"]["ingress"] or [] for port in rule["ports"]}


def test_an_empty_list_lets_nobody_in() -> None:
    """In a NetworkPolicy, a rule whose list is empty lets everybody in."""
    assert not one("closed", "NetworkPolicy")["spec"]["ingress"]
    for name in SETS:
        for each in (each for each in objects(name) if each["kind"] == "NetworkPolicy"):
            assert all(rule["from"] for rule in each["spec"]["ingress"] or [])


def test_addresses_inside_the_cluster_are_closed_unless_opened() -> None:
    rules = one("mesh", "NetworkPolicy")["spec"]["egress"]
    open_to = [peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(open_to[0]["except"])
    assert len(one("replicas", "NetworkPolicy")["spec"]["egress"]) == len(rules) + 1


def test_changed_settings_roll_the_pods() -> None:
    sums = {
        one(name, "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
        for name in ("mesh", "tls", "mtls", "replicas")
    }
    assert len(sums) == 4


def test_the_values_are_explained_and_described() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)
    page = (Path(CHART).parents[2] / "docs" / "deploy.md").read_text()
    assert [name for name in values if f"`{name}" not in page] == []
