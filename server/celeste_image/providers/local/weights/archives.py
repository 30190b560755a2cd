"""Models as one file, to be carried into networks that reach neither a package index nor a model hub.

    celeste.json     first: which model, its lock if it has one, and each file's path, SHA-256 and size
    files/PATH       the bytes, in that order

Nothing in a parcel is believed: a path is one of those listed and can't lead out of its folder, a member is a plain
file, and bytes that differ from what `models.toml` or the lock here say are refused. Standard library only.
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
class Parcel:
    """What `celeste.json` says; `lock` is None for a model of `models.toml`."""

    name: str
    files: Sequence[LockedFile]
    lock: WeightsLock | None


def export_model(name: str, target: Path) -> None:
    """Writes a model that is here into a file, after its bytes were checked.

    Raises:
        ModelNotFound: There is no model of this name that has weights.
        WeightsMissing: It is not here whole, or the file can't be written.
    """
    lock = installed.read_lock(name) if name not in packages.load_manifest() else None
    if lock:
        here, files = installed.folder(name), tuple(lock.present.values())
        installed.check(here, files, f"local/{name}")
    else:
        if name not in packages.load_manifest():
            raise ModelNotFound(f"there is no local/{name} with weights on this machine")
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
        raise installed.refused(name, f"{target} can't be written: {error.strerror or error}") from error


def import_model(source: Path, *, ready: Callable[[WeightsLock, Path], object]) -> tuple[str, Path]:
    """Places the model of a parcel into the models folder; returns its name and its folder.

    Args:
        source: The file.
        ready: Is given the lock and the folder of a diffusion model, and raises WeightsMissing if no engine can run it.

    Raises:
        WeightsMissing: The file is no parcel, is damaged, holds other bytes than those pinned here, or the disk says
        no.
    """
    root = packages.root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        installed.sweep()
        staging = Path(tempfile.mkdtemp(prefix=".import-", dir=root))
        try:
            with tarfile.open(source, "r:") as tar:
                parcel = _index(tar)
                _unpack(tar, parcel, staging)
            if parcel.lock:
                ready(parcel.lock, staging)
                return parcel.name, installed.place(staging, parcel.lock)
            here = packages.folder(parcel.name)
            here.mkdir(parents=True, exist_ok=True)
            for file in parcel.files:
                (staging / file.path).replace(here / file.path)
            return parcel.name, here
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except tarfile.TarError as error:
        raise WeightsMissing(f"{source} is no parcel of a model, or a damaged one ({error})") from error
    except OSError as error:
        raise WeightsMissing(f"{error.filename or source}: {error.strerror or error}") from error


def _values(file: LockedFile) -> dict[str, Any]:
    return {"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes}


def _add(tar: tarfile.TarFile, name: str, size: int, source: IO[bytes]) -> None:
    """Adds a file without owner, rights or time: the same model makes the same parcel."""
    member = tarfile.TarInfo(name)
    member.size = size
    tar.addfile(member, source)


def _index(tar: tarfile.TarFile) -> Parcel:
    member = tar.next()
    if member is None or member.name != INDEX or not member.isreg() or member.size > INDEX_BYTES:
        raise WeightsMissing(f"the file is no parcel of a model: it does not begin with {INDEX}")
    stream = tar.extractfile(member)
    try:
        values = json.loads(stream.read() if stream else b"")
        if values["format"] != FORMAT:
            raise ValueError(f"its format is {values['format']!r}, not {FORMAT}")
        name = str(values["name"])
        lock = WeightsLock.of(values["lock"]) if values["lock"] else None
        files = tuple(LockedFile(str(f["path"]), str(f["sha256"]), int(f["size_bytes"])) for f in values["files"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsMissing(f"{INDEX} in the parcel can't be read: {error}") from error
    return Parcel(name, _pinned(name, files, lock), lock)


def _pinned(name: str, files: Sequence[LockedFile], lock: WeightsLock | None) -> Sequence[LockedFile]:
    """Returns the files of a parcel, if they are those that are pinned here or that its lock says.

    Raises:
        WeightsMissing: They are not.
    """
    if lock is None:
        try:
            model = packages.named(name)
        except ModelNotFound as error:
            raise WeightsMissing(f"the parcel has {name!r}, which is no model of this version, and no lock") from error
        pinned = {LockedFile(file.name, file.sha256, file.size_bytes) for file in model.files}
    else:
        if lock.name != name or name in packages.load_manifest():
            raise WeightsMissing(f"the parcel's lock is for another model than {name!r}")
        pinned = set(lock.present.values())
        before = installed.read_lock(name)
        if before and replace(before, made=()) != replace(lock, made=()):
            raise WeightsMissing(
                f"the parcel's local/{name} is another than {installed.lock_path(name).name} here says"
            )
    if set(files) != pinned or len(files) != len(pinned):
        raise WeightsMissing(f"the parcel's files are not those that local/{name} has")
    return files


def _unpack(tar: tarfile.TarFile, parcel: Parcel, staging: Path) -> None:
    """Writes the files of a parcel and checks their bytes on the way. Raises WeightsMissing."""
    for file in parcel.files:
        member = tar.next()
        if member is None:
            raise WeightsMissing(f"the parcel ends before {file.path}")
        if member.name != f"files/{file.path}" or not member.isreg() or member.size != file.size_bytes:
            raise WeightsMissing(
                f"the parcel has {member.name!r} where {file.path} of {file.size_bytes:,} bytes should be"
            )
        source = tar.extractfile(member)
        assert source is not None  # a regular file has bytes
        target = staging / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            shutil.copyfileobj(source, stream, BLOCK)
            stream.flush()
            os.fsync(stream.fileno())
        target.chmod(0o644)
    if extra := tar.next():
        raise WeightsMissing(f"the parcel has {extra.name!r} beside the model's files")
    installed.check(staging, parcel.files, f"the parcel's local/{parcel.name}")
