"""Outcomes of calls: errors become statuses, each call becomes one line in the access log, and a call ends in time."""

import asyncio
import time
from typing import Any

import grpc
import structlog

from celeste_image.core.call import is_late
from celeste_image.core.errors import Cancelled, CelesteError, DeadlineExceeded, SlowReader
from celeste_image.rpc.identity import caller
from celeste_image.rpc.slow_readers import end_within
from celeste_image.rpc.traffic import Traffic, traffic
from celeste_image.rpc.wrappers import Behavior, Context, Failure, Method, Room
from celeste_image.telemetry.logs import log_bug
from celeste_image.telemetry.trace_context import read_context
from celeste_image.telemetry.tracing import current
from celeste_image.wire.status import DETAILS, status_code, status_from_error

__all__ = ["ending", "logging", "reporting", "stoppable"]

log = structlog.get_logger("celeste_image.rpc")

PUSHBACK = "grpc-retry-pushback-ms"
"""Trailer for the retries of gRPC's own clients, which do not know RetryInfo (gRFC A6)."""
TELL_SECONDS = 1.0
"""Time for a slow reader that reads again, to learn why its call ended."""


def stoppable(behavior: Behavior, room: Room) -> Behavior:
    """Ends a call that outlasts the drain of the server. Raises ServerUnavailable then."""
    calls = room.running

    async def stopped(request: Any, context: Context) -> Any:
        try:
            async with asyncio.timeout(None) as limit:
                with calls.ended_by(limit):
                    return await behavior(request, context)
        except TimeoutError:
            if not limit.expired():
                raise
            raise calls.ended() from None

    return stopped


def reporting(behavior: Behavior) -> Behavior:
    """Turns an error into a Failure, and so does the end of a call that gRPC stops; `ending` stops it then.

    An unexpected exception is a bug: its traceback goes to the log alone.
    """

    async def report(request: Any, context: Context) -> Any:
        timeout = context.time_remaining()
        try:
            return await behavior(request, context)
        except CelesteError as error:
            failure = _failure(error)
            _forget_frames(error)
            return failure
        except asyncio.CancelledError:
            if is_late(context.time_remaining(), timeout):
                return _failure(DeadlineExceeded("the deadline of the call passed"), was_stopped=True)
            return _failure(Cancelled("the caller cancelled the call"), was_stopped=True)
        except Exception:
            return _failure(log_bug())

    return report


def _forget_frames(error: BaseException | None) -> None:
    """Takes the traceback off an error, and off those that it came from.

    A frame that refers to its own error is a cycle, with all that the frames of the call hold. Left to the garbage
    collector, cycles of refused calls stopped the event loop for 10 to 19 ms four times a second.
    """
    while error and error.__traceback__:  # errors may have come from each other, in a circle
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _failure(error: CelesteError, *, was_stopped: bool = False) -> Failure:
    return Failure(
        status_code(error),
        status_from_error(error),
        error.reason,
        fields=len(error.violations),
        is_slow_reader=isinstance(error, SlowReader),
        pushback_ms=_pushback_ms(error),
        was_stopped=was_stopped,
    )


def _pushback_ms(error: CelesteError) -> int | None:
    """Returns when a retry makes sense, in milliseconds: -1 for never, None when unknown."""
    if not error.retryable or error.may_be_owed:
        return -1
    return None if error.retry_after is None else max(1, round(1000 * error.retry_after))


def logging(behavior: Behavior, method: Method, room: Room) -> Behavior:
    """Writes one line per call: the access log. Counts the calls that found no room."""

    async def logged(request: Any, context: Context) -> Any:
        began, bytes_ = time.monotonic(), Traffic()
        traffic.set(bytes_)
        code = outcome = "OK"
        facts: dict[str, object] = {}
        response = await behavior(request, context)
        if isinstance(response, Failure):
            code, outcome = response.code.name, response.reason
            if response.fields:
                facts["fields"] = response.fields
            room.refusals.add(outcome)
        who = caller.get()
        if trace_id := trace_id_of(context):
            facts["trace_id"] = trace_id
        log.info(
            "rpc",
            method=method.name,
            code=code,
            outcome=outcome,
            caller=who.name,
            tenant=who.tenant,
            seconds=round(time.monotonic() - began, 3),
            received=bytes_.received,
            sent=bytes_.sent,
            peer=context.peer(),
            **facts,
        )
        return response

    return logged


def trace_id_of(context: Context) -> str:
    """Returns the id of the call's trace, 32 hex digits: of this server's span, or else of the caller's.

    Empty if there are no traces, and the caller sent no valid `traceparent`.
    """
    if span := current():
        return span.trace_id
    caller = read_context(context.invocation_metadata() or ())
    return caller.trace_id.hex() if caller else ""


def _forget_frames_after(error: BaseException) -> None:
    """Takes the traceback off an error once the current task is over."""
    task = asyncio.current_task()
    assert task
    task.add_done_callback(lambda _: _forget_frames(error))


def ending(behavior: Behavior, room: Room) -> Behavior:
    """Ends a call: returns its response or aborts with its status, and resets the call if the caller does not read.

    A call that gRPC stopped has nobody to tell, and ends as it was stopped.
    """
    seconds = room.settings.write_seconds

    async def ended(request: Any, context: Context) -> Any:
        response = await behavior(request, context)
        if not isinstance(response, Failure):
            end_within(seconds, context)
            return response
        if response.was_stopped:
            raise asyncio.CancelledError
        # The traceback of the error, and all that it held, is freed by now: this wait is cheap.
        end_within(min(TELL_SECONDS, seconds) if response.is_slow_reader else seconds, context)
        trailers: tuple[tuple[str, str | bytes], ...] = ((DETAILS, response.status.SerializeToString()),)
        if response.pushback_ms is not None:
            trailers += ((PUSHBACK, str(response.pushback_ms)),)
        try:
            await context.abort(response.code, response.status.message, trailers)
        except grpc.aio.AbortError as error:
            _forget_frames_after(error)  # the call refers to its error
            raise

    return ended
