"""Diffusion models in the models folder, and their lock files, which pin each model's source and files.

    sd-turbo.lock.json    repository, revision, and SHA-256 and size of each file; stays if the model is removed
    sd-turbo/             the model; the folder gets this name when all files are complete and checked
    .pull-sd-turbo/       an unfinished download, which the next pull resumes

This module uses the standard library only: the light client installs it too.
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
    "complete",
    "folder",
    "hash_file",
    "install",
    "is_model_file",
    "lock_path",
    "locks",
    "not_ready",
    "read_lock",
    "remove_abandoned",
    "verify",
    "write_lock",
]

KNOWN: Mapping[str, str] = {"sd-turbo": "rupeshs/sd-turbo-openvino"}
"""Repositories of built-in models, by name. We did not run these models: no hub is reachable where Celeste is built."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""A model's name after `local/`; it is also a safe file name on all systems and in shells."""
LOCK = ".lock.json"
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
FOLDERS = ("scheduler", "text_encoder", "tokenizer", "transformer", "unet", "vae", "feature_extractor")
SUFFIXES = (".json", ".txt", ".xml", ".bin")
ABANDONED_SECONDS = 86_400.0
PAPERS = ("license", "licence", "readme", "notice")
"""Prefixes of the names of files about a model's terms, in lowercase; authors use both spellings of "license"."""


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file: its path in the model's folder, with `/`, and its SHA-256 and size."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class WeightsLock:
    """The pinned source and files of a model, as stored in its lock file.

    Attributes:
        name: The model's name after `local/`.
        repo: The repository on the model hub; empty for a model added from a folder.
        revision: The repository's commit; empty if `repo` is empty.
        license: The license that the hub states; empty if it states none.
        files: Files from the repository or the folder.
        made: Files that Celeste wrote for the engine; a file with the same path replaces the one in `files`.
    """

    name: str
    repo: str
    revision: str
    license: str
    files: tuple[LockedFile, ...]
    made: tuple[LockedFile, ...] = ()

    @property
    def present(self) -> dict[str, LockedFile]:
        """The files in the model's folder, by path."""
        return {file.path: file for file in (*self.files, *self.made)}

    @property
    def size_bytes(self) -> int:
        """Total size of the files in the model's folder."""
        return sum(file.size_bytes for file in self.present.values())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "WeightsLock":
        """Returns the lock for JSON values. Raises ValueError, KeyError or TypeError for invalid values."""
        files, made = (tuple(LockedFile(**file) for file in values[key]) for key in ("files", "made"))
        texts = {key: str(values[key]) for key in ("name", "repo", "revision", "license")}
        for file in (*files, *made):
            if not (is_model_file(file.path) and re.fullmatch(r"[0-9a-f]{64}", file.sha256) and file.size_bytes >= 0):
                raise ValueError(f"{file.path!r} can't be a model's file")
        if not NAME.fullmatch(texts["name"]):
            raise ValueError(f"{texts['name']!r} can't be a model's name")
        return cls(**texts, files=files, made=made)

    def values(self) -> dict[str, Any]:
        """Returns the lock as JSON values."""
        return asdict(self)


def is_model_file(path: str) -> bool:
    """Returns whether a file belongs to a model: an engine reads it, or it states the model's terms.

    Such a path is relative, safe, and at most one folder deep.
    """
    parts = path.split("/")
    if not all(PART.fullmatch(part) for part in parts):
        return False
    if len(parts) == 1:
        return path == "model_index.json" or path.lower().startswith(PAPERS)
    return len(parts) == 2 and parts[0].startswith(FOLDERS) and parts[1].endswith(SUFFIXES)


def folder(name: str) -> Path:
    """Returns a model's folder, which need not exist. Raises WeightsMissing for an invalid name."""
    if not NAME.fullmatch(name):
        text = "must have lowercase letters, digits, dots, dashes and underscores only"
        raise WeightsMissing(f"{name!r} can't be a model's name: it {text}, and at most 64 characters")
    return packages.root() / name


def lock_path(name: str) -> Path:
    """Returns the path of a model's lock, which need not exist."""
    return folder(name).with_name(name + LOCK)


def read_lock(name: str) -> WeightsLock | None:
    """Returns a model's lock, None if it has none. Raises WeightsMissing if the lock is damaged."""
    path = lock_path(name)
    try:
        lock = WeightsLock.of(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsMissing(f"the lock {path} is damaged ({error}) and can't be restored from here") from error
    if lock.name != name:
        raise WeightsMissing(f"{path} is the lock of another model, {lock.name}")
    return lock


def write_lock(lock: WeightsLock) -> None:
    """Writes a model's lock atomically. Raises OSError."""
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
    """Yields the locks in the models folder, sorted by name; damaged locks are skipped."""
    for path in sorted(packages.root().glob(f"*{LOCK}")):
        try:
            lock = read_lock(path.name.removesuffix(LOCK))
        except WeightsMissing:
            continue
        if lock:
            yield lock


def complete(lock: WeightsLock) -> bool:
    """Returns whether all files exist with the right sizes. Their content is not read."""
    here = folder(lock.name)
    try:
        return all((here / path).stat().st_size == file.size_bytes for path, file in lock.present.items())
    except OSError:
        return False


def verify(here: Path, files: Iterable[LockedFile], what: str) -> None:
    """Reads files and compares their SHA-256. Raises WeightsMissing; its text names `what`, the files' owner."""
    for file in files:
        try:
            found = hash_file(here / file.path)
        except OSError as error:
            raise WeightsMissing(f"{what}: {file.path}: {error.strerror}") from error
        if found.sha256 != file.sha256:
            raise WeightsMissing(f"{what}: {file.path} is damaged (its SHA-256 differs)")


def hash_file(path: Path, name: str = "") -> LockedFile:
    """Returns a file's SHA-256 and size; `name` is its path in the model's folder. Raises OSError."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        return LockedFile(name, found, os.fstat(stream.fileno()).st_size)


def install(made: Path, lock: WeightsLock) -> Path:
    """Writes the lock and renames a checked folder to the model's folder; returns the new path.

    The lock comes first. A folder without a lock is not a model, while a lock without a folder only pins the next pull.

    Raises:
        WeightsMissing: The name is taken by a complete model, or by a folder without a lock.
        OSError: A disk error occurred.
    """
    here = folder(lock.name)
    if here.exists():
        before = read_lock(lock.name)
        if before is None or complete(before):
            raise not_ready(lock.name, f"{here} exists already; choose another name")
        shutil.rmtree(here)
    write_lock(lock)
    made.chmod(0o755)  # mkdtemp's 0700 would hide a shared folder's models from other users
    return made.rename(here)


def remove_abandoned() -> None:
    """Removes temporary folders of killed copies and imports, once they are a day old."""
    for old in (*packages.root().glob(".add-*"), *packages.root().glob(".import-*")):
        if time.time() - old.stat().st_mtime > ABANDONED_SECONDS:  # a younger folder may be in use
            shutil.rmtree(old, ignore_errors=True)


def not_ready(name: str, what: str) -> WeightsMissing:
    """Returns the error with the reason why a model is not ready."""
    return WeightsMissing(f"local/{name} is not ready: {what}", resource=f"local/{name}")
