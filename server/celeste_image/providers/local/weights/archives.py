"""Exports and imports a model as one archive (tar), for machines without a package index or a model hub.

    celeste.json     first member: the model's name, its lock if it has one, and each file's path, SHA-256 and size
    files/PATH       the files, in that order

An archive is untrusted. Each member must be a regular file, with a listed path inside of the model's folder. Files are
refused if they differ from `models.toml` or from a lock on this machine. This module uses the standard library only.
"""

import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from celeste_image.core.errors import ModelNotFound, WeightsMissing
from celeste_image.providers.local.weights import installed, packages
from celeste_image.providers.local.weights.installed import LockedFile, WeightsLock

__all__ = ["export_model", "import_model"]

INDEX = "celeste.json"
INDEX_BYTES = 1 << 20
FORMAT = 1
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Archive:
    """The content of `celeste.json`; `lock` is None for a model of `models.toml`."""

    name: str
    files: Sequence[LockedFile]
    lock: WeightsLock | None


def export_model(name: str, target: Path) -> None:
    """Writes an installed model into an archive, after checking its files.

    Args:
        name: The model's id without `local/`.
        target: The archive; an existing file is replaced.

    Raises:
        ModelNotFound: No model with weights has this name.
        WeightsMissing: The model is incomplete or damaged, or the archive cannot be written.
    """
    lock = installed.read_lock(name) if name not in packages.load_manifest() else None
    if lock:
        here, files = installed.folder(name), tuple(lock.present.values())
        installed.verify(here, files, f"local/{name}")
    else:
        if name not in packages.load_manifest():
            raise ModelNotFound(f"local/{name} is not a model with weights on this machine")
        model = packages.named(name)
        packages.verify(model)
        here = packages.folder(model)
        files = tuple(LockedFile(file.name, file.sha256, file.size_bytes) for file in model.files)
    index = {"format": FORMAT, "name": name, "files": [_values(file) for file in files]}
    text = json.dumps(index | {"lock": lock.values() if lock else None}, indent=1, sort_keys=True).encode()
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with (
                open(descriptor, "wb") as stream,
                tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
            ):
                _add(tar, INDEX, len(text), io.BytesIO(text))
                for file in files:
                    with (here / file.path).open("rb") as source:
                        _add(tar, f"files/{file.path}", file.size_bytes, source)
            Path(part).chmod(0o644)
            Path(part).replace(target)
        finally:
            Path(part).unlink(missing_ok=True)
    except OSError as error:
        raise installed.not_ready(name, f"{target} can't be written: {error.strerror or error}") from error


def import_model(source: Path, *, ready: Callable[[WeightsLock, Path], object]) -> tuple[str, Path]:
    """Installs the model of an archive into the models folder; returns the model's name and folder.

    Args:
        source: The archive.
        ready: Gets the lock and the unpacked folder of a diffusion model; raises WeightsMissing if the engine cannot
            run the model.

    Raises:
        WeightsMissing: The file is not an archive, or is damaged. Or its files differ from those pinned on this
            machine, a model of this name is installed, or a disk error occurred.
    """
    root = packages.root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        installed.remove_abandoned()
        staging = Path(tempfile.mkdtemp(prefix=".import-", dir=root))
        try:
            with tarfile.open(source, "r:") as tar:
                archive = _read_index(tar)
                _unpack(tar, archive, staging)
            if archive.lock:
                ready(archive.lock, staging)
                return archive.name, installed.install(staging, archive.lock)
            here = packages.folder(archive.name)
            here.mkdir(parents=True, exist_ok=True)
            for file in archive.files:
                (staging / file.path).replace(here / file.path)
            return archive.name, here
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except tarfile.TarError as error:
        raise WeightsMissing(f"{source} is not a model archive, or is damaged ({error})") from error
    except OSError as error:
        raise WeightsMissing(f"{error.filename or source}: {error.strerror or error}") from error


def _values(file: LockedFile) -> dict[str, Any]:
    return {"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes}


def _add(tar: tarfile.TarFile, name: str, size: int, source: IO[bytes]) -> None:
    """Adds a file without owner, permissions or time, so that the same model gives the same archive."""
    member = tarfile.TarInfo(name)
    member.size = size
    tar.addfile(member, source)


def _read_index(tar: tarfile.TarFile) -> Archive:
    """Reads and checks `celeste.json`. Raises WeightsMissing."""
    member = tar.next()
    if member is None or member.name != INDEX or not member.isreg() or member.size > INDEX_BYTES:
        raise WeightsMissing(f"the file is not a model archive: it does not begin with {INDEX}")
    stream = tar.extractfile(member)
    try:
        values = json.loads(stream.read() if stream else b"")
        if values["format"] != FORMAT:
            raise ValueError(f"its format is {values['format']!r}, not {FORMAT}")
        name = str(values["name"])
        lock = WeightsLock.of(values["lock"]) if values["lock"] else None
        files = tuple(LockedFile(str(f["path"]), str(f["sha256"]), int(f["size_bytes"])) for f in values["files"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsMissing(f"{INDEX} in the archive can't be read: {error}") from error
    _check_pinned(name, files, lock)
    return Archive(name, files, lock)


def _check_pinned(name: str, files: Sequence[LockedFile], lock: WeightsLock | None) -> None:
    """Checks that an archive's files are those of `models.toml` or of its lock, and that a lock here agrees.

    Raises:
        WeightsMissing: The files or the locks differ, or the name is unknown.
    """
    if lock is None:
        try:
            model = packages.named(name)
        except ModelNotFound as error:
            text = f"the archive has the model {name!r}, which this version does not know, and no lock"
            raise WeightsMissing(text) from error
        pinned = {LockedFile(file.name, file.sha256, file.size_bytes) for file in model.files}
    else:
        if lock.name != name or name in packages.load_manifest():
            raise WeightsMissing(f"the archive's lock is for another model than {name!r}")
        pinned = set(lock.present.values())
        before = installed.read_lock(name)
        if before and replace(before, made=()) != replace(lock, made=()):
            text = f"the archive's local/{name} differs from {installed.lock_path(name).name} on this machine"
            raise WeightsMissing(text)
    if set(files) != pinned or len(files) != len(pinned):
        raise WeightsMissing(f"the archive's files are not those of local/{name}")


def _unpack(tar: tarfile.TarFile, archive: Archive, staging: Path) -> None:
    """Writes an archive's files into a folder and checks them. Raises WeightsMissing or OSError."""
    for file in archive.files:
        member = tar.next()
        if member is None:
            raise WeightsMissing(f"the archive ends before {file.path}")
        if member.name != f"files/{file.path}" or not member.isreg() or member.size != file.size_bytes:
            raise WeightsMissing(
                f"the archive has {member.name!r} where {file.path} of {file.size_bytes:,} bytes should be"
            )
        source = tar.extractfile(member)
        assert source is not None  # a regular file has a stream
        target = staging / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            shutil.copyfileobj(source, stream, BLOCK)
            stream.flush()
            os.fsync(stream.fileno())
        target.chmod(0o644)
    if extra := tar.next():
        raise WeightsMissing(f"the archive has {extra.name!r} beside the model's files")
    installed.verify(staging, archive.files, f"the archive's local/{archive.name}")
