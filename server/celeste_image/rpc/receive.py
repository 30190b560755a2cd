"""Receives requests: reserves memory for a request before reading it, and ends calls whose request stays out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

import grpc

from celeste_image.admission import ByteBudget, Hold, asker
from celeste_image.core.errors import CelesteError, DeadlineExceeded, InvalidRequest, MemoryBudget, Violation
from celeste_image.rpc.chunks import Chunk
from celeste_image.rpc.identity import asker_of
from celeste_image.rpc.leftovers import PAUSE_SECONDS, read_on
from celeste_image.rpc.slow_readers import WatchedContext
from celeste_image.rpc.traffic import count_sent
from celeste_image.rpc.wrappers import Behavior, Context, Method, Room

__all__ = ["Ahead", "receiving"]

REQUEST_COPIES = 2
"""Copies of a request during its call: the received bytes, shared with the message, and its images in transit."""
RESPONSE_COPIES = 2
"""Copies of a unary response until the caller has read it: the message, and its bytes on the wire."""
TURN_BYTES = 1 << 20
"""Size of a response from which its sending is a turn of the event loop of its own: both take a millisecond or more."""
CALL_BYTES = 64 << 10
"""Least memory of an open call: its tasks, its steps in the pipeline and its parts in gRPC. Of thousands that wait in a
queue, a stream holds 41 KiB and a unary call 23 KiB (decision 0024); the rest is for one at work."""
CHUNKED_BYTES = 2 << 20
"""Memory of a call that carries chunks: one chunk of 1 MiB in work, and one that is read ahead of it."""
DONE_PAUSE_SECONDS = 0.15
"""How long a caller whose call is done may pause before nothing more is read."""


def receiving(behavior: Behavior, method: Method, room: Room) -> Behavior:
    """Reserves memory before a request is read, and keeps the memory reserved until the call is over.

    The server reads a unary request here, not in gRPC. A request therefore stays with its caller until there is memory,
    and a refused call never sends its request.

    Nobody sees the size of a request before all of it is here, so memory for the largest is reserved until then. While
    its caller sends nothing, that memory is silent: see `Budget`.
    """
    return _several(behavior, room) if method.streams_requests else _one(behavior, method, room)


def _one(behavior: Behavior, method: Method, room: Room) -> Behavior:
    settings = room.settings
    budget, least, most = room.budget, CALL_BYTES, settings.request_bytes
    if method.is_chunked:
        budget, least, most = room.chunks, CHUNKED_BYTES, CHUNKED_BYTES

    async def one(_: Any, context: Context) -> Any:
        asker.set(asker_of(context))
        hold = await _reserve(budget, most, room)
        request = await _arrives(context.read(), settings.read_seconds, hold)
        if request is grpc.aio.EOF:
            raise InvalidRequest.of([Violation("", "the call has no request message")])
        hold.resize(max(least, REQUEST_COPIES * request.ByteSize()))
        watched = WatchedContext(context, settings.write_seconds, hold, counts=not method.is_chunked)
        response = await behavior(request, cast(Context, watched))
        if response is not None:
            size = count_sent(response)
            hold.resize(hold.size + RESPONSE_COPIES * size)
            if size > TURN_BYTES:
                await asyncio.sleep(0)  # other calls go on between the making of the response and its way to the wire
        return response

    return one


def _several(behavior: Behavior, room: Room) -> Behavior:
    async def several(requests: Any, context: Context) -> Any:
        asker.set(asker_of(context))
        try:
            hold = await _reserve(room.chunks, CHUNKED_BYTES, room)
        except CelesteError:
            await room.leftovers.read(requests)
            raise
        messages = Ahead(aiter(requests), hold, room.settings.read_seconds)
        pause = PAUSE_SECONDS
        try:
            response = await behavior(messages, context)
            count_sent(response)
            pause = DONE_PAUSE_SECONDS
            return response
        except (DeadlineExceeded, asyncio.CancelledError):
            pause = 0.0  # the caller sends nothing, or is gone
            raise
        except MemoryBudget:
            pause = 0.0 if hold.is_evicted else pause
            raise
        finally:
            try:
                if pause:
                    await read_on(messages, pause)
            finally:
                messages.close()

    return several


class Ahead:
    """The messages of a stream of requests. Each is read while the consumer works on the one before.

    A read of grpc.aio that is cancelled makes the reads after it fail, so each is a task of its own. It goes on when
    its consumer is cancelled or fails, and the next consumer gets its message.

    Args:
        requests: The messages.
        hold: Memory of the call; it grows with large messages.
        seconds: Longest wait for a message.
    """

    def __init__(self, requests: AsyncIterator[Any], hold: Hold, seconds: float) -> None:
        self._requests = requests
        self._hold = hold
        self._seconds = seconds
        self._before = 0  # bytes of the message in work
        self._reading: asyncio.Task[Any] | None = None

    def __aiter__(self) -> "Ahead":
        return self

    async def __anext__(self) -> Any:
        """Returns the next message.

        Raises:
            DeadlineExceeded: It did not arrive in time.
            MemoryBudget: It did not arrive, and others needed the memory.
        """
        message = await asyncio.shield(self._reading or self._read())
        if message is None:
            raise StopAsyncIteration
        self._read()
        return message

    def close(self) -> None:
        """Ends the read ahead: it would keep the call open."""
        reading, self._reading = self._reading, None  # an error of it refers to its consumers, and they to this object
        if reading and not reading.cancel() and not reading.cancelled():
            reading.exception()  # retrieved, or asyncio would log it

    def _read(self) -> asyncio.Task[Any]:
        self._reading = asyncio.create_task(self._next())
        return self._reading

    async def _next(self) -> Any:
        """Returns the next message; None at the end. Raises as `__anext__` does."""
        message = await _arrives(anext(self._requests, None), self._seconds, self._hold)
        if message is not None:
            size = message.ByteSize() * (1 if isinstance(message, Chunk) else REQUEST_COPIES)
            self._hold.resize(max(CHUNKED_BYTES, self._before + size))
            self._before = size
        return message


async def _arrives(message: Awaitable[Any], seconds: float, hold: Hold) -> Any:
    """Returns the next message of the caller. Until it is here, the memory of the call is silent.

    Raises:
        DeadlineExceeded: The message did not arrive in time.
        MemoryBudget: The message did not arrive, and others needed the memory.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            hold.falls_silent(limit)
            received = await message
    except TimeoutError as error:
        if hold.is_evicted:
            raise hold.eviction() from error
        raise DeadlineExceeded(f"the caller sent no message for {seconds:g} s") from error
    finally:
        hold.speaks()
    return received


async def _reserve(budget: ByteBudget, size: int, room: Room) -> Hold:
    """Returns a hold that closes with the call: when its response is read, or its caller is gone.

    Raises:
        QueueFull: Too many calls are open, or the caller has too many.
        MemoryBudget: There was no memory in time.
    """
    if room.calls:
        _close_with_call(room.calls.take(1))
    hold = await budget.reserve(size, silent=True)
    _close_with_call(hold)
    return hold


def _close_with_call(hold: Hold) -> None:
    task = asyncio.current_task()
    assert task
    task.add_done_callback(lambda _: hold.close())
