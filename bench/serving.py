"""Runs a Celeste server in its own process, for the benchmarks."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = (sys.executable, "-m", "celeste_image.cli.main")


@dataclass
class Process:
    """A running server."""

    address: str
    pid: int

    def resident(self, which: str = "VmRSS") -> int:
        """Returns the server's memory without its workers, in bytes; `VmHWM` is the peak since `reset`."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(which))

    def reset(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def celeste(port: int, *, program: Sequence[str] = PROGRAM, **variables: str) -> Iterator[Process]:
    """Runs `celeste serve` on a local port, with environment variables named without their prefix `CELESTE_`."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"127.0.0.1:{port}"
        environment = os.environ | {f"CELESTE_{name}": value for name, value in variables.items()}
        with open(f"{folder}/log", "wb") as log:
            command = [*program, "serve", "--listen", address]
            server = subprocess.Popen(command, stderr=log, stdout=log, cwd=folder, env=environment)
        try:
            waiting = [*PROGRAM, "health", "--address", address, "--wait", "120"]
            subprocess.run(waiting, check=True, stdout=subprocess.DEVNULL)
            yield Process(address, server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
