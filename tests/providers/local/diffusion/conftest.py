import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.command import CELESTE
from tests.support.model_hub import Hub

Celeste = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder for commands and servers of the test."""
    folder = tmp_path / "models"
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(folder))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return folder


@pytest.fixture
def celeste(models: Path, hub: Hub) -> Iterator[Celeste]:
    """Starts the command line with the fake hub as its model hub."""
    started = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        environment = os.environ | {"HF_ENDPOINT": hub.address}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen([*CELESTE, *arguments], stdout=pipe, stderr=pipe, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
