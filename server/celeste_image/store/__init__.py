"""Content-addressed bytes: an artifact is named by the SHA-256 of what it holds.

artifacts.py   what callers see: artifacts of an owner, with expiry and lineage
blobs.py       the bytes themselves, checked on write and read
index.py       who owns which bytes, and what is known of them
uploads.py     bytes on their way in
files.py       what can go wrong with files, once
backend.py     disk, memory or S3 by a URL, and whether there is room
open.py        the store that a URL names
"""

from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.blobs import CHUNK_BYTES
from celeste_image.store.open import open_store

__all__ = ["CHUNK_BYTES", "ArtifactStore", "open_store"]
