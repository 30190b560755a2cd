"""Calls of a real gRPC server: requests, the status of an error, the calls that are open."""

import asyncio
import os
import time
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support import pictures
from tests.support.servers import Running

from celeste_image.core.caller import ANONYMOUS
from celeste_image.v1 import ImageInput, StreamRequest, UpscaleRequest

ENGINE = "engines.realesrgan"
GENERATE = "/celeste.image.v1.ImageService/Generate"
READ = "/celeste.image.v1.ArtifactService/ReadArtifact"


def long_upscale() -> UpscaleRequest:
    """Returns work of many seconds: small tiles, sixteenfold."""
    source = ImageInput(data=pictures.photo(300))
    request = UpscaleRequest(image=source, factor=16, model="local/realesrgan-animevideov3")
    request.options.provider_options["local"].update({"tile": 32})
    return request


def streamed(request: UpscaleRequest) -> StreamRequest:
    stream = StreamRequest()
    stream.operation.upscale.CopyFrom(request)
    return stream


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            assert isinstance(value, bytes)
            return status_pb2.Status.FromString(value)
    raise AssertionError(f"no details: {error}")


def reason(error: grpc.aio.AioRpcError) -> tuple[str, str, bool]:
    """Returns code, reason, and whether it says when to come back."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    again = False
    for detail in status_of(error).details:
        detail.Unpack(info)
        again |= detail.Unpack(retry)
    return error.code().name, info.reason, again and retry.retry_delay.ToMilliseconds() > 0


def calls() -> list[asyncio.Task[Any]]:
    """Returns gRPC's tasks of calls."""
    return [task for task in asyncio.all_tasks() if task.get_name().startswith(("rpc_task", "HandleExceptions"))]


async def healthy(channel: grpc.aio.Channel) -> float:
    """Returns how long the answer took."""
    began = time.monotonic()
    response = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert response.status == health_pb2.HealthCheckResponse.SERVING
    return time.monotonic() - began


async def stored(server: Running, size: int) -> str:
    return (await server.app.store.put(ANONYMOUS.tenant, os.urandom(size))).name
