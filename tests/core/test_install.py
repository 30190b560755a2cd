"""Hints to install an extra work as printed, however this package was installed."""

import importlib.util
import json
import shlex
import sys
from importlib import metadata
from typing import Any

import pytest

from celeste_image.core import install

PIP = [sys.executable, "-m", "pip", "install"]


def origin(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Distribution:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return text

    monkeypatch.setattr(metadata, "distribution", lambda name: Distribution())


@pytest.mark.parametrize(
    ("recorded", "arguments"),
    [
        ({"url": "file:///home/me/a%20checkout", "dir_info": {"editable": True}}, ["-e", "/home/me/a checkout[ocr]"]),
        ({"url": "file:///home/me/celeste", "dir_info": {}}, ["/home/me/celeste[ocr]"]),
        (
            {"url": "https://git.example/c.git", "vcs_info": {"vcs": "git", "commit_id": "abc1"}},
            ["celeste-image[ocr] @ git+https://git.example/c.git@abc1"],
        ),
        (
            {"url": "file:///tmp/celeste_image-1.whl", "archive_info": {}},
            ["celeste-image[ocr] @ file:///tmp/celeste_image-1.whl"],
        ),
        (None, ["celeste-image[ocr]"]),
    ],
    ids=["editable checkout", "checkout", "git", "wheel", "index"],
)
def test_the_command_names_the_package_as_it_was_installed(
    recorded: dict[str, Any] | None, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    origin(json.dumps(recorded) if recorded else None, monkeypatch)
    assert install.install_command("ocr") == [*PIP, *arguments]
    assert shlex.split(install.install_hint("ocr")) == [*PIP, *arguments]


def test_a_checkout_on_the_path_alone_and_an_environment_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    *_, editable, folder = install.install_command("local")
    assert editable == "-e"
    assert folder.endswith("[local]")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(install.shutil, "which", lambda name: "/bin/uv")
    assert install.install_command("local")[:5] == ["/bin/uv", "pip", "install", "--python", sys.executable]
