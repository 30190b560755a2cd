"""Tools that know nothing of us: buf curl and grpcurl, by reflection."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import CELESTE
from tests.support.ports import free_port

BIN = Path(sys.executable).parent
SERVICES = {
    "celeste.image.v1.ArtifactService",
    "celeste.image.v1.ImageService",
    "celeste.image.v1.ModelService",
    "celeste.image.v1.UsageService",
    "celeste.image.v1.ArtifactHttpService",
    "grpc.health.v1.Health",
}
GENERATE = '{"prompt": "a boat", "seed": "9", "size": {"width": 64, "height": 64}}'


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server on TCP, since these tools have no Unix sockets."""
    port = free_port()
    command = [*CELESTE, "serve", "--listen", f"127.0.0.1:{port}", "--store", "memory:///"]
    with (tmp_path_factory.mktemp("log") / "log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log)
    health = [*CELESTE, "health", "--address", f"127.0.0.1:{port}", "--wait", "30"]
    subprocess.run(health, check=True, stdout=subprocess.DEVNULL)
    yield port
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 0


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()


def buf_curl(port: int, method: str, data: str = "{}") -> dict[str, object]:
    url = f"http://127.0.0.1:{port}/{method}"
    answer = output(BIN / "buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d", data, url)
    return dict(json.loads(answer))


def grpcurl(port: int, method: str, data: str = "{}") -> dict[str, object]:
    return dict(json.loads(output(BIN / "grpcurl", "-plaintext", "-d", data, f"127.0.0.1:{port}", method)))


def test_both_list_the_services(port: int) -> None:
    listed = output(BIN / "grpcurl", "-plaintext", f"127.0.0.1:{port}", "list").split()
    assert set(listed) >= SERVICES
    url = f"http://127.0.0.1:{port}"
    methods = output(BIN / "buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-methods", url)
    assert {line.partition("/")[0] for line in methods.split()} >= SERVICES


@pytest.mark.parametrize("call", [buf_curl, grpcurl])
def test_both_run_calls(port: int, call: object) -> None:
    assert callable(call)
    assert call(port, "grpc.health.v1.Health/Check") == {"status": "SERVING"}
    models = call(port, "celeste.image.v1.ModelService/ListModels")
    assert "local/compose" in {model["id"] for model in models["models"]}
    twice = [call(port, "celeste.image.v1.ImageService/Generate", GENERATE) for _ in range(2)]
    digests = {answer["result"]["images"][0]["sha256"] for answer in twice}
    assert len(digests) == 1
