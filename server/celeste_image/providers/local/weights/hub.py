"""Downloads diffusion models from a model hub with huggingface_hub, or copies them from a folder.

    model_info ──> small files ──> adapt, describe ──> large files, resumed where each stopped ──> install

huggingface_hub chooses the hub, the proxy and the token (`HF_ENDPOINT`, `HF_TOKEN`), so this module has no address. The
hub states the SHA-256 or the Git blob id of each file. The first pull resolves `main` to a commit and writes the files
it found into the lock; every later pull must get the same files. This runs in the process of the command, never in the
server. Needs the extra `diffusion`.
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
from celeste_image.core.install import install_hint
from celeste_image.providers.local.weights import installed, packages
from celeste_image.providers.local.weights.adapt import adapt
from celeste_image.providers.local.weights.installed import LockedFile, WeightsLock, not_ready

__all__ = ["EXTRA", "add_folder", "pull"]

EXTRA = f"the extra `diffusion` is not installed; get it with: {install_hint('diffusion')}"

Line = Callable[[str], None]
Ready = Callable[[WeightsLock, Path], object]
"""Gets the lock and the folder of a model; raises WeightsMissing if the engine cannot run it."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file on the hub; `sha256` is empty for small files, which have only a Git blob id."""

    size_bytes: int
    sha256: str
    blob: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit, with the files that belong to the model."""

    revision: str
    license: str
    files: Mapping[str, HubFile]


def pull(name: str, repo: str, *, ready: Ready, on_line: Line, endpoint: str | None = None) -> Path:
    """Downloads a model's missing files and checks all files; returns the model's folder.

    A partial file is resumed: in this call after a broken connection, in the next call after the process has ended.

    Args:
        name: The model's name after `local/`.
        repo: Its repository, OWNER/NAME.
        ready: Checks that the engine supports the model.
        on_line: Gets a line for each file that is downloaded.
        endpoint: The hub's address; None leaves the choice to huggingface_hub.

    Raises:
        WeightsMissing: The extra is not installed, or the hub cannot be reached. Or the repository does not exist, has
            no model in OpenVINO's format, or has a file that differs from its hash. An installed model stays.
    """
    try:
        from filelock import FileLock
    except ImportError as error:
        raise not_ready(name, EXTRA) from error
    root = packages.root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".pull-{name}.lock"):
            return Pull(name, repo, ready, on_line, endpoint).run()
    except OSError as error:
        what = f"{error.strerror or error}: {error.filename or root}"
        raise not_ready(name, packages.ADDRESS.sub("<address>", what)) from error


def add_folder(name: str, source: Path, *, ready: Ready) -> Path:
    """Copies a folder with a model in OpenVINO's format into the models folder; returns the copy's path.

    `ready` checks that the engine supports the model.

    Raises:
        WeightsMissing: The folder has no such model, the name is taken, or a disk error occurred.
    """
    root = packages.root()
    paths = sorted(file.relative_to(source).as_posix() for file in source.rglob("*") if file.is_file())
    paths = [path for path in paths if installed.is_model_file(path)]
    _check_complete(name, paths, str(source))
    try:
        root.mkdir(parents=True, exist_ok=True)
        installed.remove_abandoned()
        staging = Path(tempfile.mkdtemp(prefix=".add-", dir=root))
        try:
            files = []
            for path in paths:
                (staging / path).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / path, staging / path)
                files.append(installed.hash_file(staging / path, path))
            lock = WeightsLock(name, "", "", "", tuple(files))
            return installed.install(staging, replace(lock, made=_prepare(staging, lock, ready)))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise not_ready(name, f"{error.strerror or error}: {error.filename or root}") from error


class Pull:
    """One pull of a model from a repository; unfinished files are kept in the folder `.pull-NAME`."""

    def __init__(self, name: str, repo: str, ready: Ready, on_line: Line, endpoint: str | None) -> None:
        self._name = name
        self._repo = repo
        self._ready = ready
        self._on_line = on_line
        self._endpoint = endpoint
        self._here = installed.folder(name)
        self._staging = self._here.with_name(f".pull-{name}")

    def run(self) -> Path:
        """Returns the model's folder. Raises WeightsMissing or OSError."""
        name, repo, staging = self._name, self._repo, self._staging
        lock = installed.read_lock(name)
        if lock and lock.repo != repo:
            raise not_ready(name, f"its lock says that it is from {lock.repo or 'a folder'}, not from {repo}")
        if lock and self._here.is_dir():
            try:
                installed.verify(self._here, lock.present.values(), f"local/{name}")
                return self._here
            except WeightsMissing as error:
                self._on_line(f"{error.message}; downloading it again")
                shutil.rmtree(staging, ignore_errors=True)
                self._here.rename(staging)  # the model is damaged, but most of its files may be reusable
        listing = self._listing(lock.revision if lock else "main")
        if lock:
            listing = _match_lock(listing, lock)
        known = {file.path: file.sha256 for file in lock.files} if lock else {}
        self._on_line(f"{repo} at {listing.revision}")
        size, free = sum(file.size_bytes for file in listing.files.values()), shutil.disk_usage(self._here.parent).free
        if size > free:
            text = f"the model needs {size / 1e9:.1f} GB; {self._here.parent} has {free / 1e9:.1f} GB free"
            raise not_ready(name, text)
        for file in [file for file in staging.rglob("*") if file.is_file() and file.suffix != ".part"]:
            if file.relative_to(staging).as_posix() not in listing.files:
                file.unlink()

        def fetch(paths: Iterable[str]) -> tuple[LockedFile, ...]:
            return tuple(self._file(listing, path, known.get(path, "")) for path in sorted(paths))

        # Small files decide whether the engine can run the model, so they come before the large ones.
        small = {path for path in listing.files if not path.endswith(".bin") or path.startswith("tokenizer")}
        files = fetch(small)
        present = WeightsLock(name, repo, listing.revision, listing.license, files)
        made = _prepare(staging, present, self._ready)
        files += fetch(set(listing.files) - small)
        for part in staging.rglob("*.part"):  # left from another revision
            part.unlink()
        return installed.install(staging, WeightsLock(name, repo, listing.revision, listing.license, files, made))

    def _listing(self, revision: str) -> Listing:
        """Returns the hub's listing of a repository. Raises WeightsMissing."""
        name, repo = self._name, self._repo
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read at import
        try:
            import httpx2
            from huggingface_hub import HfApi, errors
        except ImportError as error:
            raise not_ready(name, EXTRA) from error
        try:
            info = HfApi(endpoint=self._endpoint).model_info(repo, revision=revision, files_metadata=True, timeout=30)
        except errors.GatedRepoError as error:
            text = f"{repo} has terms: accept them on the hub, and put your token into HF_TOKEN"
            raise not_ready(name, text) from error
        except errors.RevisionNotFoundError as error:
            raise not_ready(name, f"the hub no longer has revision {revision} of {repo}") from error
        except errors.RepositoryNotFoundError as error:
            raise not_ready(name, f"the hub has no repository {repo}, or the repository is private") from error
        except errors.HfHubHTTPError as error:
            raise not_ready(
                name, f"the hub answered with HTTP status {error.response.status_code} for {repo}"
            ) from error
        except errors.HFValidationError as error:
            raise not_ready(name, f"{repo!r} is neither a folder nor a repository's name, OWNER/NAME") from error
        except (httpx2.HTTPError, OSError) as error:
            raise not_ready(name, f"the hub can't be reached ({type(error).__name__})") from error
        found = {file.rfilename: file for file in info.siblings or () if installed.is_model_file(file.rfilename)}
        _check_complete(name, found, repo)
        files = {
            path: HubFile(int(file.size or 0), str(file.lfs.sha256) if file.lfs else "", str(file.blob_id or ""))
            for path, file in found.items()
        }
        license: Any = info.card_data.get("license") if info.card_data else ""
        return Listing(str(info.sha), ", ".join(license) if isinstance(license, list) else str(license or ""), files)

    def _file(self, listing: Listing, path: str, known: str) -> LockedFile:
        """Downloads a file unless it is complete, and checks it; `known` is its SHA-256 in the lock, or empty.

        Raises:
            WeightsMissing: The file differs from the hub's or the lock's hash, or the download failed.
            OSError: A disk error occurred.
        """
        file, target = listing.files[path], self._staging / path
        if target.is_file() and target.stat().st_size == file.size_bytes:
            found = installed.hash_file(target, path)
            if not _mismatch(found, target, file, known):
                return found
        target.parent.mkdir(parents=True, exist_ok=True)
        # The name contains the expected hash, so a resumed file never mixes two revisions.
        part = target.with_name(f"{target.name}.{(file.sha256 or file.blob)[:12]}.part")
        self._on_line(f"{path}  {file.size_bytes / 1e6:.1f} MB")
        self._download(listing.revision, path, file.size_bytes, part)
        found = installed.hash_file(part, path)
        if mismatch := _mismatch(found, part, file, known):
            part.unlink()
            raise not_ready(self._name, f"{path} {mismatch}")
        part.replace(target)
        return found

    def _download(self, revision: str, path: str, size_bytes: int, part: Path) -> None:
        """Downloads a file, or the rest of a partial file. Raises WeightsMissing or OSError."""
        import httpx2
        from huggingface_hub import errors, hf_hub_url
        from huggingface_hub.file_download import http_get  # hf_hub_download discards partial files
        from huggingface_hub.utils import build_hf_headers, disable_progress_bars  # type: ignore[attr-defined]

        if not sys.stderr.isatty():
            disable_progress_bars()
        if part.exists() and part.stat().st_size > size_bytes:
            part.unlink()
        headers = {
            **build_hf_headers(),
            "Accept-Encoding": "identity",
        }  # offsets count the file's bytes, not gzip's
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
            what = f"the download of {path} failed ({type(error).__name__}); run the command again to resume"
            raise not_ready(self._name, what) from error
        except OSError as error:
            if error.errno:
                raise
            what = f"the download of {path} is incomplete; run the command again to resume"
            raise not_ready(self._name, what) from error


