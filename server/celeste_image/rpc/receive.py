"""Receives requests: reserves memory for a request before reading it, and ends calls whose request stays out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any, cast

import grpc

from celeste_image.admission import ByteBudget, Hold
from celeste_image.core.errors import DeadlineExceeded, InvalidRequest, Violation
from celeste_image.rpc.slow_readers import WatchedContext
from celeste_image.rpc.wrappers import Behavior, Context, Method, Room

__all__ = ["receiving"]

REQUEST_COPIES = 2
"""Copies of a request during its call: the received bytes, shared with the message, and its images in transit."""
RESPONSE_COPIES = 2
"""Copies of a unary response until the caller has read it: the message, and its bytes on the wire."""
CHUNKED_BYTES = 2 << 20
"""Memory of a call that carries chunks: one chunk of 1 MiB in transit, and copies; 2.07 MiB measured."""


def receiving(behavior: Behavior, method: Method, room: Room) -> Behavior:
    """Reserves memory before a request is read, and keeps the memory reserved until the call is over.

    The server reads a unary request here, not in gRPC. A request therefore stays with its caller until there is memory,
    and a refused call never sends its request.
    """
    return _several(behavior, room) if method.streams_requests else _one(behavior, method, room)


def _one(behavior: Behavior, method: Method, room: Room) -> Behavior:
    settings = room.settings
    budget, least = (room.chunks, CHUNKED_BYTES) if method.is_chunked else (room.budget, 0)

    async def one(_: Any, context: Context) -> Any:
        hold = await _reserve(budget, least or settings.request_bytes)
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
    async def several(requests: Any, context: Context) -> Any:
        hold = await _reserve(room.chunks, CHUNKED_BYTES)
        async with aclosing(_in_time(aiter(requests), hold, room.settings.read_seconds)) as messages:
            return await behavior(messages, context)

    return several


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
