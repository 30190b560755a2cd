"""What every call passes: errors become statuses here, once, for unary calls and streams alike."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog

from celeste_image.core.errors import CelesteError, InternalError
from celeste_image.wire.status import DETAILS, status_code, status_from_error

__all__ = ["ErrorInterceptor"]

log = structlog.get_logger("celeste_image.rpc")

Behavior = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call whose servicer raised with the status from the table; nothing else reaches the caller."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handler's behavior. Streaming servicers here are coroutines too: they await `context.write`."""
        handler = await continuation(handler_call_details)
        if not handler_call_details.method.startswith("/celeste."):
            return handler
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                _guarded(handler.unary_unary), handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                _guarded(handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(
                _guarded(handler.stream_unary), handler.request_deserializer, handler.response_serializer
            )
        return handler


def _guarded(behavior: Any) -> Any:
    async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await behavior(request, context)
        except CelesteError as error:
            await _abort(context, error)
        except grpc.aio.AbortError:
            raise
        except Exception:
            log_id = uuid.uuid4().hex
            log.exception("bug", log_id=log_id)
            text = f"a bug of the server; its log has more under {log_id}"
            await _abort(context, InternalError(text, metadata={"log_id": log_id}))

    return guarded


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: CelesteError) -> None:
    status = status_from_error(error)
    await context.abort(status_code(error), status.message, ((DETAILS, status.SerializeToString()),))
