"""Content-addressed storage: an artifact is named by the SHA-256 of its bytes.

artifacts.py   the store that callers use: an owner's artifacts, with expiry and lineage
blobs.py       the bytes, checked on write and read
index.py       who owns which bytes, with media type, size and lineage
uploads.py     resumable uploads
reader.py      reads the parts of one object
ages.py        what is old enough to be deleted, whatever the wall clock does
files.py       durable writes of files, file errors and free space
backend.py     disk, memory or S3, by a URL
open.py        opens the store of a URL
"""

from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.blobs import CHUNK_BYTES
from celeste_image.store.open import open_store
from celeste_image.store.reader import Data

__all__ = ["CHUNK_BYTES", "ArtifactStore", "Data", "open_store"]
