"""Content-addressed bytes: an artifact is named by the SHA-256 of what it holds."""

from celeste_image.store.artifacts import CHUNK_BYTES, Artifact, ArtifactStore, artifact_name, open_store

__all__ = ["CHUNK_BYTES", "Artifact", "ArtifactStore", "artifact_name", "open_store"]
