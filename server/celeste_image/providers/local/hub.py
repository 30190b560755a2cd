"""Gets diffusion models from a model hub by huggingface_hub, or from a folder, into the models folder.

    model_info(revision) ──> each file by http_get, from the byte where it stopped ──> hashes ──> adapt ──> place

Which hub, through which proxy and with which token is the client's business (`HF_ENDPOINT`, `HF_TOKEN`), so no address
is in here. The hub says of each file what its SHA-256 is, or its Git blob id; the first pull resolves `main` to a
commit and writes both into the lock, and every later one must bring the same. Runs in the command's process, never in
the server. Needs the extra `diffusion`.
"""

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from celeste_image.core.errors import WeightsMissing
from celeste_image.providers.local import shelf, weights
from celeste_image.providers.local.adapt import adapt
from celeste_image.providers.local.shelf import Lock, LockedFile, refused

__all__ = ["KNOWN", "add_folder", "pull"]

KNOWN: Mapping[str, str] = {"sd-turbo": "rupeshs/sd-turbo-openvino"}
"""Models that have a name here, and their repositories. Not run by us: hubs can't be reached where this is built."""

EXTRA = "the extra is not installed: pip install 'celeste-image[diffusion]'"
ADDRESS = re.compile(r"\w[\w+.-]*://\S+")

Line = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file on the hub; `sha256` is empty for small ones, which have the id of their Git blob only."""

    size_bytes: int
    sha256: str
    blob: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit: what of it we want."""

    revision: str
    license: str
    files: Mapping[str, HubFile]


def pull(name: str, repo: str, *, on_line: Line) -> Path:
    """Returns the folder of a model with all files in it, checked; downloads what is missing.

    A file that came in part is gone on with, in this call when a connection breaks, and in the next when the process
    did.

    Raises:
        WeightsMissing: No extra, no network, no such repository; it holds no such model; or its bytes are not those
        that
            the hub or the lock say. What was there before stays as it was.
    """
    try:
        from filelock import FileLock
    except ImportError as error:
        raise refused(name, EXTRA) from error
    root = weights.root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".pull-{name}.lock"):
            return _pull(name, repo, on_line)
    except OSError as error:
        raise refused(name, ADDRESS.sub("<address>", f"{error.strerror or error}: {error.filename or root}")) from error


def _pull(name: str, repo: str, on_line: Line) -> Path:
    here, lock = shelf.folder(name), shelf.read_lock(name)
    if lock and lock.repo != repo:
        raise refused(name, f"its lock says that it is from {lock.repo or 'a folder'}, not from {repo}")
    staging = here.with_name(f".pull-{name}")
    if lock and here.is_dir():
        try:
            shelf.check(here, lock.present.values(), f"local/{name}")
            return here
        except WeightsMissing as error:
            on_line(f"{error.message}; getting it anew")
            shutil.rmtree(staging, ignore_errors=True)
            here.rename(staging)  # of no use as it is, but most of its files may be
    listing = _listing(name, repo, lock.revision if lock else "main")
    if lock:
        _hold(listing, lock)
    known = {file.path: file.sha256 for file in lock.files} if lock else {}
    on_line(f"{repo} at {listing.revision}")
    _room(name, root=here.parent, size_bytes=sum(file.size_bytes for file in listing.files.values()))
    files = [
        _file(name, repo, listing.revision, path, file, known.get(path, ""), staging / path, on_line)
        for path, file in sorted(listing.files.items())
    ]
    for extra in [file for file in staging.rglob("*") if file.is_file()]:
        if extra.relative_to(staging).as_posix() not in listing.files:
            extra.unlink()
    return _finish(staging, Lock(name, repo, listing.revision, listing.license, tuple(files)))


def add_folder(name: str, source: Path) -> Path:
    """Copies a folder of OpenVINO models into the models folder under a name; returns the copy's path.

    Raises:
        WeightsMissing: It is no such folder, the name is taken, or the disk says no.
    """
    root = weights.root()
    paths = sorted(file.relative_to(source).as_posix() for file in source.rglob("*") if file.is_file())
    paths = [path for path in paths if shelf.wanted(path)]
    _complete(name, paths, str(source))
    try:
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".add-{name}-", dir=root))
        try:
            files = []
            for path in paths:
                (staging / path).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / path, staging / path)
                files.append(shelf.digest(staging / path, path))
            return _finish(staging, Lock(name, "", "", "", tuple(files)))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise refused(name, f"{error.strerror or error}: {error.filename or root}") from error


def _finish(staging: Path, lock: Lock) -> Path:
    """Makes a folder ready for its engine, sees that a card can be made of it, and gives it its name."""
    try:
        from celeste_image.providers.local.models.diffusion import describe

        written = [(path.relative_to(staging).as_posix(), path) for path in adapt(staging)]
    except ImportError as error:
        raise refused(lock.name, EXTRA) from error
    except WeightsMissing as error:
        raise refused(lock.name, error.message) from error
    lock = replace(lock, made=tuple(shelf.digest(path, name) for name, path in written))
    describe(lock, staging)
    return shelf.place(staging, lock)


def _complete(name: str, paths: list[str], source: str) -> None:
    needed = ("model_index.json", "vae_decoder/openvino_model.xml")
    missing = [path for path in needed if path not in paths]
    if missing or not {"unet/openvino_model.bin", "transformer/openvino_model.bin"} & set(paths):
        what = missing[0] if missing else "unet/openvino_model.bin"
        raise refused(name, f"{source} is no diffusion model in OpenVINO's format: {what} is not in it")


