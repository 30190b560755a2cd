"""Ends calls whose caller does not read.

In grpc.aio 1.85, a write waits until the message is on the wire. If the caller's flow-control window is closed, the
write waits forever (bench/slow_readers.py shows this). An abort waits behind the write. A handler that returns leaves
the call and its last message in the C core until the connection ends. A server cannot cancel a call directly. When the
last reference to the call is gone, the C core sends the trailers, resets the stream and frees the memory. Two tasks
hold a reference: the task of the handler, and `rpc_task` around it, which waits for the end of the call. This module
therefore cancels both tasks.
"""

import asyncio
import gc
from typing import Any

import grpc
import structlog

from celeste_image.admission import Hold
from celeste_image.core.errors import SlowReader
from celeste_image.rpc.wrappers import size_of

__all__ = ["WatchedContext", "end_within"]

log = structlog.get_logger("celeste_image.rpc")

COPIES = 3
"""Copies of a message during its write: the message, its bytes on the wire, and the bytes in the C core."""


class WatchedContext:
    """A context whose `write` gives up after `seconds`, or sooner if others need the memory that it holds.

    Args:
        context: gRPC's own context.
        seconds: Longest time of a write.
        hold: Memory of the call, which is silent during a write: see `Budget`.
        counts: Whether the memory of a message is added to `hold` during its write.
    """

    def __init__(
        self, context: grpc.aio.ServicerContext[Any, Any], seconds: float, hold: Hold, *, counts: bool = True
    ) -> None:
        self._context = context
        self._seconds = seconds
        self._hold = hold
        self._counts = counts
        self._begun = self._slow = False
        self._sending: asyncio.Task[None] | None = None

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of gRPC's own context."""
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Writes a message of a stream.

        A write that is cancelled goes on, since gRPC cannot take a message back. The next one waits for it.

        Raises:
            SlowReader: This message, or an earlier one, was not sent in time.
        """
        if not self._slow:
            before = self._hold.size
            if self._counts:
                self._hold.resize(before + COPIES * size_of(message))
            try:
                async with asyncio.timeout(self._seconds) as limit:
                    self._hold.falls_silent(limit)
                    if self._sending:
                        await asyncio.shield(self._sending)
                    self._sending = asyncio.ensure_future(self._send(message))
                    await asyncio.shield(self._sending)
            except TimeoutError:
                self._slow = True  # the hold counts a stuck message until the call is over
                self._let_go()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task
                task.add_done_callback(self._let_go)
                raise
            else:
                self._sending = None
                self._hold.resize(before)
            finally:
                self._hold.speaks()
        if self._slow:
            text = f"the caller did not read the stream for {self._seconds:g} s"
            if self._hold.is_evicted:
                text = "the caller did not read the stream, and others needed its memory"
            raise SlowReader(text, retry_after=None)

    async def _send(self, message: Any) -> None:
        if not self._begun:
            # Sent before the message, so that a status can follow a first message that is stuck.
            await self._context.send_initial_metadata(())
            self._begun = True
        await self._context.write(message)

    def _let_go(self, *_: object) -> None:
        """Ends the wait for a write, which holds a reference to the call."""
        if self._sending:
            self._sending.add_done_callback(lambda sending: sending.cancelled() or sending.exception())
            self._sending.cancel()
            self._sending = None


def end_within(seconds: float, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Resets the call of the current task if its response is not fully read in time.

    Args:
        seconds: Time for the caller to read the response and the status.
        context: gRPC's own context of the call.
    """
    task = asyncio.current_task()
    assert task
    timer = asyncio.get_running_loop().call_later(seconds, _end, task, context)
    task.add_done_callback(lambda _: timer.cancel())


def _end(task: asyncio.Task[Any], context: grpc.aio.ServicerContext[Any, Any]) -> None:
    log.warning("reset", peer=context.peer())
    task.cancel()
    _reset(context)


_ending: set[int] = set()


def _reset(context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Makes the C core cancel the call of a context. All calls of one turn of the event loop share one task scan."""
    if not _ending:
        asyncio.get_running_loop().call_soon(_reset_all)
    _ending.update(_states([context]))


def _reset_all() -> None:
    ending = frozenset(_ending)
    _ending.clear()
    for task in asyncio.all_tasks():
        if task.get_name() == "rpc_task" and not ending.isdisjoint(_states(gc.get_referents(task.get_coro()))):
            task.cancel()


def _states(holders: list[object]) -> set[int]:
    """Returns the ids of the call objects that `holders` refer to. gRPC exposes these objects in no other way."""
    return {id(held) for held in gc.get_referents(*holders) if type(held).__name__ == "RPCState"}
