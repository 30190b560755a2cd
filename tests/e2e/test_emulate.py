"""`celeste emulate` as a user has it: vendors without keys, a configuration for them, and what it would have cost."""

import os
import signal
import socket
import subprocess
import time
import tomllib
from pathlib import Path

import pytest
from tests.support import pictures
from tests.support.command import CELESTE


def test_a_picture_by_an_emulated_vendor(tmp_path: Path) -> None:
    config = tmp_path / "emulated.toml"
    with (tmp_path / "out").open("wb") as out, (tmp_path / "log").open("wb") as log:
        command = [*CELESTE, "emulate", "openai", "bfl", "--port", "0", "--write", str(config)]
        vendors = subprocess.Popen(command, stdout=out, stderr=log)
        try:
            for _ in range(200):
                if config.exists() and config.read_text():
                    break
                time.sleep(0.05)
            given = os.environ | {"CELESTE_CONFIG": str(config)}
            for model, cost in (("openai/gpt-image-2", "0.03346 USD"), ("bfl/flux-pro-1.1", "0.04 USD")):
                words = [*CELESTE, "a red boat", "--model", model, "--size", "1024x1024"]
                done = subprocess.run(words, capture_output=True, cwd=tmp_path, env=given, timeout=60)
                assert done.returncode == 0, done.stderr.decode()
                assert done.stderr.decode().splitlines()[-1] == f"cost: {cost}"
                (path,) = done.stdout.decode().split()
                assert pictures.opened((tmp_path / path).read_bytes()).size == (1024, 1024)
        finally:
            vendors.send_signal(signal.SIGINT)
            assert vendors.wait(20) == 0
    assert (tmp_path / "out").read_text() == config.read_text()
    assert set(tomllib.loads(config.read_text())["providers"]) == {"openai", "bfl"}
    log_lines = (tmp_path / "log").read_text().splitlines()
    assert log_lines[-1] == "2 calls, 0.0735 USD"
    assert "POST /v1/flux-pro-1.1" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "nobody is not emulated; these are: openai,"),
        (["openai", "--usual", "color=red"], "unknown key"),
        (["openai", "--port", "TAKEN"], "can't listen"),
    ],
)
def test_what_can_not_be(arguments: list[str], words: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*CELESTE, "emulate", *(port if word == "TAKEN" else word for word in arguments)]
        done = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=60)
    assert done.returncode != 0
    assert words in done.stderr.decode()
