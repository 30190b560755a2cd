"""What every call passes: a place in the byte budget, the request's shape, errors as statuses, a reader that reads."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

import grpc
import structlog

from celeste_image.admission import ByteBudget, Hold
from celeste_image.config import ServerSettings
from celeste_image.core.errors import (
    CelesteError,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    SlowReader,
    Violation,
)
from celeste_image.rpc.parsing import parser
from celeste_image.rpc.slow_readers import WatchedContext, end_within
from celeste_image.wire.status import DETAILS, status_code, status_from_error

__all__ = ["CallInterceptor"]

log = structlog.get_logger("celeste_image.rpc")

Context = grpc.aio.ServicerContext[Any, Any]
Behavior = Callable[[Any, Context], Awaitable[Any]]

REQUEST_COPIES = 2
"""Of a request while its call lasts: as it came, which the parsed message shares, and its pictures on their way."""
RESPONSE_COPIES = 2
"""Of a unary response until it is read: the message, and its bytes on the wire."""
CHUNKED = ("ReadArtifact",)
CHUNKED_BYTES = 2 << 20
"""What a stream of chunks holds: one of 1 MiB on its way from the store or to it, and copies; 2.07 MiB measured."""
TELL_SECONDS = 1.0
"""For a slow reader that goes on after all, to be told why its call ends."""


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Lets a call in when there is room for what it may send, and ends it for good.

    A unary request is read here and not by gRPC: so that it stays with the caller until there is room for it, and a
    call that is refused never sends it.

    Args:
        budget: For requests, pictures and responses.
        chunks: For streams of artifacts' bytes, apart, so that who reads or writes those can't shut the others out.
        settings: The server's.
    """

    def __init__(self, budget: ByteBudget, chunks: ByteBudget, settings: ServerSettings) -> None:
        self._budget = budget
        self._chunks = chunks
        self._settings = settings

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handler's behavior. Streaming servicers here are coroutines too: they await `context.write`."""
        handler = await continuation(handler_call_details)
        if not handler:
            return handler
        parse = parser(handler.request_deserializer)
        method = handler_call_details.method
        if not method.startswith("/celeste."):  # health and reflection: small, and never refused
            return handler._replace(request_deserializer=parse)
        name = method.rpartition("/")[2]
        if handler.request_streaming:
            behavior = self._messages(handler.stream_unary)
        else:
            behavior = self._message(handler.unary_unary or handler.unary_stream, chunked=name in CHUNKED)
        behavior = self._ended(name, behavior)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(behavior, parse, handler.response_serializer)
        return grpc.stream_unary_rpc_method_handler(behavior, parse, handler.response_serializer)

    def _message(self, behavior: Behavior, *, chunked: bool) -> Behavior:
        """Gives the behavior the one message of the call, once there is room for the largest that it could be."""
        seconds = self._settings.write_seconds

        async def one(_: Any, context: Context) -> Any:
            hold = await self._reserve(self._budget, self._settings.request_bytes)
            request = await self._arrives(context.read())
            if request is grpc.aio.EOF:
                raise InvalidRequest.of([Violation("", "the call came without its message")])
            hold.resize(REQUEST_COPIES * request.ByteSize())
            if chunked:
                await self._reserve(self._chunks, CHUNKED_BYTES)
            watched = WatchedContext(context, seconds, None if chunked else hold)
            response = await behavior(request, cast(Context, watched))
            if response is not None:
                hold.resize(hold.size_bytes + RESPONSE_COPIES * response.ByteSize())
            return response

        return one

    def _messages(self, behavior: Behavior) -> Behavior:
        """Gives the behavior the messages of the call, each in time."""

        async def some(requests: Any, context: Context) -> Any:
            hold = await self._reserve(self._chunks, CHUNKED_BYTES)
            async with aclosing(self._in_time(aiter(requests), hold)) as messages:
                return await behavior(messages, context)

        return some

    async def _in_time(self, messages: AsyncIterator[Any], hold: Hold) -> AsyncGenerator[Any, None]:
        while (message := await self._arrives(anext(messages, None))) is not None:
            hold.resize(max(CHUNKED_BYTES, REQUEST_COPIES * message.ByteSize()))
            yield message

    async def _arrives(self, message: Awaitable[Any]) -> Any:
        """Returns what the caller sends.

        Raises:
            DeadlineExceeded: It did not come in time.
        """
        seconds = self._settings.read_seconds
        try:
            async with asyncio.timeout(seconds):
                return await message
        except TimeoutError as error:
            raise DeadlineExceeded(f"the caller sent no message for {seconds:g} s") from error

    async def _reserve(self, budget: ByteBudget, size_bytes: int) -> Hold:
        """Returns a hold that is closed when the call is over: its answer read, or its caller gone."""
        hold = await budget.reserve(size_bytes)
        task = asyncio.current_task()
        assert task
        task.add_done_callback(lambda _: hold.close())
        return hold

    def _ended(self, name: str, behavior: Behavior) -> Behavior:
        """Ends a call whose behavior raised with the status from the table; nothing else reaches the caller."""

        async def ended(request: Any, context: Context) -> Any:
            seconds = self._settings.write_seconds
            try:
                response = await behavior(request, context)
            except CelesteError as error:
                if isinstance(error, SlowReader):
                    log.warning("slow reader", method=name, peer=context.peer())
                    seconds = min(TELL_SECONDS, self._settings.write_seconds)
                code, status = status_code(error), status_from_error(error)
            except grpc.aio.AbortError:
                raise
            except Exception:
                log_id = uuid.uuid4().hex
                log.exception("bug", log_id=log_id)
                text = f"a bug of the server; its log has more under {log_id}"
                bug = InternalError(text, metadata={"log_id": log_id})
                code, status = status_code(bug), status_from_error(bug)
            else:
                end_within(seconds, context)
                return response
            # The error is gone by now, and what its traceback held: this may wait.
            end_within(seconds, context)
            await context.abort(code, status.message, ((DETAILS, status.SerializeToString()),))

        return ended
