"""Opens the artifact store that a URL names."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from obstore.exceptions import BaseError, UnknownConfigurationKeyError
from obstore.store import LocalStore, ObjectStore, S3Store

from celeste_image.database import Database
from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.backend import Backend
from celeste_image.store.earlier import take_over_records
from celeste_image.store.file_uploads import FileUploads
from celeste_image.store.files import flush, make_folder
from celeste_image.store.memory import MemoryObjects
from celeste_image.store.memory_uploads import MemoryUploads
from celeste_image.store.uploads import Uploads

__all__ = ["DATABASE", "check_room", "open_backend", "open_store"]

DATABASE = "database.sqlite3"
"""Name of the database's file in a store's folder. SQLite keeps two more files beside it, `-wal` and `-shm`."""
MEMORY_BYTES = 1 << 30
REQUEST_SECONDS = 30
"""Timeout of a request to S3, with its body."""


def open_store(
    url: str,
    spool: Path | None,
    *,
    options: Mapping[str, str] | None = None,
    retention_seconds: float = 0.0,
    reserve_bytes: int = 0,
    memory_bytes: int = MEMORY_BYTES,
) -> ArtifactStore:
    """Returns the artifact store at a URL.

    Args:
        url: See `open_backend`.
        spool: Folder for uploads that are not complete; created if absent. None keeps those of a store in memory there.
        options: See `open_backend`.
        retention_seconds: How long artifacts are kept; 0 means forever.
        reserve_bytes: Room that must remain: on a disk, or of `memory_bytes`.
        memory_bytes: Most bytes of a store in memory.

    Raises:
        ValueError: The URL, an option or a size is invalid, or the folder's store is of a later version.
        OSError: A folder can't be created or written.
    """
    check_room(url, memory_bytes, reserve_bytes)
    backend = open_backend(url, options or {}, memory_bytes)
    if spool:
        make_folder(spool)
        uploads: Uploads[Any] = FileUploads(spool, reserve_bytes)
    else:
        assert isinstance(backend.objects, MemoryObjects)
        uploads = MemoryUploads(backend.objects, reserve_bytes)
    return ArtifactStore(backend, uploads, retention_seconds, reserve_bytes)


def check_room(url: str, memory_bytes: int, reserve_bytes: int) -> None:
    """Raises ValueError if a store in memory would have no room."""
    if url.startswith("memory:") and memory_bytes <= reserve_bytes:
        raise ValueError("store.memory_bytes: must be above store.reserve_bytes, or nothing can be stored")


def open_backend(
    url: str, options: Mapping[str, str], memory_bytes: int = MEMORY_BYTES, *, durable: bool = True
) -> Backend:
    """Returns the backend at a URL.

    Args:
        url: `memory:///`, `file:///FOLDER` (created if absent) or `s3://BUCKET/PREFIX`.
        options: For S3, obstore's keys: `endpoint`, `region`, `aws_access_key_id` and so on. The usual AWS variables
            supply missing ones.
        memory_bytes: Most bytes of a store in memory.
        durable: Whether a write to the database of a folder waits for the disk.

    Raises:
        ValueError: The URL has another form, an option is unknown, or the folder's store is of a later version.
        OSError: The folder can't be created or written.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query:  # the log shows the URL
        raise ValueError("store.url: must have no keys or options; they are in [store.options] or the AWS variables")
    if parts.scheme == "memory":
        return Backend(MemoryObjects(memory_bytes))
    if parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost"):
        return _open_folder(Path(url2pathname(parts.path)), durable)
    if parts.scheme == "s3" and parts.netloc:
        return Backend(_open_s3(url, options), far=True)
    given = f", not {parts.scheme}://" if "://" in url else ""  # no more of it: it may be a misplaced key
    raise ValueError(f"store.url: must be memory:///, file:///FOLDER or s3://BUCKET/PREFIX{given}")


def _open_folder(folder: Path, durable: bool) -> Backend:
    make_folder(folder)
    try:
        database = Database(folder / DATABASE, partial(take_over_records, folder), durable=durable)
    except ValueError as error:
        raise ValueError(f"store.url: {folder}: {error}") from error
    flush(folder)  # a new database's name is durable before anything in it is acknowledged
    return Backend(LocalStore(folder), folder, database)


def _open_s3(url: str, options: Mapping[str, str]) -> ObjectStore:
    plain = options.get("endpoint", "").startswith("http://")
    try:
        return S3Store.from_url(
            url,
            config=dict(options),  # type: ignore[arg-type]
            client_options={
                "allow_http": plain,
                "connect_timeout": "5s",
                "timeout": timedelta(seconds=REQUEST_SECONDS),
            },
            # obstore's defaults let a call hang for three minutes while the store is down.
            retry_config={
                "max_retries": 3,
                "retry_timeout": timedelta(seconds=20),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
        )
    except UnknownConfigurationKeyError as error:  # the text names the key, never its value
        raise ValueError(str(error).partition("\n")[0]) from error
    except BaseError as error:
        raise ValueError("the S3 store rejected its URL or options") from error