def _listing(name: str, repo: str, revision: str) -> Listing:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read at import
    try:
        import httpx2
        from huggingface_hub import HfApi, errors
    except ImportError as error:
        raise refused(name, EXTRA) from error
    try:
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=30)
    except errors.GatedRepoError as error:
        raise refused(name, f"{repo} wants its licence accepted on the hub, and your token in HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise refused(name, f"the hub has no revision {revision} of {repo} any more") from error
    except errors.RepositoryNotFoundError as error:
        raise refused(name, f"the hub has no repository {repo}, or it is a private one") from error
    except errors.HfHubHTTPError as error:
        raise refused(name, f"the hub answered {error.response.status_code} for {repo}") from error
    except errors.HFValidationError as error:
        raise refused(name, f"{repo!r} is neither a folder here nor a repository's name, OWNER/NAME") from error
    except (httpx2.HTTPError, OSError) as error:
        raise refused(name, f"the hub can't be reached ({type(error).__name__})") from error
    found = {file.rfilename: file for file in info.siblings or () if shelf.wanted(file.rfilename)}
    _complete(name, list(found), repo)
    files = {
        path: HubFile(int(file.size or 0), str(file.lfs.sha256) if file.lfs else "", str(file.blob_id or ""))
        for path, file in found.items()
    }
    license: Any = info.card_data.get("license") if info.card_data else ""
    return Listing(str(info.sha), ", ".join(license) if isinstance(license, list) else str(license or ""), files)


def _hold(listing: Listing, lock: Lock) -> None:
    """Raises WeightsMissing unless the hub says of the locked revision what it said when the lock was written."""
    locked = {file.path: file for file in lock.files}
    path = shelf.lock_path(lock.name).name
    if listing.revision != lock.revision:
        raise refused(lock.name, f"the hub has {listing.revision} for revision {lock.revision} of {path}")
    if different := sorted(set(locked) ^ set(listing.files)):
        raise refused(lock.name, f"the hub and {path} differ in which files there are: {different[0]}")
    for name, file in listing.files.items():
        known = locked[name]
        if file.size_bytes != known.size_bytes or file.sha256 not in ("", known.sha256):
            raise refused(lock.name, f"the hub has other bytes for {name} than {path} says")


def _room(name: str, root: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(root).free
    if size_bytes > free:
        raise refused(name, f"it needs {size_bytes / 1e9:.1f} GB, and {root} has {free / 1e9:.1f} GB left")


def _file(
    name: str, repo: str, revision: str, path: str, file: HubFile, known: str, target: Path, on_line: Line
) -> LockedFile:
    """Returns a file of the hub that is at `target` then, with the bytes that the hub and the lock say.

    Raises:
        WeightsMissing: Its bytes are others, or it did not come.
    """
    if target.is_file() and target.stat().st_size == file.size_bytes:
        found = shelf.digest(target, path)
        if not _wrong(found, target, file, known):
            return found
    target.parent.mkdir(parents=True, exist_ok=True)
    # Named by what it must become, so that the rest of it never comes from another revision.
    part = target.with_name(f"{target.name}.{(file.sha256 or file.blob)[:12]}.part")
    on_line(f"{path}  {file.size_bytes / 1e6:.1f} MB")
    _download(name, repo, revision, path, file, part)
    found = shelf.digest(part, path)
    if wrong := _wrong(found, part, file, known):
        part.unlink()
        raise refused(name, f"{path} is not the file that {wrong}")
    part.replace(target)
    return found


def _wrong(found: LockedFile, place: Path, file: HubFile, known: str) -> str:
    """Returns who says that a file should be another one; empty when nobody does."""
    if found.size_bytes != file.size_bytes or (file.sha256 and found.sha256 != file.sha256):
        return "the hub says (its SHA-256 differs)"
    if not file.sha256 and _git_blob(place) != file.blob:
        return "the hub says (its Git blob id differs)"
    if known and found.sha256 != known:
        return "the lock says (its SHA-256 differs)"
    return ""


def _git_blob(path: Path) -> str:
    """Returns Git's id of a small file's bytes."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def _download(name: str, repo: str, revision: str, path: str, file: HubFile, part: Path) -> None:
    import httpx2
    from huggingface_hub import errors, hf_hub_url
    from huggingface_hub.file_download import http_get  # hf_hub_download throws away what came in part
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars  # type: ignore[attr-defined]

    if not sys.stderr.isatty():
        disable_progress_bars()
    if part.exists() and part.stat().st_size > file.size_bytes:
        part.unlink()
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}  # offsets are of the file, not of its gzip
    try:
        with part.open("ab") as stream:
            http_get(
                hf_hub_url(repo, path, revision=revision),
                stream,
                resume_size=stream.tell(),
                headers=headers,
                expected_size=file.size_bytes,
                displayed_filename=path,
            )
            stream.flush()
            os.fsync(stream.fileno())
    except (httpx2.HTTPError, errors.HfHubHTTPError) as error:
        raise refused(name, f"{path} did not come ({type(error).__name__}); the same command goes on") from error
    except OSError as error:
        if error.errno:
            raise
        raise refused(name, f"{path} did not come whole; the same command goes on") from error
