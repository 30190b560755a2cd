"""The programs of the language pages, run word for word against a server at the address that they name."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image
from tests.conformance.clients import ROOT, Client
from tests.conformance.secured import Secured
from tests.conformance.server import Serving
from tests.support.fences import fenced

__all__ = ["run"]

FOLDER = ROOT / "docs" / "clients"
BROWSER = "connect-web"
"""Import by which a program is one for browsers, which calls Envoy at BROWSER_ADDRESS."""
BROWSER_ADDRESS = "localhost:8080"
CERTIFICATE = "client.pem"
"""File by which a program is one with TLS, a certificate and an API key, which calls SECURED_PAGE_ADDRESS."""
SECONDS = 300


def programs(client: Client) -> list[str]:
    """Returns the programs of a client's page that are for this client."""
    if not client.page:
        return []
    text = (FOLDER / client.page).read_text()
    return [block for _, block in fenced(text, client.fence) if (BROWSER in block) == (client.transport == "grpc-web")]


def run(client: Client, server: Serving, folder: Path) -> list[str]:
    """Runs all programs of a client's page. Returns what is wrong, as lines for people."""
    found: list[str] = []
    blocks = programs(client)
    if client.page and not blocks:
        found.append(f"{client.page} has no program for {client.name}")
    for number, block in enumerate(blocks):
        with tempfile.TemporaryDirectory(dir=folder) as empty:
            file = folder / f"Program{number}{client.suffix}"
            file.write_text(block)
            environment = _access(server.secured, Path(empty)) if CERTIFICATE in block else {}
            command = [*shlex.split(client.block), str(file), empty]
            if client.transport == "grpc-web":
                command.append(f"MAP {BROWSER_ADDRESS} {server.through_envoy['celeste']}")
            found += [
                f"{client.page}, program {number + 1}: {line}"
                for line in _problems(command, block, Path(empty), environment)
            ]
    return found


def _access(secured: Secured, folder: Path) -> dict[str, str]:
    """Copies the certificates that a program names into its folder. Returns the variable with its API key."""
    certificates = secured.certificates
    shutil.copy(certificates.authority.certificate, folder / "ca.pem")
    shutil.copy(certificates.client.certificate, folder / CERTIFICATE)
    shutil.copy(certificates.client.key, folder / "client.key")
    return {"CELESTE_API_KEY": secured.keys["acme"]}


def _problems(command: list[str], block: str, folder: Path, environment: dict[str, str]) -> list[str]:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, timeout=SECONDS, check=False, env=os.environ | environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [str(error)]
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        return [f"exit code {done.returncode}: {output[-1000:]}{done.stderr.decode(errors='replace')[-2000:]}"]
    found = []
    if "fox.png" in block:
        with Image.open(folder / "fox.png") as image:
            image.load()
            if image.format != "PNG":
                found.append(f"fox.png is {image.format}")
        if not re.search(r"\b100 ?%", output):
            found.append(f"no progress to 100 %: {output!r}")
    elif CERTIFICATE in block:
        if "version" not in output:
            found.append(f"the server's version is not in the output: {output!r}")
    elif "prompt" not in output:
        found.append(f"the wrong field, prompt, is not in the output: {output!r}")
    return found
