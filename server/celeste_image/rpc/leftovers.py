"""Leftovers: reads the rest of a stream of requests whose call is decided, so that its caller gets our status."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

__all__ = ["PAUSE_SECONDS", "Leftovers", "read_on"]

READ_ON_BYTES = 64 << 20
READ_ON_SECONDS = 10.0
"""Most that is read and thrown away of a stream of requests after its call has ended."""
PACE_BYTES = 64 << 10
PAUSE_SECONDS = 1.0
"""A caller that sends less than PACE_BYTES within this time is not in the middle of an upload: nothing more is read."""
MOST_UNCOUNTED = 16
"""Most streams that are read on without memory in the budget: refused ones. Each holds one message at a time."""


class Leftovers:
    """Reads refused streams of requests on, MOST_UNCOUNTED at a time."""

    def __init__(self) -> None:
        self._reading = 0

    async def read(self, messages: AsyncIterator[Any]) -> None:
        """Reads the rest of a stream, unless too many others are read."""
        if self._reading < MOST_UNCOUNTED:
            self._reading += 1
            try:
                await read_on(messages)
            finally:
                self._reading -= 1


async def read_on(messages: AsyncIterator[Any], pause_seconds: float = PAUSE_SECONDS) -> None:
    """Reads the rest of a stream of requests, within limits, and throws it away.

    A caller in grpc.aio whose write fails, since the server has ended the call, gets INTERNAL from its own library
    instead of our status or response.
    """
    rest, pace = READ_ON_BYTES, 0
    with suppress(Exception):  # the stream has ended, is broken, or pauses
        async with asyncio.timeout(READ_ON_SECONDS), asyncio.timeout(pause_seconds) as paused:
            async for message in messages:
                size = message.ByteSize()
                rest, pace = rest - size, pace + size
                if rest < 0:
                    return
                if pace >= PACE_BYTES:
                    pace = 0
                    paused.reschedule(asyncio.get_running_loop().time() + pause_seconds)
