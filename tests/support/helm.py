"""Renders the Helm chart, and checks what it makes by Kubernetes' own schemas.

Helm is Go in a shared library, so a rendering is a process of its own: `python -m tests.support.helm` reads one set of
values a line, in JSON, and writes one line for each: the files, or the error.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

__all__ = ["CHART", "Refused", "lint", "rendered", "schema_problems"]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "celeste"
RELEASE, NAMESPACE = "images", "studio"


class Refused(Exception):
    """Helm refused the values; with its words."""


def rendered(sets: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]] | Refused]:
    """Returns the objects that the chart makes of each set of values, or why Helm refuses them."""
    lines = "".join(f"{json.dumps(values)}\n" for values in sets)
    found: list[list[dict[str, Any]] | Refused] = []
    for line in _helm("render", lines).splitlines():
        answer = json.loads(line)
        if "refused" in answer:
            found.append(Refused(answer["refused"]))
        else:
            texts = [text for name, text in sorted(answer["files"].items()) if name.endswith(".yaml")]
            found.append([each for text in texts for each in yaml.safe_load_all(text) if each])
    return found


def lint(values: dict[str, Any]) -> list[str]:
    """Returns what `helm lint --strict` finds."""
    return list(json.loads(_helm("lint", json.dumps(values))))


def schema_problems(thing: dict[str, Any], version: str) -> list[str]:
    """Returns what Kubernetes of a version would not take of an object, unknown fields among it."""
    import kubernetes_validate

    try:
        kubernetes_validate.validate(thing, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{thing['kind']}: {'.'.join(map(str, error.path))}: {error.message}"]
    return []


def _helm(command: str, text: str) -> str:
    arguments = [sys.executable, "-m", "tests.support.helm", command]
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def main(command: str) -> None:
    """Runs Helm for the functions above."""
    import helm_python

    if command == "lint":
        result = helm_python.lint(CHART, values=json.load(sys.stdin), strict=True)
        print(json.dumps([str(message) for message in result["messages"]]))
        return
    with helm_python.Chart.load(CHART) as chart:
        for line in sys.stdin:
            values = json.loads(line)
            try:
                chart.validate_schema(values)
                answer = {"files": chart.render(values=values, name=RELEASE, namespace=NAMESPACE)}
            except helm_python.HelmError as error:
                answer = {"refused": str(error)}
            print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
