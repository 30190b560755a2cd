"""The caller of a call, and the id of its request."""

import uuid
from typing import Any

import grpc

from celeste_image.core.call import ANONYMOUS

__all__ = ["caller_of", "request_id_of"]


def caller_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Returns the caller, ANONYMOUS until callers authenticate."""
    return ANONYMOUS


def request_id_of(message: Any) -> str:
    """Returns the id of a request in lower case, or a new one when the request has none or an invalid one."""
    given = getattr(message, "request_id", "")
    if not given:
        return str(uuid.uuid4())
    try:
        id_ = uuid.UUID(given)
    except ValueError:
        id_ = uuid.UUID(int=0)
    return given.lower() if id_.int and len(given) == len(str(id_)) else str(uuid.uuid4())
