"""Outcomes of calls: errors become statuses, each call becomes one line in the access log, and a call ends in time."""

import time
from typing import Any

import grpc
import structlog

from celeste_image.core.errors import Cancelled, CelesteError, DeadlineExceeded, SlowReader
from celeste_image.rpc.identity import caller
from celeste_image.rpc.slow_readers import end_within
from celeste_image.rpc.traffic import Traffic, traffic
from celeste_image.rpc.wrappers import Behavior, Context, Failure, Method, Room
from celeste_image.telemetry.logs import log_bug
from celeste_image.telemetry.trace_context import read_context
from celeste_image.telemetry.tracing import current
from celeste_image.wire.status import DETAILS, status_code, status_from_error

__all__ = ["ending", "logging", "reporting"]

log = structlog.get_logger("celeste_image.rpc")

PUSHBACK = "grpc-retry-pushback-ms"
"""Trailer for the retries of gRPC's own clients, which do not know RetryInfo (gRFC A6)."""
TELL_SECONDS = 1.0
"""Time for a slow reader that reads again, to learn why its call ended."""


def reporting(behavior: Behavior) -> Behavior:
    """Turns an error into a Failure. An unexpected exception is a bug: its traceback goes to the log alone."""

    async def report(request: Any, context: Context) -> Any:
        try:
            return await behavior(request, context)
        except CelesteError as error:
            return _failure(error)
        except grpc.aio.AbortError:
            raise
        except Exception:
            return _failure(log_bug())

    return report


def _failure(error: CelesteError) -> Failure:
    return Failure(
        status_code(error),
        status_from_error(error),
        error.reason,
        fields=len(error.violations),
        is_slow_reader=isinstance(error, SlowReader),
        pushback_ms=_pushback_ms(error),
    )


def _pushback_ms(error: CelesteError) -> int | None:
    """Returns when a retry makes sense, in milliseconds: -1 for never, None when unknown."""
    if not error.retryable:
        return -1
    return None if error.retry_after is None else max(1, round(1000 * error.retry_after))


def logging(behavior: Behavior, method: Method, room: Room) -> Behavior:
    """Writes one line per call: the access log. Counts the calls that found no room."""

    async def logged(request: Any, context: Context) -> Any:
        began, bytes_ = time.monotonic(), Traffic()
        traffic.set(bytes_)
        code, outcome, fields = "", "", 0
        try:
            response = await behavior(request, context)
            if isinstance(response, Failure):
                code, outcome, fields = response.code.name, response.reason, response.fields
                room.refusals.add(outcome)
            else:
                code = outcome = "OK"
            return response
        finally:
            if not code:
                code = outcome = (DeadlineExceeded if context.time_remaining() == 0 else Cancelled).reason
            facts: dict[str, object] = {"fields": fields} if fields else {}
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

    return logged


def trace_id_of(context: Context) -> str:
    """Returns the id of the call's trace, 32 hex digits: of this server's span, or else of the caller's.

    Empty if there are no traces, and the caller sent no valid `traceparent`.
    """
    if span := current():
        return span.trace_id
    caller = read_context(context.invocation_metadata() or ())
    return caller.trace_id.hex() if caller else ""


def ending(behavior: Behavior, room: Room) -> Behavior:
    """Ends a call: returns its response or aborts with its status, and resets the call if the caller does not read."""
    seconds = room.settings.write_seconds

    async def ended(request: Any, context: Context) -> Any:
        response = await behavior(request, context)
        if not isinstance(response, Failure):
            end_within(seconds, context)
            return response
        # The traceback of the error, and all that it held, is freed by now: this wait is cheap.
        end_within(min(TELL_SECONDS, seconds) if response.is_slow_reader else seconds, context)
        trailers: tuple[tuple[str, str | bytes], ...] = ((DETAILS, response.status.SerializeToString()),)
        if response.pushback_ms is not None:
            trailers += ((PUSHBACK, str(response.pushback_ms)),)
        await context.abort(response.code, response.status.message, trailers)

    return ended
