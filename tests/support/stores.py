"""Artifact stores under test, with the backend and the folder that they stand on."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from celeste_image.core.artifact import artifact_name
from celeste_image.store.ages import Ages
from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.backend import Backend, open_backend
from celeste_image.store.uploads import Uploads

OWNER, OTHER = "ann", "ben"


def name_of(data: bytes) -> str:
    return artifact_name(hashlib.sha256(data).hexdigest())


def path_of(name: str) -> str:
    sha256 = name.rpartition("-")[2]
    return f"sha256/{sha256[:2]}/{sha256}"


@dataclass
class Clock:
    """The real time, plus the time by which a test is ahead, plus the error of the wall clock."""

    ahead: timedelta = field(default_factory=timedelta)
    error: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead + self.error

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead.total_seconds()

    def ages(self) -> Ages:
        """Returns what a new server makes of the clocks."""
        return Ages(self, self.monotonic)


@dataclass
class StoreSetup:
    """A store, its backend and its folder; `again` opens the store as a restarted server would."""

    backend: Backend
    spool: Path
    clock: Clock
    open: Callable[[float], ArtifactStore]
    store: ArtifactStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.open(0)

    def again(self, retention_hours: float = 0) -> ArtifactStore:
        return self.open(retention_hours * 3600)

    async def paths(self, prefix: str = "") -> list[str]:
        return sorted([str(meta["path"]) async for meta in self.backend.list(prefix)])

    async def write(self, path: str, data: bytes) -> None:
        await self.backend.objects.put_async(path, data)

    def parts(self) -> list[Path]:
        return list(self.spool.iterdir())


def setup_at(backend: Backend, spool: Path) -> StoreSetup:
    spool.mkdir()
    clock = Clock()

    def opened(retention_seconds: float) -> ArtifactStore:
        return ArtifactStore(backend, Uploads(spool, 0), retention_seconds, 0, clock.ages())

    return StoreSetup(backend, spool, clock, opened)


async def swept(store: ArtifactStore) -> tuple[int, int, int]:
    """Returns what three sweeps in a row remove: the first finds, the second deletes, the third deletes the bytes."""
    sweeps = [await store.sweep() for _ in range(3)]
    entries, blobs, uploads = (sum(column) for column in zip(*sweeps, strict=True))
    return entries, blobs, uploads


def memory() -> ArtifactStore:
    """Returns an empty store in memory, without uploads."""
    return ArtifactStore(open_backend("memory:///", {}), Uploads(Path("nowhere"), 0))
