"""A disk that is full: a limit on the size of this process's files stands for it.

The kernel ends a write in its middle, and that needs no root.
"""

import contextlib
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def full_at(size_bytes: int) -> Iterator[None]:
    """Limits the size of this process's files, so that writes fail in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
