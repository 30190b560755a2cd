"""Fuzzed requests: each becomes a core request or is refused by name. What is fuzzed, and how: `requests.py`."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not for this platform")

EACH = 100_000
RUNS = int(os.environ.get("FUZZ_RUNS", "1000000"))
"""A million takes 20 minutes of one core; `.ci/run` takes fewer. In one start it would take twice as long: the inputs
that are kept grow."""
REASONS = {"INVALID_FIELD", "UNKNOWN_FIELD"}


def fuzz(folder: Path, *arguments: str) -> dict[str, Any]:
    """Runs the fuzzer, and returns what it found."""
    command = [sys.executable, "-m", "tests.fuzz.requests", "--failures", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    text = done.stdout.decode(errors="replace")
    failed = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert done.returncode == 0, f"{failed}\n{text[-4000:]}\n{done.stderr.decode(errors='replace')[-4000:]}"
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    print(found)
    outcomes = found["outcomes"]
    assert sum(outcomes.values()) <= found["runs"]
    assert {"operation", "other request"} <= outcomes.keys(), "some reach the end of the road"
    assert outcomes.keys() >= REASONS
    return found


def test_ten_seconds_of_fuzzed_requests_are_understood_or_refused_by_name(tmp_path: Path) -> None:
    fuzz(tmp_path, "--seconds", "10")


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(1, 1 + RUNS // EACH))
def test_a_million_fuzzed_requests_are_understood_or_refused_by_name(tmp_path: Path, seed: int) -> None:
    assert fuzz(tmp_path, "--runs", str(EACH), "--seed", str(seed))["runs"] == EACH


def test_the_fuzzer_fails_for_an_error_without_a_name(tmp_path: Path) -> None:
    text = """
import sys
import celeste_image.rpc.validate as validate
unknown_fields = validate.unknown_fields
def broken(message, path=""):
    for found in unknown_fields(message, path):
        raise KeyError(found)
    yield from ()
validate.unknown_fields = broken
from tests.fuzz import requests
requests.read_operation.__globals__["unknown_fields"] = broken
sys.argv = ["fuzz", "--runs", "200000", "--seed", "1", "--failures", sys.argv[1]]
requests.main()
"""
    done = subprocess.run([sys.executable, "-c", text, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode != 0
    assert b"KeyError" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()), "the input is kept"
