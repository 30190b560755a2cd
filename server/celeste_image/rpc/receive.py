"""Receives requests: reserves memory for a request before reading it, and ends calls whose request stays out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, suppress
from typing import Any, cast

import grpc

from celeste_image.admission import ByteBudget, Hold
from celeste_image.core.errors import CelesteError, DeadlineExceeded, InvalidRequest, Violation
from celeste_image.rpc.slow_readers import WatchedContext
from celeste_image.rpc.wrappers import Behavior, Context, Method, Room

__all__ = ["receiving"]

REQUEST_COPIES = 2
"""Copies of a request during its call: the received bytes, shared with the message, and its images in transit."""
RESPONSE_COPIES = 2
"""Copies of a unary response until the caller has read it: the message, and its bytes on the wire."""
CALL_BYTES = 64 << 10
"""Least memory of an open call: its tasks, its steps in the pipeline and its parts in gRPC."""
CHUNKED_BYTES = 2 << 20
"""Memory of a call that carries chunks: one chunk of 1 MiB in transit, and copies; 2.07 MiB measured."""
READ_ON_BYTES = 64 << 20
READ_ON_SECONDS = 10.0
"""Most that is read and thrown away of a stream of requests after its call has ended."""
PACE_BYTES = 64 << 10
REFUSED_PAUSE_SECONDS, DONE_PAUSE_SECONDS = 1.0, 0.15
"""A caller that sends less than PACE_BYTES within this time is not in the middle of an upload: nothing more is read."""
MOST_UNCOUNTED = 16
"""Most streams that are read on without memory in the budget: refused ones. Each holds one message at a time."""


def receiving(behavior: Behavior, method: Method, room: Room) -> Behavior:
    """Reserves memory before a request is read, and keeps the memory reserved until the call is over.

    The server reads a unary request here, not in gRPC. A request therefore stays with its caller until there is memory,
    and a refused call never sends its request.
    """
    return _several(behavior, room) if method.streams_requests else _one(behavior, method, room)


def _one(behavior: Behavior, method: Method, room: Room) -> Behavior:
    settings = room.settings
    budget, least, most = room.budget, CALL_BYTES, settings.request_bytes
    if method.is_chunked:
        budget, least, most = room.chunks, CHUNKED_BYTES, CHUNKED_BYTES

    async def one(_: Any, context: Context) -> Any:
        hold = await _reserve(budget, most)
        request = await _arrives(context.read(), settings.read_seconds)
        if request is grpc.aio.EOF:
            raise InvalidRequest.of([Violation("", "the call has no request message")])
        hold.resize(max(least, REQUEST_COPIES * request.ByteSize()))
        watched = WatchedContext(context, settings.write_seconds, None if method.is_chunked else hold)
        response = await behavior(request, cast(Context, watched))
        if response is not None:
            hold.resize(hold.size_bytes + RESPONSE_COPIES * response.ByteSize())
        return response

    return one


def _several(behavior: Behavior, room: Room) -> Behavior:
    uncounted = 0

    async def several(requests: Any, context: Context) -> Any:
        nonlocal uncounted
        arriving = aiter(requests)
        try:
            hold = await _reserve(room.chunks, CHUNKED_BYTES)
        except CelesteError:
            if uncounted < MOST_UNCOUNTED:
                uncounted += 1
                try:
                    await _read_on(arriving, REFUSED_PAUSE_SECONDS)
                finally:
                    uncounted -= 1
            raise
        pause = REFUSED_PAUSE_SECONDS
        try:
            async with aclosing(_in_time(arriving, hold, room.settings.read_seconds)) as messages:
                response = await behavior(messages, context)
                pause = DONE_PAUSE_SECONDS
                return response
        except (DeadlineExceeded, asyncio.CancelledError):
            pause = 0.0  # the caller sends nothing, or is gone
            raise
        finally:
            if pause:
                await _read_on(arriving, pause)

    return several


async def _read_on(messages: AsyncIterator[Any], pause_seconds: float) -> None:
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


async def _in_time(messages: AsyncIterator[Any], hold: Hold, seconds: float) -> AsyncGenerator[Any, None]:
    while (message := await _arrives(anext(messages, None), seconds)) is not None:
        hold.resize(max(CHUNKED_BYTES, REQUEST_COPIES * message.ByteSize()))
        yield message


async def _arrives(message: Awaitable[Any], seconds: float) -> Any:
    """Returns the next message of the caller.

    Raises:
        DeadlineExceeded: The message did not arrive in time.
    """
    try:
        async with asyncio.timeout(seconds):
            return await message
    except TimeoutError as error:
        raise DeadlineExceeded(f"the caller sent no message for {seconds:g} s") from error


async def _reserve(budget: ByteBudget, size_bytes: int) -> Hold:
    """Returns a hold that closes with the call: when its response is read, or its caller is gone."""
    hold = await budget.reserve(size_bytes)
    task = asyncio.current_task()
    assert task
    task.add_done_callback(lambda _: hold.close())
    return hold
