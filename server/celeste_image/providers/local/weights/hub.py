"""Gets diffusion models from a model hub by huggingface_hub, or from a folder, into the models folder.

    model_info ──> small files ──> adapt, describe ──> large files, from the byte where each stopped ──> place

Which hub, through which proxy and with which token is the client's business (`HF_ENDPOINT`, `HF_TOKEN`), so no address
is in here. The hub says of each file what its SHA-256 is, or its Git blob id; the first pull takes `main` as a commit
and writes what it found into the lock, and every later one must bring the same. Runs in the command's process, never in
the server. Needs the extra `diffusion`.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from celeste_image.core.errors import WeightsMissing
from celeste_image.providers.local.weights import installed, packages
from celeste_image.providers.local.weights.adapt import adapt
from celeste_image.providers.local.weights.installed import LockedFile, WeightsLock, refused

__all__ = ["EXTRA", "add_folder", "pull"]

EXTRA = "the extra is not installed: pip install 'celeste-image[diffusion]'"

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


def pull(name: str, repo: str, *, on_line: Line, endpoint: str | None = None) -> Path:
    """Returns the folder of a model with all files in it, checked; downloads what is missing.

    A file that came in part is gone on with: in this call when a connection breaks, in the next when the process ended.

    Args:
        name: Of the model, after `local/`.
        repo: Its repository, OWNER/NAME.
        on_line: Gets a line for each file that is downloaded.
        endpoint: The hub; None is the client's own choice.

    Raises:
        WeightsMissing: No extra, no network, no such repository; it holds no such model; or its bytes are not those
            that the hub or the lock say. What was there before stays as it was.
    """
    try:
        from filelock import FileLock
    except ImportError as error:
        raise refused(name, EXTRA) from error
    root = packages.root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".pull-{name}.lock"):
            return Pull(name, repo, on_line, endpoint).run()
    except OSError as error:
        what = f"{error.strerror or error}: {error.filename or root}"
        raise refused(name, packages.ADDRESS.sub("<address>", what)) from error


def add_folder(name: str, source: Path) -> Path:
    """Copies a folder of OpenVINO models into the models folder under a name; returns the copy's path.

    Raises:
        WeightsMissing: It is no such folder, the name is taken, or the disk says no.
    """
    root = packages.root()
    paths = sorted(file.relative_to(source).as_posix() for file in source.rglob("*") if file.is_file())
    paths = [path for path in paths if installed.wanted(path)]
    _check_complete(name, paths, str(source))
    try:
        root.mkdir(parents=True, exist_ok=True)
        installed.sweep()
        staging = Path(tempfile.mkdtemp(prefix=".add-", dir=root))
        try:
            files = []
            for path in paths:
                (staging / path).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / path, staging / path)
                files.append(installed.digest(staging / path, path))
            lock = WeightsLock(name, "", "", "", tuple(files))
            return installed.place(staging, replace(lock, made=_make_ready(staging, lock)))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise refused(name, f"{error.strerror or error}: {error.filename or root}") from error


class Pull:
    """One pull: of a model, from a repository, with what came before in a folder of its own."""

    def __init__(self, name: str, repo: str, on_line: Line, endpoint: str | None) -> None:
        self._name = name
        self._repo = repo
        self._on_line = on_line
        self._endpoint = endpoint
        self._here = installed.folder(name)
        self._staging = self._here.with_name(f".pull-{name}")

    def run(self) -> Path:
        """Returns the model's folder. Raises WeightsMissing or OSError."""
        name, repo, staging = self._name, self._repo, self._staging
        lock = installed.read_lock(name)
        if lock and lock.repo != repo:
            raise refused(name, f"its lock says that it is from {lock.repo or 'a folder'}, not from {repo}")
        if lock and self._here.is_dir():
            try:
                installed.check(self._here, lock.present.values(), f"local/{name}")
                return self._here
            except WeightsMissing as error:
                self._on_line(f"{error.message}; getting it anew")
                shutil.rmtree(staging, ignore_errors=True)
                self._here.rename(staging)  # of no use as it is, but most of its files may be
        listing = self._listing(lock.revision if lock else "main")
        if lock:
            listing = _held(listing, lock)
        known = {file.path: file.sha256 for file in lock.files} if lock else {}
        self._on_line(f"{repo} at {listing.revision}")
        size, free = sum(file.size_bytes for file in listing.files.values()), shutil.disk_usage(self._here.parent).free
        if size > free:
            raise refused(name, f"it needs {size / 1e9:.1f} GB, and {self._here.parent} has {free / 1e9:.1f} GB left")
        for file in [file for file in staging.rglob("*") if file.is_file() and file.suffix != ".part"]:
            if file.relative_to(staging).as_posix() not in listing.files:
                file.unlink()

        def bring(paths: Iterable[str]) -> tuple[LockedFile, ...]:
            return tuple(self._file(listing, path, known.get(path, "")) for path in sorted(paths))

        # What says whether the model can be run is small, and comes before what is large.
        small = {path for path in listing.files if not path.endswith(".bin") or path.startswith("tokenizer")}
        files = bring(small)
        made = _make_ready(staging, WeightsLock(name, repo, listing.revision, listing.license, files))
        files += bring(set(listing.files) - small)
        for part in staging.rglob("*.part"):  # of another revision
            part.unlink()
        return installed.place(staging, WeightsLock(name, repo, listing.revision, listing.license, files, made))

    def _listing(self, revision: str) -> Listing:
        """Returns what the hub says of a repository. Raises WeightsMissing."""
        name, repo = self._name, self._repo
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read at import
        try:
            import httpx2
            from huggingface_hub import HfApi, errors
        except ImportError as error:
            raise refused(name, EXTRA) from error
        try:
            info = HfApi(endpoint=self._endpoint).model_info(repo, revision=revision, files_metadata=True, timeout=30)
        except errors.GatedRepoError as error:
            raise refused(name, f"{repo} wants its terms accepted on the hub, and your token in HF_TOKEN") from error
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
        found = {file.rfilename: file for file in info.siblings or () if installed.wanted(file.rfilename)}
        _check_complete(name, found, repo)
        files = {
            path: HubFile(int(file.size or 0), str(file.lfs.sha256) if file.lfs else "", str(file.blob_id or ""))
            for path, file in found.items()
        }
        license: Any = info.card_data.get("license") if info.card_data else ""
        return Listing(str(info.sha), ", ".join(license) if isinstance(license, list) else str(license or ""), files)

    def _file(self, listing: Listing, path: str, known: str) -> LockedFile:
        """Returns a file that is in the folder then, with the bytes that the hub and the lock (`known`) say.

        Raises:
            WeightsMissing: Its bytes are others, or it did not come.
        """
        file, target = listing.files[path], self._staging / path
        if target.is_file() and target.stat().st_size == file.size_bytes:
            found = installed.digest(target, path)
            if not _wrong(found, target, file, known):
                return found
        target.parent.mkdir(parents=True, exist_ok=True)
        # Named by what it must become, so that the rest of it never comes from another revision.
        part = target.with_name(f"{target.name}.{(file.sha256 or file.blob)[:12]}.part")
        self._on_line(f"{path}  {file.size_bytes / 1e6:.1f} MB")
        self._download(listing.revision, path, file.size_bytes, part)
        found = installed.digest(part, path)
        if wrong := _wrong(found, part, file, known):
            part.unlink()
            raise refused(self._name, f"{path} is not the file that {wrong}")
        part.replace(target)
        return found

    def _download(self, revision: str, path: str, size_bytes: int, part: Path) -> None:
        """Writes a file, or the rest of it. Raises WeightsMissing or OSError."""
        import httpx2
        from huggingface_hub import errors, hf_hub_url
        from huggingface_hub.file_download import http_get  # hf_hub_download throws away what came in part
        from huggingface_hub.utils import build_hf_headers, disable_progress_bars  # type: ignore[attr-defined]

        if not sys.stderr.isatty():
            disable_progress_bars()
        if part.exists() and part.stat().st_size > size_bytes:
            part.unlink()
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}  # offsets are of the file, not of its gzip
        try:
            with part.open("ab") as stream:
                http_get(
                    hf_hub_url(self._repo, path, revision=revision, endpoint=self._endpoint),
                    stream,
                    resume_size=stream.tell(),
                    headers=headers,
                    expected_size=size_bytes,
                    displayed_filename=path,
                )
                stream.flush()
                os.fsync(stream.fileno())
        except (httpx2.HTTPError, errors.HfHubHTTPError) as error:
            what = f"{path} did not come ({type(error).__name__}); the same command goes on"
            raise refused(self._name, what) from error
        except OSError as error:
            if error.errno:
                raise
            raise refused(self._name, f"{path} did not come whole; the same command goes on") from error


