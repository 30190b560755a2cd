"""Memory of the server: gives back what glibc's allocator would keep, and spares lasting objects from the collector."""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Callable

__all__ = ["SETTLE_SECONDS", "limit_arenas", "settle", "trim_always"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""In glibc's malloc.h."""
ARENAS = 2
"""Heaps that threads allocate from. By default there are eight for each CPU, and each keeps what was freed in it."""
KEPT_BYTES = 256 << 20
"""Free memory that a heap keeps at its end until `trim_always` gives it back."""
HEAP_BYTES = 32 << 20
"""Size from which a block has pages of its own: glibc takes no larger number. Smaller blocks reuse the pages of a heap.
Fresh pages take 1 ms for each megabyte, and an image of 1.6 MB is copied several times."""
SETTLE_SECONDS = 2.0
"""Time between the start of a server and `settle`: a server that serves one command has ended by then."""
YOUNG_OBJECTS = 2_000
"""New objects after which the garbage collector looks for cycles among them; Python's default is 700 or 2,000."""
LOOK_SECONDS = 1.0
"""Time between two looks at the memory of the process."""
TRIM_SECONDS = 30.0
"""Longest time between two trims, under load as well."""
BURST_BYTES = 32 << 20
"""Growth after which memory is given back once calls no longer hold it: since the last trim, without what they held."""


def limit_arenas() -> None:
    """Limits the allocator's heaps, on Linux with glibc, and lets them serve images. Call it before threads start."""
    if libc := _glibc():
        libc.mallopt(M_ARENA_MAX, ARENAS)
        libc.mallopt(M_MMAP_THRESHOLD, HEAP_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def settle() -> None:
    """Exempts the objects that exist now from garbage collections, and makes collections rarer.

    Call it once the server is up: these are its modules and classes, and they stay. Each full collection looked at all
    of them, for 40 to 100 ms in which no call went on. So none is made here first: of 73,000 objects it freed 20.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    # A call passes 27 async generators, all closed by who runs them. The event loop need not list them for its end.
    sys.set_asyncgen_hooks(firstiter=None)


async def trim_always(held: Callable[[], int] = lambda: 0) -> None:
    """Gives freed memory back to the system, in a thread; without end.

    After a burst of calls it does so within LOOK_SECONDS. Under load it does so every TRIM_SECONDS: the calls would
    take the same memory from the system again.

    Args:
        held: Returns how many bytes calls hold now.
    """
    libc = _glibc()
    base, waited = _resident_bytes(), 0.0
    while libc:
        await asyncio.sleep(LOOK_SECONDS)
        waited += LOOK_SECONDS
        grown, in_use = _resident_bytes() - base, held()
        if waited >= TRIM_SECONDS or (grown > BURST_BYTES and in_use < grown // 2):
            await asyncio.to_thread(libc.malloc_trim, 0)
            base, waited = _resident_bytes() - in_use, 0.0  # what calls hold is freed later


def _resident_bytes() -> int:
    """Returns the memory of this process that is in RAM; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") else None  # musl has none
