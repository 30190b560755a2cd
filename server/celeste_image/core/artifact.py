"""Artifact: stored bytes, named by their digest, and their lineage."""

from dataclasses import dataclass
from datetime import datetime

__all__ = ["PREFIX", "Artifact", "Lineage", "artifact_name", "is_artifact_name"]

PREFIX = "artifacts/sha256-"
HEX = frozenset("0123456789abcdef")


def artifact_name(sha256: str) -> str:
    """Returns the resource name of the artifact with this digest, 64 hex digits."""
    return PREFIX + sha256


def is_artifact_name(name: str) -> bool:
    """Returns whether an artifact can have this name. The closed alphabet keeps names from leading out of a folder."""
    sha256 = name.removeprefix(PREFIX)
    return sha256 != name and len(sha256) == 64 and HEX.issuperset(sha256)


@dataclass(frozen=True, slots=True)
class Lineage:
    """One operation that made the bytes; `parents` are the digests of its input images."""

    request_id: str
    operation: str
    model: str
    time: datetime
    seed: int | None = None
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """Stored bytes of one owner.

    `width` and `height` are in pixels; 0 means unknown. `expires` None means never. `lineages` has the newest first;
    lists of artifacts leave it empty.
    """

    name: str
    media_type: str
    size_bytes: int
    width: int = 0
    height: int = 0
    created: datetime | None = None
    expires: datetime | None = None
    lineages: tuple[Lineage, ...] = ()

    @property
    def sha256(self) -> str:
        """Digest of the bytes, 64 hex digits."""
        return self.name.removeprefix(PREFIX)
