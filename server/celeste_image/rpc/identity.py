"""Who calls."""

from typing import Any

import grpc

from celeste_image.core.call import ANONYMOUS

__all__ = ["caller_of"]


def caller_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Returns whose call it is: everybody's is ANONYMOUS's until callers authenticate."""
    return ANONYMOUS