def _prepare(staging: Path, lock: WeightsLock, ready: Ready) -> tuple[LockedFile, ...]:
    """Adapts a folder for the engine and checks that the engine supports the model; returns the files written."""
    try:
        written = [(path.relative_to(staging).as_posix(), path) for path in adapt(staging)]
    except ImportError as error:
        raise not_ready(lock.name, EXTRA) from error
    except WeightsMissing as error:
        raise not_ready(lock.name, error.message) from error
    ready(lock, staging)
    return tuple(installed.hash_file(path, name) for name, path in written)


def _check_complete(name: str, paths: Iterable[str], source: str) -> None:
    """Raises WeightsMissing unless the paths form a diffusion model in OpenVINO's format."""
    there = set(paths)
    missing = {"model_index.json", "vae_decoder/openvino_model.xml"} - there
    if not {"unet/openvino_model.bin", "transformer/openvino_model.bin"} & there:
        missing.add("unet/openvino_model.bin")
    if missing:
        raise not_ready(name, f"{source} is not a diffusion model in OpenVINO's format: it lacks {min(missing)}")


def _match_lock(listing: Listing, lock: WeightsLock) -> Listing:
    """Returns the listing reduced to the lock's files.

    Raises:
        WeightsMissing: The hub's revision, or the size or hash of a file, differs from the lock.
    """
    path = installed.lock_path(lock.name).name
    if listing.revision != lock.revision:
        raise not_ready(lock.name, f"the hub has {listing.revision} for revision {lock.revision} of {path}")
    for known in lock.files:
        file = listing.files.get(known.path)
        if file is None or file.size_bytes != known.size_bytes or file.sha256 not in ("", known.sha256):
            raise not_ready(lock.name, f"the hub's {known.path} differs from the one in {path}")
    return replace(listing, files={file.path: listing.files[file.path] for file in lock.files})


def _mismatch(found: LockedFile, path: Path, file: HubFile, known: str) -> str:
    """Returns how a file differs from the hub's or the lock's hash; empty if it matches both."""
    if found.size_bytes != file.size_bytes or (file.sha256 and found.sha256 != file.sha256):
        return "does not have the SHA-256 that the hub states"
    if not file.sha256 and _git_blob(path) != file.blob:
        return "does not have the Git blob id that the hub states"
    if known and found.sha256 != known:
        return "does not have the SHA-256 in the lock"
    return ""


def _git_blob(path: Path) -> str:
    """Returns the Git blob id of a small file."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()
