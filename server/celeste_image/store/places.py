"""Where bytes are kept: a folder, the memory, or S3, by a URL; and whether there is room."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store

from celeste_image.core.errors import StorageFull, StorageUnavailable

if TYPE_CHECKING:
    from celeste_image.store.artifacts import ArtifactStore

__all__ = ["Place", "check_room", "open_place", "open_store"]

RETRY_SECONDS = 30.0
FULL = ("os error 28", "os error 122", "No space left", "quota exceeded")
"""What obstore says of ENOSPC and EDQUOT; it has no class for them."""
RANGE = ("Requested range", "requested range", "Wanted range", "InvalidRange", "out of bounds", "start at")


@dataclass(frozen=True, slots=True)
class Place:
    """An object store; `folder` is where it is on this machine, None when it is elsewhere."""

    objects: ObjectStore
    folder: Path | None = None

    def check_room(self, reserve_bytes: int) -> None:
        """Raises StorageFull or StorageUnavailable when this folder could not take more; costs a few microseconds."""
        if self.folder:
            check_room(self.folder, reserve_bytes)

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Makes the errors of the store ours.

        Raises:
            StorageFull: There is no room.
            StorageUnavailable: It can't be read or written.
            FileNotFoundError: What was asked for is not there.
        """
        try:
            yield
        except (FileNotFoundError, NotFoundError) as error:
            raise FileNotFoundError from error
        except (BaseError, OSError) as error:
            text = str(error)
            if any(words in text for words in FULL):
                raise full() from error
            if any(words in text for words in RANGE):
                raise
            raise StorageUnavailable("the artifact store can't be used", retry_after=RETRY_SECONDS) from error


def full() -> StorageFull:
    """Returns the error of a store without room."""
    return StorageFull("the artifact store has no room left", retry_after=RETRY_SECONDS)


def check_room(folder: Path, reserve_bytes: int) -> None:
    """Raises StorageFull when a folder's disk has less than `reserve_bytes` free, StorageUnavailable when read-only."""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        raise StorageUnavailable("the artifact store can't be used", retry_after=RETRY_SECONDS) from error
    if disk.f_flag & os.ST_RDONLY:
        raise StorageUnavailable("the artifact store can't be written", retry_after=RETRY_SECONDS)
    if disk.f_bavail * disk.f_frsize < reserve_bytes:
        raise full()


def open_place(url: str, options: Mapping[str, str]) -> Place:
    """Returns the place at a URL: `memory:///`, `file:///FOLDER` (which is made), or `s3://BUCKET/PREFIX`.

    Args:
        url: Where.
        options: For S3, obstore's keys: `endpoint`, `region`, `aws_access_key_id` and so on. What is not among them is
            taken from the usual AWS variables.

    Raises:
        ValueError: The URL is of another kind, or an option is not known.
        OSError: The folder can't be made.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return Place(MemoryStore())
    if parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost"):
        folder = Path(url2pathname(parts.path))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Place(LocalStore(folder), folder)
    if parts.scheme == "s3" and parts.netloc:
        client = {"allow_http": True} if options.get("endpoint", "").startswith("http://") else {}
        try:
            return Place(S3Store.from_url(url, config=dict(options), client_options=client))  # type: ignore[arg-type]
        except BaseError as error:
            raise ValueError("the options of the S3 store are not right") from error
    raise ValueError(f"a store is at memory:///, file:///FOLDER or s3://BUCKET/PREFIX, not at {url!r}")


def open_store(
    url: str,
    spool: Path,
    *,
    options: Mapping[str, str] | None = None,
    retention_seconds: float = 0.0,
    reserve_bytes: int = 0,
) -> "ArtifactStore":
    """Returns the artifact store at a URL.

    Args:
        url: See `open_place`.
        spool: Folder for uploads that are not complete; it is made.
        options: See `open_place`.
        retention_seconds: How long artifacts are kept; 0 is for ever.
        reserve_bytes: Room that must be left on a disk for anything to be stored there.

    Raises:
        ValueError: The URL or an option is wrong.
        OSError: A folder can't be made.
    """
    from celeste_image.store.artifacts import ArtifactStore
    from celeste_image.store.uploads import Uploads

    spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = open_place(url, options or {})
    return ArtifactStore(place, Uploads(spool, reserve_bytes), retention_seconds, reserve_bytes)
