"""Opens the artifact store that a URL names."""

from collections.abc import Mapping
from pathlib import Path

from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.backend import open_backend
from celeste_image.store.uploads import Uploads

__all__ = ["open_store"]


def open_store(
    url: str,
    spool: Path,
    *,
    options: Mapping[str, str] | None = None,
    retention_seconds: float = 0.0,
    reserve_bytes: int = 0,
) -> ArtifactStore:
    """Returns the artifact store at a URL.

    Args:
        url: See `open_backend`.
        spool: Folder for uploads that are not complete; it is made.
        options: See `open_backend`.
        retention_seconds: How long artifacts are kept; 0 is for ever.
        reserve_bytes: Room that must be left on a disk for anything to be stored there.

    Raises:
        ValueError: The URL or an option is wrong.
        OSError: A folder can't be made.
    """
    place = open_backend(url, options or {})
    spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    return ArtifactStore(place, Uploads(spool, reserve_bytes), retention_seconds, reserve_bytes)
