"""The metrics of `celeste serve`: an address for Prometheus, an export by OTLP, and no secret in either."""

import json
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
from tests.support.command import CELESTE
from tests.support.otlp import receiving

SECRET = "canary-5f3759df"


def serve(**environment: str) -> subprocess.Popen[str]:
    own = {
        "CELESTE_LOG__FORMAT": "json",
        "CELESTE_SERVER__LISTEN": '["127.0.0.1:0"]',
        "CELESTE_SERVER__DRAIN_SECONDS": "0",
        "CELESTE_STORE__URL": "memory:///",
    }
    return subprocess.Popen([*CELESTE, "serve"], stderr=subprocess.PIPE, text=True, env=os.environ | own | environment)


@pytest.mark.faults
def test_a_server_is_scraped_and_exports_its_last_values(tmp_path: Path) -> None:
    with receiving() as receiver:
        server = serve(
            CELESTE_METRICS__LISTEN="127.0.0.1:0",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=receiver.endpoint,
            OTEL_EXPORTER_OTLP_METRICS_HEADERS=f"api-key={SECRET}",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        )
        assert server.stderr
        with server:
            serving = next(line for line in map(json.loads, server.stderr) if line["event"] == "serving")
            with urllib.request.urlopen(serving["metrics"]) as answer:
                page = answer.read().decode()
            environment = Path(f"/proc/{server.pid}/environ").read_bytes()
            server.send_signal(signal.SIGTERM)
            log = server.stderr.read()
        assert server.returncode == 0
        (request,) = receiver.metrics
    assert receiver.headers[-1]["api-key"] == SECRET
    assert 'deployment_environment_name="test"' in page
    assert "celeste_provider_places" in page
    (scope,) = request.resource_metrics[0].scope_metrics
    names = {metric.name for metric in scope.metrics}
    assert "celeste.provider.places" in names
    for text in (page, log, json.dumps(serving), str(request), environment.decode(errors="replace")):
        assert SECRET not in text


@pytest.mark.faults
def test_an_address_in_use_ends_the_start(tmp_path: Path) -> None:
    first = serve(CELESTE_METRICS__LISTEN="127.0.0.1:0")
    assert first.stderr
    with first:
        serving = next(line for line in map(json.loads, first.stderr) if line["event"] == "serving")
        address = serving["metrics"].removeprefix("http://").removesuffix("/metrics")
        second = serve(CELESTE_METRICS__LISTEN=address)
        assert second.stderr
        with second:
            (line,) = map(json.loads, second.stderr)
        first.terminate()
    assert (second.returncode, line["event"], line["level"]) == (1, "start", "error")
    assert "metrics.listen" in line["error"]
    assert address in line["error"]


@pytest.mark.faults
def test_the_server_of_a_command_opens_no_address(tmp_path: Path) -> None:
    """Two commands at a time would want the same one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = {"CELESTE_METRICS__LISTEN": f"127.0.0.1:{taken.getsockname()[1]}", "CELESTE_ADDRESS": ""}
        done = subprocess.run([*CELESTE, "models"], capture_output=True, env=os.environ | environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert b"local/compose" in done.stdout
