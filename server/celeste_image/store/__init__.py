"""Content-addressed storage: an artifact is named by the SHA-256 of its bytes.

artifacts.py   the store that callers use: an owner's artifacts, with expiry and lineage
blobs.py       the bytes, checked on write and read
index.py       who owns which bytes, with media type, size and lineage: the interface
  database_index.py   ... in the database of a folder, with the bytes of small artifacts
  object_index.py     ... as small objects, in memory and on S3
uploads.py     resumable uploads: the interface, and what the kinds have in common
  file_uploads.py     ... in files, for folders and S3
  memory_uploads.py   ... in memory, for a store in memory
reader.py      reads the parts of one object
ages.py        what is old enough to be deleted, whatever the wall clock does
backend.py     what is under all this: folder, memory or S3, its errors and its free space
files.py       durable writes of files, file errors and free space
memory.py      objects in memory, up to a number of bytes
open.py        opens the store of a URL
earlier.py     takes over the index of earlier versions
"""

from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.blobs import CHUNK_BYTES
from celeste_image.store.open import open_store
from celeste_image.store.reader import Data

__all__ = ["CHUNK_BYTES", "ArtifactStore", "Data", "open_store"]