def _make_ready(staging: Path, lock: WeightsLock) -> tuple[LockedFile, ...]:
    """Makes a folder ready for its engine, and sees that a card can be made of it; returns the files written."""
    try:
        from celeste_image.providers.local.models.diffusion import describe

        written = [(path.relative_to(staging).as_posix(), path) for path in adapt(staging)]
    except ImportError as error:
        raise refused(lock.name, EXTRA) from error
    except WeightsMissing as error:
        raise refused(lock.name, error.message) from error
    describe(lock, staging)
    return tuple(installed.digest(path, name) for name, path in written)


def _check_complete(name: str, paths: Iterable[str], source: str) -> None:
    """Raises WeightsMissing unless the paths are those of a diffusion model in OpenVINO's format."""
    there = set(paths)
    missing = {"model_index.json", "vae_decoder/openvino_model.xml"} - there
    if not {"unet/openvino_model.bin", "transformer/openvino_model.bin"} & there:
        missing.add("unet/openvino_model.bin")
    if missing:
        raise refused(name, f"{source} is no diffusion model in OpenVINO's format: {min(missing)} is not in it")


def _held(listing: Listing, lock: WeightsLock) -> Listing:
    """Returns the files of a lock, if the hub says of them what it said when the lock was written.

    Raises:
        WeightsMissing: It does not.
    """
    path = installed.lock_path(lock.name).name
    if listing.revision != lock.revision:
        raise refused(lock.name, f"the hub has {listing.revision} for revision {lock.revision} of {path}")
    for known in lock.files:
        file = listing.files.get(known.path)
        if file is None or file.size_bytes != known.size_bytes or file.sha256 not in ("", known.sha256):
            raise refused(lock.name, f"the hub has other bytes for {known.path} than {path} says")
    return replace(listing, files={file.path: listing.files[file.path] for file in lock.files})


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
