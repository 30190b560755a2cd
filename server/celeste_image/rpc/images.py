"""ImageService: runs operations and returns their results or streams their events."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc

from celeste_image.core.call import Call
from celeste_image.core.errors import CelesteError, DeadlineExceeded
from celeste_image.core.events import Completed, Run
from celeste_image.core.request import ImageRequest
from celeste_image.rpc.identity import caller, request_id_of
from celeste_image.rpc.running_calls import RunningCalls
from celeste_image.rpc.validate import check_message, unknown_fields
from celeste_image.v1 import event_pb2, image_service_pb2, image_service_pb2_grpc, operation_pb2
from celeste_image.wire.encoded import completed_bytes, response_bytes
from celeste_image.wire.requests import Request, request_from_proto
from celeste_image.wire.results import event_to_proto
from celeste_image.wire.status import status_from_error

__all__ = ["ImageServicer", "read_operation"]


Context = grpc.aio.ServicerContext[Any, Any]


class ImageServicer(image_service_pb2_grpc.ImageServiceServicer):
    """Runs operations.

    Args:
        run: The pipeline.
        call_seconds: Deadline of a call whose caller sets none.
        calls: The running calls of the server, which end with it.
    """

    def __init__(self, run: Run, call_seconds: float, calls: RunningCalls) -> None:
        self._run = run
        self._call_seconds = call_seconds
        self._calls = calls

    async def Generate(self, request: operation_pb2.GenerateRequest, context: Context) -> Any:
        """Generates images from words."""
        return await self._collect(request, context)

    async def Edit(self, request: operation_pb2.EditRequest, context: Context) -> Any:
        """Edits an image."""
        return await self._collect(request, context)

    async def Upscale(self, request: operation_pb2.UpscaleRequest, context: Context) -> Any:
        """Enlarges an image."""
        return await self._collect(request, context)

    async def Analyze(self, request: operation_pb2.AnalyzeRequest, context: Context) -> Any:
        """Analyzes an image."""
        return await self._collect(request, context)

    async def Stream(self, request: image_service_pb2.StreamRequest, context: Context) -> None:  # type: ignore[override]
        """Runs one operation and streams its events. A failure is the event `failed`, then the status of the call."""
        sequence = 0
        operation, _ = _operation_of(request)
        request_id = request_id_of(operation)

        async def write(message: event_pb2.OperationEvent) -> None:
            nonlocal sequence
            sequence += 1
            message.sequence = sequence
            first = request_id if sequence == 1 else ""
            await context.write(image_service_pb2.StreamResponse(event=message, request_id=first))

        try:
            core, call = self._read(request, request_id, context)
            async with self._in_time(context), aclosing(self._run(core, call)) as events:
                async for event in events:
                    if isinstance(event, Completed):
                        sequence += 1
                        first = request_id if sequence == 1 else ""
                        await context.write(completed_bytes(event.result, sequence, first))
                    elif message := event_to_proto(event, sequence):
                        await write(message)
        except CelesteError as error:
            error.request_id = request_id
            failed = event_pb2.OperationEvent(failed=event_pb2.FailedEvent(status=status_from_error(error)))
            failed.time.GetCurrentTime()
            await write(failed)
            raise

    async def _collect(self, message: Request, context: Context) -> bytes:
        """Runs an operation and returns the response with its result, encoded."""
        request_id = request_id_of(message)
        try:
            core, call = self._read(message, request_id, context)
            async with self._in_time(context), aclosing(self._run(core, call)) as events:
                async for event in events:
                    if isinstance(event, Completed):
                        return response_bytes(event.result)
        except CelesteError as error:
            error.request_id = request_id
            raise
        raise RuntimeError("the pipeline ended without Completed")

    def _read(
        self, request: Request | image_service_pb2.StreamRequest, request_id: str, context: Context
    ) -> tuple[ImageRequest, Call]:
        """Returns the core request of a message and the facts of its call.

        Raises:
            InvalidRequest: The message breaks rules of the contract.
        """
        core = read_operation(request)
        remaining = context.time_remaining()
        deadline = time.monotonic() + (self._call_seconds if remaining is None else remaining)
        operation, _ = _operation_of(request)
        call = Call(
            request_id,
            caller.get(),
            deadline,
            is_named=bool(getattr(operation, "request_id", "")),
            is_watched=isinstance(request, image_service_pb2.StreamRequest),
        )
        return core, call

    @asynccontextmanager
    async def _in_time(self, context: Context) -> AsyncGenerator[None, None]:
        """Ends a call with the server, and one without a deadline after `call_seconds`; gRPC ends the others.

        Raises:
            DeadlineExceeded: The call took too long.
            ServerUnavailable: The server stops.
        """
        seconds = self._call_seconds if context.time_remaining() is None else None
        try:
            async with asyncio.timeout(seconds) as limit:
                with self._calls.ended_by(limit):
                    yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            if self._calls.is_over:
                raise self._calls.ended(had_work=True) from error
            text = f"the call took longer than {seconds:g} s; set a deadline for a longer one"
            raise DeadlineExceeded(text) from error


def read_operation(request: Request | image_service_pb2.StreamRequest) -> ImageRequest:
    """Returns the core request of a message.

    Raises:
        InvalidRequest: The message breaks rules of the contract.
    """
    message, prefix = _operation_of(request)
    check_message(request, prefix)
    unknown = tuple(path.removeprefix(f"{prefix}.") for path in unknown_fields(request))
    return request_from_proto(message, unknown)


def _operation_of(request: Request | image_service_pb2.StreamRequest) -> tuple[Any, str]:
    """Returns the message of the operation and its path in the request, for a unary call or a stream."""
    if not isinstance(request, image_service_pb2.StreamRequest):
        return request, ""
    kind = request.operation.WhichOneof("kind") or ""
    return getattr(request.operation, kind, request), f"operation.{kind}"
