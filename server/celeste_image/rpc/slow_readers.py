"""Ends calls whose caller does not read.

What grpc.aio 1.85 does (bench/slow_readers.py shows it): a write waits until the message is on the wire, for ever if
the caller's window is closed. An abort waits behind it. A handler that ends without one leaves the call and its last
message in the C core until the connection ends. There is no cancel for a server's call; but when the last reference to
it goes, the core cancels it: sends trailers at once, resets the stream, frees everything. Two tasks hold one: the
handler's own, and the one around it (`rpc_task`), which waits for the core to say that the call is over. So the end
is: cancel both.
"""

import asyncio
import gc
from typing import Any

import grpc
import structlog

from celeste_image.admission import Hold
from celeste_image.core.errors import SlowReader

__all__ = ["WatchedContext", "end_within"]

log = structlog.get_logger("celeste_image.rpc")

COPIES = 3
"""Of a message while it is written: ours, its bytes on the wire, those in the core."""


class WatchedContext:
    """A call's context whose `write` gives up after `seconds`; its message is counted in `hold` if there is one."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any], seconds: float, hold: Hold | None) -> None:
        self._context = context
        self._seconds = seconds
        self._hold = hold
        self._begun = self._slow = False

    def __getattr__(self, name: str) -> Any:
        """Leaves everything else to gRPC's own context."""
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Writes a message of a stream.

        Raises:
            SlowReader: It could not be sent in time, or one before it.
        """
        if not self._slow:
            self._slow = True
            if self._hold:
                before = self._hold.size_bytes
                self._hold.resize(before + COPIES * message.ByteSize())
            try:
                async with asyncio.timeout(self._seconds):
                    if not self._begun:
                        # Apart from the message, so that a status can follow a first message that is stuck.
                        await self._context.send_initial_metadata(())
                        self._begun = True
                    await self._context.write(message)
            except TimeoutError:
                pass  # what is stuck stays counted until the call is over
            else:
                self._slow = False
                if self._hold:
                    self._hold.resize(before)
        if self._slow:
            raise SlowReader(f"the stream was not read for {self._seconds:g} s", retry_after=None)


def end_within(seconds: float, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Sees to it that the call of the running task is over in time: its last bytes read, or reset.

    Args:
        seconds: How long its answer and its status may take.
        context: gRPC's own.
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
    """Has the core cancel the call of a context: all of one turn of the loop with one look at the tasks."""
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
    """Returns the ids of gRPC's own objects for calls that some objects hold: it shows them in no other way."""
    return {id(held) for held in gc.get_referents(*holders) if type(held).__name__ == "RPCState"}
