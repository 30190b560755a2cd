"""Artifact: stored bytes, named by their digest, and how they came to be."""

from dataclasses import dataclass
from datetime import datetime

__all__ = ["PREFIX", "Artifact", "Lineage", "artifact_name", "is_artifact_name"]

PREFIX = "artifacts/sha256-"
HEX = frozenset("0123456789abcdef")


def artifact_name(sha256: str) -> str:
    """Returns the resource name for a digest of 64 hex digits."""
    return PREFIX + sha256


def is_artifact_name(name: str) -> bool:
    """Tells whether an artifact can have this name: a closed alphabet, so that no name leads out of a folder."""
    sha256 = name.removeprefix(PREFIX)
    return sha256 != name and len(sha256) == 64 and HEX.issuperset(sha256)


@dataclass(frozen=True, slots=True)
class Lineage:
    """One way in which bytes were made; `parents` are digests of the pictures they were made from."""

    request_id: str
    operation: str
    model: str
    time: datetime
    seed: int | None = None
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """Stored bytes of one owner.

    `width` and `height` are 0 when they are not known; `expires` is None for never; `lineages` come newest first,
    and only where an artifact is asked for by itself.
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
