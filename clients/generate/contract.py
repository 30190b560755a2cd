"""The contract as descriptors: read from `proto/` with buf, and stripped of its custom options."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent.parent
INFERENCE = "proto/inference"
OPTIONS_ONLY = ("buf/validate/", "google/api/annotations.proto", "google/api/http.proto")
HTTP_ONLY = ("celeste/image/v1/artifact_http_service.proto", "google/api/httpbody.proto")


class ToolFailed(Exception):
    """A generator or an installer ended with an error, which is printed."""


def tool(name: str) -> str:
    """Returns the path of a tool of this environment, made by `clients/generate.lock`."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise FileNotFoundError(f"{name} is not beside {sys.executable}; run: make .venv-generate/ready")
    return found


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    """Runs one command. It prints only if it fails."""
    try:
        subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    except subprocess.CalledProcessError as error:
        sys.stderr.buffer.write(error.stdout)
        sys.stderr.flush()
        raise ToolFailed(f"{Path(command[0]).name} ended with exit code {error.returncode}") from None


def build_image(out: Path, *flags: str) -> None:
    """Writes the contract as a FileDescriptorSet."""
    run(tool("buf"), "build", "--as-file-descriptor-set", *flags, "-o", out)


def without_options(image: Path) -> FileDescriptorSet:
    """Returns the contract without custom options and the files that declare them.

    Their extensions are not imported here, so the options parse as unknown fields and are discarded.
    """
    files = FileDescriptorSet.FromString(image.read_bytes())
    files.DiscardUnknownFields()
    kept = FileDescriptorSet()
    for file in files.file:
        if file.name.startswith(OPTIONS_ONLY):
            continue
        dependencies = [name for name in file.dependency if not name.startswith(OPTIONS_ONLY)]
        del file.dependency[:]
        file.dependency.extend(dependencies)
        kept.file.append(file)
    return kept


def for_grpc(contract: FileDescriptorSet) -> FileDescriptorSet:
    """Returns the contract without the service for HTTP proxies: gRPC clients have a call that resumes."""
    return FileDescriptorSet(file=[file for file in contract.file if file.name not in HTTP_ONLY])


@dataclass(frozen=True)
class Contract:
    """A thin image: the contract with its comments, without rules and HTTP routes."""

    image: Path
    names: list[str]  # the files of celeste.image.v1
    services: list[str]  # those of them that declare a service
    google: list[str]  # the files of google.rpc

    @classmethod
    def of(cls, thin: FileDescriptorSet, image: Path) -> "Contract":
        """Writes a thin image to a file."""
        image.write_bytes(thin.SerializeToString(deterministic=True))
        ours = [file for file in thin.file if file.package == "celeste.image.v1"]
        google = [file.name for file in thin.file if file.package == "google.rpc"]
        return cls(image, [file.name for file in ours], [file.name for file in ours if file.service], google)


@dataclass(frozen=True)
class Contracts:
    """The two thin images."""

    server: Contract  # for the Python stubs, which the server uses too
    clients: Contract  # for the other languages, without the service for HTTP proxies

    @classmethod
    def read(cls, folder: Path) -> "Contracts":
        """Writes the thin images into a folder."""
        whole = folder / "whole.binpb"
        build_image(whole, "--exclude-path", INFERENCE)
        thin = without_options(whole)
        return cls(Contract.of(thin, folder / "server.binpb"), Contract.of(for_grpc(thin), folder / "clients.binpb"))
