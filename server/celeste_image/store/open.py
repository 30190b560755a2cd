"""Opens the artifact store that a URL names."""

from collections.abc import Mapping
from pathlib import Path

from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.backend import open_backend
from celeste_image.store.files import make_folder
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
        spool: Folder for uploads that are not complete; created if absent.
        options: See `open_backend`.
        retention_seconds: How long artifacts are kept; 0 means forever.
        reserve_bytes: Free space that must remain on a disk.

    Raises:
        ValueError: The URL or an option is invalid.
        OSError: A folder can't be created.
    """
    backend = open_backend(url, options or {})
    make_folder(spool)
    return ArtifactStore(backend, Uploads(spool, reserve_bytes), retention_seconds, reserve_bytes)
