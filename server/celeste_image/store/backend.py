"""Backend: the object store under the artifacts (a folder, memory or S3), its errors and its free space."""

import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from obstore.exceptions import BaseError, UnknownConfigurationKeyError
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store

from celeste_image.core.errors import CelesteError
from celeste_image.store.ages import Ages
from celeste_image.store.files import check_room, failed, file_failures, in_thread, make_folder, staged, sync, write

if TYPE_CHECKING:
    from obstore import ObjectMeta

__all__ = ["ORPHAN_AGE", "Backend", "open_backend"]

ORPHAN_AGE = timedelta(hours=1)
"""How long bytes without an owner are kept: their writer may be about to add the index entry."""

PART_BYTES = 5 << 20
"""Part of a multipart upload: S3's minimum. One part at a time limits the memory of a put."""
PROBE = bytes(4096)
REQUEST_SECONDS = 30
"""Timeout of a request to S3, with its body."""


@dataclass(slots=True)
class Backend:
    """An object store.

    Attributes:
        objects: obstore's client.
        folder: The store's folder on this machine; None for memory and S3.
        far: Whether each read is a round trip over a network.
        failing: Whether an operation has failed since the last successful write.
    """

    objects: ObjectStore
    folder: Path | None = None
    far: bool = False
    failing: bool = False

    async def check_room(self, reserve_bytes: int) -> None:
        """Raises StorageFull or StorageUnavailable when nothing can be stored.

        Costs a few microseconds. After a failure it also writes a small object, to find out whether the store has
        recovered.
        """
        if self.folder:
            check_room(self.folder, reserve_bytes)
        if self.failing:
            await self.put("probe", PROBE)

    async def put(self, path: str, content: bytes | Path) -> None:
        """Stores an object durably. A failed put leaves the earlier object.

        A file must not change afterwards: a folder on the same disk has no copy. Others stream it.

        Raises:
            StorageFull: The store has no room.
            StorageUnavailable: The store can't be written.
        """
        with self.writing():
            if self.folder:  # obstore renames a file before it is on the disk
                await in_thread(write, self.folder, self.folder / path, content)
            else:
                await self.objects.put_async(path, content, chunk_size=PART_BYTES, max_concurrency=1)
        self.failing = False

    async def sync(self, path: str) -> None:
        """Flushes an object to the disk if the store is a folder. Raises as `put` does."""
        if self.folder:
            with self.writing():
                await in_thread(sync, self.folder, self.folder / path)

    async def delete(self, path: str) -> bool:
        """Deletes an object; returns False if the store reports that it was absent. Raises StorageUnavailable."""
        try:
            with self.failures():
                await self.objects.delete_async(path)
        except FileNotFoundError:
            return False
        return True

    async def list(self, prefix: str, offset: str | None = None) -> AsyncGenerator["ObjectMeta", None]:
        """Yields the objects below a prefix, after `offset`, in the store's own order. Raises StorageUnavailable."""
        with self.failures():
            async for page in self.objects.list(prefix, offset=offset):
                for meta in page:
                    yield meta

    async def changed(self, path: str) -> datetime | None:
        """Returns when an object was last written; None when it is absent. Raises StorageUnavailable."""
        try:
            with self.failures():
                return (await self.objects.head_async(path))["last_modified"]
        except FileNotFoundError:
            return None

    async def sweep(self, ages: Ages) -> int:
        """Deletes unfinished files of killed servers; returns how many. Raises StorageUnavailable."""
        if self.folder is None:
            return 0
        deleted = 0
        with self.failures():
            for path, changed in await in_thread(staged, self.folder):
                if ages.is_old(str(path), changed, ORPHAN_AGE):
                    path.unlink(missing_ok=True)
                    deleted += 1
        return deleted

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Translates the store's errors into ours.

        Raises:
            StorageFull: The store has no room.
            StorageUnavailable: The store can't be read or written.
            FileNotFoundError: The object is absent.
        """
        try:
            with file_failures():
                yield
        except CelesteError:
            self.failing = True
            raise
        except BaseError as error:
            self.failing = True
            raise failed(error) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Translates a write's errors into ours; FileNotFoundError means a missing store."""
        try:
            with self.failures():
                yield
        except FileNotFoundError as error:
            raise failed(error) from error


def open_backend(url: str, options: Mapping[str, str]) -> Backend:
    """Returns the backend at a URL.

    Args:
        url: `memory:///`, `file:///FOLDER` (created if absent) or `s3://BUCKET/PREFIX`.
        options: For S3, obstore's keys: `endpoint`, `region`, `aws_access_key_id` and so on. The usual AWS variables
            supply missing ones.

    Raises:
        ValueError: The URL has another form, or an option is unknown.
        OSError: The folder can't be created.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query:  # the log shows the URL
        raise ValueError("a store URL holds no keys and no options; they are in [store.options] or the AWS variables")
    if parts.scheme == "memory":
        return Backend(MemoryStore())
    if parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost"):
        folder = Path(url2pathname(parts.path))
        make_folder(folder)
        return Backend(LocalStore(folder), folder)
    if parts.scheme == "s3" and parts.netloc:
        return Backend(_open_s3(url, options), far=True)
    raise ValueError(f"a store URL is memory:///, file:///FOLDER or s3://BUCKET/PREFIX, not {url!r}")


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
