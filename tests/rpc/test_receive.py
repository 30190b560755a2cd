"""Streams of requests: each message is read while the one before is in work, and no read of gRPC's is given up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from celeste_image.admission import ByteBudget
from celeste_image.core.errors import DeadlineExceeded
from celeste_image.rpc.chunks import Chunk
from celeste_image.rpc.receive import Ahead
from celeste_image.v1 import ArtifactChunk, WriteArtifactRequest

MIB = 1 << 20


class Caller:
    """Messages that a test sends one by one; it counts the reads."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.reads = self.given_up = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self.reads += 1
        try:
            message = await self.sent.get()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if message is None:
            raise StopAsyncIteration
        if isinstance(message, Exception):
            raise message
        return message


def chunk(size: int) -> Chunk:
    return Chunk(0, memoryview(bytes(size)))


def ahead(caller: Caller, budget: ByteBudget | None = None, seconds: float = 60) -> Ahead:
    return Ahead(caller, (budget or ByteBudget()).count(2 * MIB), seconds)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_message_is_read_ahead_and_no_more() -> None:
    caller = Caller()
    messages = ahead(caller)
    for size in (1, 2, 3, 4):
        caller.sent.put_nowait(chunk(size))
    caller.sent.put_nowait(None)
    await settle()
    assert caller.reads == 0, "nothing is read before the first consumer"
    for number in (1, 2, 3, 4):
        assert (await anext(messages)).ByteSize() == number
        await settle()
        assert caller.reads == number + 1
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(messages)


async def test_a_consumer_that_is_cancelled_gives_no_read_up() -> None:
    """A read of grpc.aio that is cancelled makes the next one fail, so that the caller would see INTERNAL."""
    caller = Caller()
    messages = ahead(caller)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(messages)
    await settle()
    assert (caller.reads, caller.given_up) == (1, 0)
    caller.sent.put_nowait(chunk(7))
    assert (await anext(messages)).ByteSize() == 7


async def test_closing_ends_the_read_ahead() -> None:
    """It would keep the call open."""
    caller = Caller()
    messages = ahead(caller)
    messages.close()
    caller.sent.put_nowait(chunk(1))
    await anext(messages)
    await settle()
    messages.close()
    await settle()
    assert (caller.reads, caller.given_up) == (2, 1)


async def test_an_error_comes_after_the_messages_before_it() -> None:
    caller = Caller()
    messages = ahead(caller)
    caller.sent.put_nowait(chunk(1))
    caller.sent.put_nowait(ValueError("broken"))
    await anext(messages)
    await settle()
    with pytest.raises(ValueError, match="broken"):
        await anext(messages)
    messages.close()


async def test_an_error_that_nobody_saw_is_not_logged_by_asyncio(caplog: pytest.LogCaptureFixture) -> None:
    caller = Caller()
    messages = ahead(caller)
    caller.sent.put_nowait(chunk(1))
    caller.sent.put_nowait(ValueError("broken"))
    await anext(messages)
    await settle()
    messages.close()
    del messages
    await settle()
    assert "never retrieved" not in caplog.text


async def test_a_message_that_does_not_come_is_told() -> None:
    messages = ahead(Caller(), seconds=0.01)
    with pytest.raises(DeadlineExceeded, match=r"the caller sent no message for 0\.01 s"):
        await anext(messages)


async def test_memory_is_that_of_two_chunks_unless_messages_are_larger() -> None:
    caller, budget = Caller(), ByteBudget()
    messages = ahead(caller, budget)
    large = WriteArtifactRequest(chunk=ArtifactChunk(data=bytes(3 * MIB)))
    for message in (chunk(MIB), chunk(MIB), chunk(MIB), large):
        caller.sent.put_nowait(message)
    for _ in range(2):
        await anext(messages)
        await settle()
        assert budget.held_bytes == 2 * MIB
    await anext(messages)
    await settle()
    assert budget.held_bytes == MIB + 2 * large.ByteSize(), "parsed by protobuf, so there are two copies"
    assert await anext(messages) is large
    messages.close()
