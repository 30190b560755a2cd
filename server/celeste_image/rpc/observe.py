"""Observing: the span and the metrics of each call. Calls pass it only while traces or metrics are on."""

import time
from collections.abc import Iterator
from typing import Any

import grpc

from celeste_image.rpc.traffic import traffic
from celeste_image.rpc.wrappers import Behavior, Context, Failure, Method, Room
from celeste_image.telemetry.instruments import METHOD, RPC_ACTIVE, RPC_DURATION, RPC_ERRORS, RPC_RECEIVED, RPC_SENT
from celeste_image.telemetry.series import OTHER, is_recording
from celeste_image.telemetry.tracing import Value, attached

__all__ = ["count_unknown", "observing"]


def observing(behavior: Behavior, method: Method, room: Room) -> Behavior:
    """Makes each call a span below that of its caller, and measures it."""
    tracer, name = room.tracer, method.name.lstrip("/")
    METHOD.allow([name])
    active = 0

    def reading() -> Iterator[tuple[float, tuple[str, ...]]]:
        yield active, (name,)

    if is_recording():
        RPC_ACTIVE.watch(reading)

    async def observed(request: Any, context: Context) -> Any:
        nonlocal active
        span = None
        if tracer:
            facts: dict[str, Value] = {"rpc.system.name": "grpc", "rpc.method": name}
            span = tracer.serve(name, context.invocation_metadata() or (), facts)
        began = time.monotonic()
        active += 1
        try:
            with attached(span):
                response = await behavior(request, context)
        finally:
            active -= 1
        code, reason = grpc.StatusCode.OK.name, ""
        if isinstance(response, Failure):
            code, reason = response.code.name, response.reason
            RPC_ERRORS.add(1, name, reason)
        with attached(span):
            RPC_DURATION.record(time.monotonic() - began, name, code)
        if counted := traffic.get(None):
            RPC_RECEIVED.add(counted.received, name)
            RPC_SENT.add(counted.sent, name)
        if span:
            span.set("rpc.response.status_code", code)
            if reason:
                span.fail(reason)
            span.end()
        return response

    return observed


def count_unknown() -> None:
    """Counts a call of a method that the server does not have. gRPC answers it."""
    RPC_DURATION.record(0.0, OTHER, grpc.StatusCode.UNIMPLEMENTED.name)
