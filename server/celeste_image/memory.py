"""Memory of the server that glibc's allocator would keep: after a storm of calls it held twice what was in use."""

import asyncio
import ctypes
import sys

__all__ = ["limit_arenas", "trim_always"]

M_ARENA_MAX = -8
"""In glibc's malloc.h."""
ARENAS = 2
"""Heaps that threads allocate from. By default there are eight for each CPU, and each keeps what was freed in it."""
TRIM_SECONDS = 30.0


def limit_arenas() -> None:
    """Limits the allocator's heaps, on Linux with glibc. Call it before other threads start."""
    if libc := _glibc():
        libc.mallopt(M_ARENA_MAX, ARENAS)


async def trim_always() -> None:
    """Gives freed memory back to the system periodically, in a thread; without end."""
    libc = _glibc()
    while libc:
        await asyncio.sleep(TRIM_SECONDS)
        await asyncio.to_thread(libc.malloc_trim, 0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") else None  # musl has none
