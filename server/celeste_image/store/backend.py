"""Where bytes are kept: a folder, the memory, or S3, by a URL; and whether there is room."""

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
from celeste_image.store.files import check_room, failed, file_failures, in_thread, sweep_staged, sync

if TYPE_CHECKING:
    from obstore import ObjectMeta

__all__ = ["ORPHAN_AGE", "Backend", "open_backend"]

ORPHAN_AGE = timedelta(hours=1)
"""How long what nobody owns is kept: whoever wrote it may be about to record it."""

PART_BYTES = 5 << 20
"""S3's least; with one at a time it bounds what a put holds of a file."""
PROBE = bytes(4096)
REQUEST_SECONDS = 30
"""For one request to S3, bytes included."""


@dataclass(slots=True)
class Backend:
    """An object store; `folder` is where it is on this machine, None when it is elsewhere.

    Attributes:
        far: Whether each read is a round trip over a network.
        failing: Whether something failed since the last write that did not.
    """

    objects: ObjectStore
    folder: Path | None = None
    far: bool = False
    failing: bool = False

    async def check_room(self, reserve_bytes: int) -> None:
        """Raises StorageFull or StorageUnavailable when nothing could be stored.

        Costs a few microseconds, and a small write after a failure: nobody else finds out that it is over.
        """
        if self.folder:
            check_room(self.folder, reserve_bytes)
        if self.failing:
            await self.put("probe", PROBE)

    async def put(self, path: str, content: bytes | Path) -> None:
        """Stores an object, from a file without holding all of it; returns once it is safe.

        Raises:
            StorageFull: There is no room.
            StorageUnavailable: It can't be written.
        """
        with self.writing():
            await self.objects.put_async(path, content, chunk_size=PART_BYTES, max_concurrency=1)
        await self.sync(path)
        self.failing = False

    async def sync(self, path: str) -> None:
        """Brings an object to the disk, as a put of it would, if this is a folder. Raises as `put` does."""
        if self.folder:
            with self.writing():
                await in_thread(sync, self.folder, self.folder / path)

    async def delete(self, path: str) -> bool:
        """Deletes an object; returns False when it is known that there was none. Raises StorageUnavailable."""
        try:
            with self.failures():
                await self.objects.delete_async(path)
        except FileNotFoundError:
            return False
        return True

    async def list(self, prefix: str, offset: str | None = None) -> AsyncGenerator["ObjectMeta", None]:
        """Yields what is below a prefix, behind `offset`, in the store's own order. Raises StorageUnavailable."""
        with self.failures():
            async for page in self.objects.list(prefix, offset=offset):
                for meta in page:
                    yield meta

    async def changed(self, path: str) -> datetime | None:
        """Returns when an object was last written, None when there is none. Raises StorageUnavailable."""
        try:
            with self.failures():
                return (await self.objects.head_async(path))["last_modified"]
        except FileNotFoundError:
            return None

    async def sweep(self, now: datetime) -> int:
        """Deletes what a killed server left of its puts; returns how many files. Raises StorageUnavailable."""
        if self.folder is None:
            return 0
        with self.failures():
            return await in_thread(sweep_staged, self.folder, (now - ORPHAN_AGE).timestamp())

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Makes the errors of the store ours.

        Raises:
            StorageFull: There is no room.
            StorageUnavailable: It can't be read or written.
            FileNotFoundError: What was asked for is not there.
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
        """Makes the errors of a write ours: it asks for nothing, so that nothing can be missing but the store."""
        try:
            with self.failures():
                yield
        except FileNotFoundError as error:
            raise failed(error) from error


def open_backend(url: str, options: Mapping[str, str]) -> Backend:
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
        return Backend(MemoryStore())
    if parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost"):
        folder = Path(url2pathname(parts.path))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Backend(LocalStore(folder), folder)
    if parts.scheme == "s3" and parts.netloc:
        return Backend(_open_s3(url, options), far=True)
    raise ValueError(f"a store is at memory:///, file:///FOLDER or s3://BUCKET/PREFIX, not at {url!r}")


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
            # obstore's own would let a call hang for three minutes while the store is away.
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
    except UnknownConfigurationKeyError as error:  # the text has the key, never a value
        raise ValueError(str(error).partition("\n")[0]) from error
    except BaseError as error:
        raise ValueError("the options of the S3 store are not right") from error
