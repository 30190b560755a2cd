"""CallInterceptor: composes the wrappers that every call of the contract passes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from celeste_image.core.errors import CelesteError
from celeste_image.rpc.access import ACCESS, Access
from celeste_image.rpc.identity import check_caller, identifying
from celeste_image.rpc.observe import count_unknown, observing
from celeste_image.rpc.outcome import ending, logging, reporting
from celeste_image.rpc.parsing import parser
from celeste_image.rpc.receive import receiving
from celeste_image.rpc.traffic import counted
from celeste_image.rpc.wrappers import Behavior, Context, Method, Room
from celeste_image.wire.status import DETAILS, status_code, status_from_error

__all__ = ["CallInterceptor"]

CHUNKED = ("DownloadArtifact", "ReadArtifact", "UploadArtifact", "WriteArtifact", "WriteArtifactChunk")


def wrapped(behavior: Behavior, method: Method, room: Room) -> Behavior:
    """Returns a behavior inside all wrappers. Innermost first; a call passes the last line first."""
    behavior = receiving(behavior, method, room)  # memory, then the request
    behavior = identifying(behavior, method, room)  # who calls, and whether they may
    behavior = reporting(behavior)  # errors become statuses
    behavior = logging(behavior, method, room)  # one line per call
    if room.is_observed:
        behavior = observing(behavior, method, room)  # one span, with the trace of the caller, and metrics
    return ending(behavior, room)  # the response, or the status, in time


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of all calls of the contract. Health and reflection have a parser and a check."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._handlers: dict[str, Any] = {}
        """The wrapped handlers by the name of their method. They keep nothing of a call."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the wrapped handler. Servicers that stream are coroutines too: they await `context.write`."""
        name = handler_call_details.method
        handler = self._handlers.get(name)
        if handler is None:
            if found := await continuation(handler_call_details):
                handler = self._handlers[name] = self._wrapped(name, found)
            elif self._room.is_observed:
                count_unknown()
        return handler

    def _wrapped(self, name: str, handler: Any) -> Any:
        parse = parser(handler.request_deserializer)
        if not name.startswith("/celeste."):
            return self._guarded(name, handler)._replace(request_deserializer=parse)
        method = Method(name, name.rpartition("/")[2] in CHUNKED, bool(handler.request_streaming))
        own = handler.stream_unary or handler.unary_unary or handler.unary_stream
        behavior = wrapped(own, method, self._room)
        parse, serialize = counted(parse, serializer(handler.response_serializer))
        # gRPC reads the first message of a unary request itself; as a stream, the request waits for memory.
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(behavior, parse, serialize)
        return grpc.stream_unary_rpc_method_handler(behavior, parse, serialize)

    def _guarded(self, name: str, handler: Any) -> Any:
        """Returns the handler of a method outside the contract, which checks the caller first if the table says so."""
        callers = self._room.callers
        if name in ACCESS and not (callers.are_known and ACCESS[name] is Access.CALLERS):
            return handler

        async def check(context: Context) -> None:
            try:
                check_caller(name, context, callers)
            except CelesteError as error:
                status = status_from_error(error)
                trailers = ((DETAILS, status.SerializeToString()),)
                await context.abort(status_code(error), status.message, trailers)

        async def unary(request: Any, context: Context) -> Any:
            await check(context)
            return await (handler.unary_unary or handler.stream_unary)(request, context)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            await check(context)
            async for response in (handler.unary_stream or handler.stream_stream)(request, context):
                yield response

        kinds = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
        kind = next(kind for kind in kinds if getattr(handler, kind))
        return handler._replace(**{kind: stream if handler.response_streaming else unary})


def serializer(serialize: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Returns a serializer that takes messages, as `serialize` does, and messages that are bytes already."""
    return lambda message: message if isinstance(message, bytes) else serialize(message)
