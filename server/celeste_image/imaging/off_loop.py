"""Work on bytes, kept off the event loop when they are many."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["off_loop"]

INLINE_BYTES = 2 << 20
"""Bytes up to which the work is done at once: to hash or to inspect them takes 2 ms. A thread costs 0.1 ms."""

P = ParamSpec("P")
R = TypeVar("R")


async def off_loop(size_bytes: int, work: Callable[P, R], *args: P.args, **more: P.kwargs) -> R:
    """Returns the result of `work`, which takes about a millisecond for each megabyte of `size_bytes`."""
    if size_bytes <= INLINE_BYTES:
        return work(*args, **more)
    return await asyncio.to_thread(work, *args, **more)
