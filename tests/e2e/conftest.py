import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import CELESTE, Celeste


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `celeste serve` in a process of its own."""
    folder = tmp_path_factory.mktemp("server")
    socket = f"unix:{folder}/celeste.sock"
    command = [*CELESTE, "serve", "--listen", socket, "--store", f"file://{folder}/artifacts"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log, cwd=folder)
    subprocess.run([*CELESTE, "health", "--address", socket, "--wait", "30"], check=True, stdout=subprocess.DEVNULL)
    yield socket
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 0
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture
def celeste(address: str, tmp_path: Path) -> Celeste:
    """Runs the command line in an empty folder against the server."""

    def run(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
        given = os.environ | {"CELESTE_ADDRESS": address} | environment
        return subprocess.run(
            [*CELESTE, *arguments], input=stdin, capture_output=True, cwd=tmp_path, env=given, timeout=120
        )

    return run
