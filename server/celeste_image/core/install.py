"""The command that installs an extra of this package into this environment, in the way the package itself came here."""

import importlib.util
import json
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["install_command", "install_hint"]

PACKAGE = "celeste-image"


def install_command(extra: str) -> list[str]:
    """Returns the arguments of the command: pip of this Python, or uv where this environment has no pip."""
    wanted = _requirement(extra, _origin())
    uv = shutil.which("uv")
    if importlib.util.find_spec("pip") is None and uv:
        return [uv, "pip", "install", "--python", sys.executable, *wanted]
    return [sys.executable, "-m", "pip", "install", *wanted]


def install_hint(extra: str) -> str:
    """Returns the command as a line to copy."""
    return shlex.join(install_command(extra))


def _origin() -> dict[str, Any]:
    """Returns the origin that the installer recorded (PEP 610); empty for a package of an index."""
    try:
        text = metadata.distribution(PACKAGE).read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # a checkout on sys.path
        return {"url": Path(__file__).resolve().parents[3].as_uri(), "dir_info": {"editable": True}}
    origin: dict[str, Any] = json.loads(text) if text else {}
    return origin


def _requirement(extra: str, origin: dict[str, Any]) -> list[str]:
    """Returns the arguments that name the package with an extra, for a recorded origin."""
    url = str(origin.get("url", ""))
    if not url:
        return [f"{PACKAGE}[{extra}]"]
    if "dir_info" in origin:
        folder = url2pathname(urlsplit(url).path)
        return [*(["-e"] if origin["dir_info"].get("editable") else []), f"{folder}[{extra}]"]
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return [f"{PACKAGE}[{extra}] @ {url}"]
