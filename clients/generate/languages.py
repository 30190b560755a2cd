"""The languages of `make generate`: what each needs, which files it owns, and how they are made.

protoc is the one of `clients/generate.lock`. The plug-ins of a language come from its own registry, by the versions
and hashes that lie in `clients/<language>`.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clients.generate.contract import ROOT, Contract, run, tool
from clients.generate.python import PACKAGE, write_python

CLIENTS = ROOT / "clients"
TOOLS = ROOT / ".venv-generate" / "tools"  # built plug-ins


@dataclass(frozen=True)
class Toolchain:
    """A program that the machine must have."""

    command: str
    how: str  # how to install it


@dataclass(frozen=True)
class Language:
    """A language and its generated files."""

    name: str
    write: Callable[[Contract, Path], None]  # writes files below a folder, at their paths in the repository
    owns: tuple[str, ...]  # globs of all its files in the repository
    needs: tuple[Toolchain, ...] = ()

    def missing(self) -> list[Toolchain]:
        """Returns the needed programs that this machine lacks."""
        return [need for need in self.needs if shutil.which(need.command) is None]


def protoc(contract: Contract, *arguments: str | Path) -> None:
    """Runs protoc on the thin image."""
    run(tool("protoc"), f"--descriptor_set_in={contract.image}", *arguments)


def write_typescript(contract: Contract, out: Path) -> None:
    """Writes the code for Connect-ES. No npm package has google.rpc and google.api, so they are made too."""
    folder = CLIENTS / "typescript"
    package = "node_modules/@bufbuild/protoc-gen-es"
    locked = json.loads((folder / "package-lock.json").read_text())["packages"][package]["version"]
    installed = folder / package / "package.json"
    if not installed.exists() or json.loads(installed.read_text())["version"] != locked:
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    target = out / "clients/typescript/src/gen"
    target.mkdir(parents=True)
    plugin = f"--plugin={folder / 'node_modules/.bin/protoc-gen-es'}"
    options = "--es_opt=target=ts,import_extension=js"
    protoc(contract, plugin, options, f"--es_out={target}", *contract.names, *contract.google)


def write_go(contract: Contract, out: Path) -> None:
    """Writes messages and gRPC stubs. google.rpc and google.api are in google.golang.org/genproto."""
    environment = {**os.environ, "GOWORK": "off", "CGO_ENABLED": "0"}
    TOOLS.mkdir(exist_ok=True)
    run("go", "build", "-o", f"{TOOLS}/", "tool", cwd=CLIENTS / "go/tools", env=environment)
    target = out / "clients/go"
    target.mkdir(parents=True)
    for plugin in ("go", "go-grpc"):
        path = f"--plugin={TOOLS / f'protoc-gen-{plugin}'}"
        protoc(contract, path, f"--{plugin}_out={target}", f"--{plugin}_opt=paths=source_relative", *contract.names)


NODE = Toolchain("npm", "Node 20 or newer: https://nodejs.org, or apt-get install npm")
GO = Toolchain("go", "Go 1.25 or newer: https://go.dev/dl")
MAVEN = Toolchain("mvn", "Maven and a JDK from 17 on: https://maven.apache.org, or apt-get install maven")
CARGO = Toolchain("cargo", "Rust 1.88 or newer: https://rustup.rs")

STUBS = (f"{PACKAGE}/v1/*.py*", f"{PACKAGE}/rpc/contract.binpb", f"{PACKAGE}/providers/kserve/v2/*.py*")
PYTHON = Language("python", write_python, STUBS)
OTHERS = (
    Language("typescript", write_typescript, ("clients/typescript/src/gen/**/*.ts",), (NODE,)),
    Language("go", write_go, ("clients/go/celeste/**/*.pb.go",), (GO,)),
)
