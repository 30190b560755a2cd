"""Diffusion models in the models folder, and the locks that say where each is from and what its bytes must be.

    sd-turbo.lock.json    repository, revision, and the SHA-256 and size of each file; outlives the model
    sd-turbo/             the model: it gets its name when all of it is there and checked
    .pull-sd-turbo/       what came so far of it, to be gone on with

Standard library only: the light client installs this too.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from celeste_image.core.errors import WeightsMissing
from celeste_image.providers.local.weights import packages

__all__ = [
    "KNOWN",
    "NAME",
    "LockedFile",
    "WeightsLock",
    "check",
    "complete",
    "digest",
    "folder",
    "locks",
    "place",
    "read_lock",
    "refused",
    "sweep",
    "wanted",
    "write_lock",
]

KNOWN: Mapping[str, str] = {"sd-turbo": "rupeshs/sd-turbo-openvino"}
"""Models that have a name here, and their repositories. Not run by us: hubs can't be reached where this is built."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What a model may be called after `local/`; also a file name that means nothing to any shell or system."""
LOCK = ".lock.json"
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
FOLDERS = ("scheduler", "text_encoder", "tokenizer", "transformer", "unet", "vae", "feature_extractor")
SUFFIXES = (".json", ".txt", ".xml", ".bin")
ABANDONED_SECONDS = 86_400.0
PAPERS = ("license", "license", "readme", "notice")


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file: its place in the model's folder, with `/`, and its bytes."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class WeightsLock:
    """What a model is.

    Attributes:
        name: Its name after `local/`.
        repo: The repository on the model hub; empty for one that was added from a folder.
        revision: The commit there; empty like `repo`.
        license: As the hub states it; empty when it states none.
        files: What came from there.
        made: What Celeste wrote for its engine, in place of a file or beside the files.
    """

    name: str
    repo: str
    revision: str
    license: str
    files: tuple[LockedFile, ...]
    made: tuple[LockedFile, ...] = ()

    @property
    def present(self) -> dict[str, LockedFile]:
        """The files that are in the folder, by their paths."""
        return {file.path: file for file in (*self.files, *self.made)}

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.present.values())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "WeightsLock":
        """Returns the lock that JSON says. Raises ValueError, KeyError or TypeError when it says none."""
        files, made = (tuple(LockedFile(**file) for file in values[key]) for key in ("files", "made"))
        texts = {key: str(values[key]) for key in ("name", "repo", "revision", "license")}
        for file in (*files, *made):
            if not (wanted(file.path) and re.fullmatch(r"[0-9a-f]{64}", file.sha256) and file.size_bytes >= 0):
                raise ValueError(f"{file.path!r} can't be a model's file")
        if not NAME.fullmatch(texts["name"]):
            raise ValueError(f"{texts['name']!r} can't be a model's name")
        return cls(**texts, files=files, made=made)

    def values(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return asdict(self)


def wanted(path: str) -> bool:
    """Tells whether a file is one that an engine reads, or says what the model may be used for.

    All that passes is a plain relative path, at most one folder deep.
    """
    parts = path.split("/")
    if not all(PART.fullmatch(part) for part in parts):
        return False
    if len(parts) == 1:
        return path == "model_index.json" or path.lower().startswith(PAPERS)
    return len(parts) == 2 and parts[0].startswith(FOLDERS) and parts[1].endswith(SUFFIXES)


def folder(name: str) -> Path:
    """Returns where a model is or will be. Raises WeightsMissing for a name that can't be one."""
    if not NAME.fullmatch(name):
        raise WeightsMissing(f"{name!r} can't be a model's name: small letters, digits, dot, dash and underscore can")
    return packages.root() / name


def lock_path(name: str) -> Path:
    """Returns where a model's lock is or will be."""
    return folder(name).with_name(name + LOCK)


def read_lock(name: str) -> WeightsLock | None:
    """Returns a model's lock, None where there is none. Raises WeightsMissing when it is damaged."""
    path = lock_path(name)
    try:
        lock = WeightsLock.of(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsMissing(f"{path} is damaged ({error}); what it held can't be told from here") from error
    if lock.name != name:
        raise WeightsMissing(f"{path} is the lock of {lock.name}")
    return lock


def write_lock(lock: WeightsLock) -> None:
    """Writes a model's lock, wholly or not at all. Raises OSError."""
    path = lock_path(lock.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with open(descriptor, "w", encoding="utf-8") as stream:
        json.dump(lock.values(), stream, indent=1, sort_keys=True)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(path)


def locks() -> Iterator[WeightsLock]:
    """Yields the locks of all models in the folder, by name; damaged ones are left out."""
    for path in sorted(packages.root().glob(f"*{LOCK}")):
        try:
            lock = read_lock(path.name.removesuffix(LOCK))
        except WeightsMissing:
            continue
        if lock:
            yield lock


def complete(lock: WeightsLock) -> bool:
    """Says whether all files are there with the right sizes; reads none of them."""
    here = folder(lock.name)
    try:
        return all((here / path).stat().st_size == file.size_bytes for path, file in lock.present.items())
    except OSError:
        return False


def check(here: Path, files: Iterable[LockedFile], what: str) -> None:
    """Reads files and compares their digests. Raises WeightsMissing, naming `what` they belong to."""
    for file in files:
        try:
            found = digest(here / file.path)
        except OSError as error:
            raise WeightsMissing(f"{what}: {file.path}: {error.strerror}") from error
        if found.sha256 != file.sha256:
            raise WeightsMissing(f"{what}: {file.path} has other bytes than its SHA-256 says")


def digest(path: Path, name: str = "") -> LockedFile:
    """Returns what a file's bytes are; `name` is its path in the model's folder. Raises OSError."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        return LockedFile(name, found, os.fstat(stream.fileno()).st_size)


def place(made: Path, lock: WeightsLock) -> Path:
    """Gives a checked folder its name, with its lock; returns its new path.

    The lock is first: a folder without one is no model, and a lock without a folder only says what a pull must bring.

    Raises:
        WeightsMissing: There is an intact model of this name, or something else.
        OSError: The disk says so.
    """
    here = folder(lock.name)
    if here.exists():
        before = read_lock(lock.name)
        if before is None or complete(before):
            raise refused(lock.name, f"there is a {here} already; another model needs another name")
        shutil.rmtree(here)
    write_lock(lock)
    made.chmod(0o755)  # mkdtemp's 0700 would hide a shared folder's models from other users
    return made.rename(here)


def sweep() -> None:
    """Removes what copies and imports left behind whose process was killed."""
    for old in (*packages.root().glob(".add-*"), *packages.root().glob(".import-*")):
        if time.time() - old.stat().st_mtime > ABANDONED_SECONDS:  # a younger one may be at work now
            shutil.rmtree(old, ignore_errors=True)


def refused(name: str, what: str) -> WeightsMissing:
    """Returns the error that says why a model is not there; what was there before stays as it was."""
    return WeightsMissing(f"local/{name} is not ready: {what}", resource=f"local/{name}")
