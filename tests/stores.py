"""Artifact stores for tests."""

from pathlib import Path

from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.backend import open_backend
from celeste_image.store.uploads import Uploads


def memory() -> ArtifactStore:
    """Returns an empty store that takes no uploads."""
    return ArtifactStore(open_backend("memory:///", {}), Uploads(Path("nowhere"), 0))
