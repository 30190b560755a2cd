"""The caller of a call, and the id of its request."""

import uuid
from collections.abc import Hashable
from typing import Any

import grpc

from celeste_image.core.call import ANONYMOUS

__all__ = ["asker_of", "caller_of", "request_id_of"]


def caller_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Returns the caller, ANONYMOUS until callers authenticate."""
    return ANONYMOUS


def asker_of(context: grpc.aio.ServicerContext[Any, Any]) -> Hashable:
    """Returns who shares room with other askers: the caller, or the connection of an anonymous one."""
    caller = caller_of(context)
    return context.peer() if caller == ANONYMOUS else caller


def request_id_of(message: Any) -> str:
    """Returns the id of a request in lower case, or a new one when the request has none or an invalid one."""
    given: str = getattr(message, "request_id", "")
    return given.lower() if given and _is_id(given) else str(uuid.uuid4())


def _is_id(text: str) -> bool:
    """Returns whether a text is the usual form of a UUID other than zero."""
    try:
        id_ = uuid.UUID(text)
    except ValueError:
        return False
    return id_.int != 0 and len(text) == len(str(id_))
