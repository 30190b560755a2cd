"""Fixture: a real inference server, kserve's ModelServer, in a process and an environment of its own."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from tests.support.ports import free_ports

from celeste_image.providers.kserve.v2 import inference_pb2 as pb

ROOT = Path(__file__).parents[3]
SERVER = Path(__file__).parent / "server"


@dataclass(frozen=True)
class Served:
    """The server's URL, and the file to which the model `sleeper` writes its log."""

    url: str
    sleeper: Path


@pytest.fixture(scope="session")
def kserve_python() -> Path:
    python = ROOT / ".venv-kserve" / "bin" / "python"
    if not python.exists():
        pytest.fail("there is no .venv-kserve: run make .venv-kserve/ready")
    return python


@pytest.fixture(scope="session")
def served(kserve_python: Path, pulled_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("kserve")
    grpc_port, http_port = free_ports(2)
    ports = [f"--grpc_port={grpc_port}", f"--http_port={http_port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [kserve_python, SERVER / "models.py", *ports, f"--weights={pulled_model_dir}"],
            env={"PATH": os.environ["PATH"], "SLEEPER_LOG": str(folder / "sleeper")},
            stdout=log,
            stderr=log,
        )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            ready = channel.unary_unary(
                "/inference.GRPCInferenceService/ServerReady",
                pb.ServerReadyRequest.SerializeToString,
                pb.ServerReadyResponse.FromString,
            )
            try:
                assert ready(pb.ServerReadyRequest(), timeout=90, wait_for_ready=True).ready
            except grpc.RpcError:
                pytest.fail(f"the server did not start: {(folder / 'log').read_text()[-3000:]}")
        yield Served(f"grpc://127.0.0.1:{grpc_port}", folder / "sleeper")
    finally:
        process.kill()
        process.wait()
