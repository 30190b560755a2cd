"""Wrappers around the handlers of calls: the one shape that they have, and the order in which a call passes them.

A wrapper takes a behavior and returns a behavior.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import status_pb2

from celeste_image.admission import Budget, ByteBudget
from celeste_image.callers import Callers
from celeste_image.config import ServerSettings
from celeste_image.config.callers import CallerSettings
from celeste_image.rpc.leftovers import Leftovers
from celeste_image.rpc.refusals import Refusals
from celeste_image.rpc.running_calls import RunningCalls
from celeste_image.telemetry.tracing import Tracer

__all__ = ["Behavior", "Context", "Failure", "Method", "Room", "size_of"]

Context = grpc.aio.ServicerContext[Any, Any]
Behavior = Callable[[Any, Context], Awaitable[Any]]
"""Handles a call: takes the request, or an iterator of requests, and returns the response or a Failure.

A behavior that streams its response writes to the context and returns None.
"""


@dataclass(frozen=True, slots=True)
class Method:
    """An RPC.

    Attributes:
        name: Full name, `/celeste.image.v1.ImageService/Generate`.
        is_chunked: Whether the call carries the bytes of artifacts in chunks.
        streams_requests: Whether the caller sends a stream.
    """

    name: str
    is_chunked: bool
    streams_requests: bool


@dataclass(frozen=True, slots=True)
class Room:
    """What the calls of a server share: memory, time, and who watches.

    Attributes:
        budget: Memory for requests, images and responses.
        chunks: Memory for calls that carry chunks of artifacts. It is separate, so that transfers and other calls
            cannot block each other.
        settings: Settings of the server.
        callers: Who may call.
        calls: Open calls, in all and of each caller; None means that memory alone limits them.
        leftovers: Reads refused streams of requests on.
        refusals: Counts the calls that find no room.
        running: The running calls.
        tracer: Makes the span of each call; None without traces.
        is_observed: Whether traces or metrics are on.
    """

    budget: ByteBudget
    chunks: ByteBudget
    settings: ServerSettings
    callers: Callers = field(default_factory=lambda: Callers(CallerSettings()))
    calls: Budget | None = None
    leftovers: Leftovers = field(default_factory=Leftovers)
    refusals: Refusals = field(default_factory=Refusals)
    running: RunningCalls = field(default_factory=RunningCalls)
    tracer: Tracer | None = None
    is_observed: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """The status of a failed call, in place of a response.

    Attributes:
        code: gRPC code.
        status: Status with its details.
        reason: Reason for the log.
        fields: Number of wrong fields.
        is_slow_reader: Whether the caller did not read its stream.
        pushback_ms: When gRPC's own retries may try again, in milliseconds; negative for never.
        was_stopped: Whether gRPC stopped the call, at its deadline or because the caller cancelled it.
    """

    code: grpc.StatusCode
    status: status_pb2.Status
    reason: str
    fields: int = 0
    is_slow_reader: bool = False
    pushback_ms: int | None = None
    was_stopped: bool = False


def size_of(message: Any) -> int:
    """Returns the encoded size of a message, which may be bytes already, in bytes."""
    return len(message) if isinstance(message, bytes) else int(message.ByteSize())
