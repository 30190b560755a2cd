"""Traffic: counts the bytes of the messages of each call, for its line in the access log and for the metrics."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from celeste_image.rpc.wrappers import size_of

__all__ = ["Traffic", "count_sent", "counted", "traffic"]


@dataclass(slots=True)
class Traffic:
    """Bytes of a call's messages so far, without the framing of HTTP/2.

    Attributes:
        received: From the caller.
        sent: To the caller.
    """

    received: int = 0
    sent: int = 0


traffic: ContextVar[Traffic] = ContextVar("celeste_traffic")
"""The traffic of the call that this task works for."""


def counted(
    parse: Callable[[bytes], Any], serialize: Callable[[Any], bytes]
) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
    """Returns the parser and the serializer of a method, which count the bytes of its messages."""

    def parsed(data: bytes) -> Any:
        if call := traffic.get(None):
            call.received += len(data)
        return parse(data)

    def serialized(message: Any) -> bytes:
        data = serialize(message)
        if call := traffic.get(None):
            call.sent += len(data)
        return data

    return parsed, serialized


def count_sent(response: Any) -> int:
    """Counts the response of a unary call, which gRPC serializes after the call's line; returns its size in bytes."""
    size = size_of(response)
    if call := traffic.get(None):
        call.sent += size
    return size
