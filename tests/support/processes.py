"""Processes of tests: how they run and end."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["end", "running"]


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process while the block runs. Its output goes to a file; the environment is added to this one's."""
    with log.open("wb") as file:
        given = os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment)
        process = subprocess.Popen(command, stdout=file, stderr=file, env=given, start_new_session=True)
    try:
        yield process
    finally:
        if not end(process):
            print(f"{' '.join(command[:4])} did not end in time", file=sys.stderr)


def end(process: subprocess.Popen[bytes], seconds: float = 20) -> bool:
    """Asks a process to end and waits; kills it when it takes too long. Returns whether it ended by itself."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True
