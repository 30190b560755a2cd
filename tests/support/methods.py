"""Every method of a server, called by its descriptor."""

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health

from celeste_image.rpc.reflection import REFLECTION_NAMES, describe_v1
from celeste_image.rpc.server import SERVICES

__all__ = ["METHODS", "called", "request_of"]


def _methods() -> Iterator[MethodDescriptor]:
    describe_v1()
    pool = descriptor_pool.Default()
    for service in (*SERVICES, health.SERVICE_NAME, *REFLECTION_NAMES):
        yield from pool.FindServiceByName(service).methods


METHODS = {f"/{method.containing_service.full_name}/{method.name}": method for method in _methods()}


def request_of(name: str) -> Any:
    """Returns the class of a method's request."""
    return GetMessageClass(METHODS[name].input_type)


async def called(
    channel: grpc.aio.Channel, name: str, request: Any, metadata: Sequence[tuple[str, str]], *, most: int = 1 << 30
) -> list[Any]:
    """Calls a method with one request, and returns its responses: of a stream, the first `most` at most."""
    method = METHODS[name]
    kind = ("stream" if method.client_streaming else "unary") + ("_stream" if method.server_streaming else "_unary")
    make: Any = getattr(channel, kind)
    response_type: Any = GetMessageClass(method.output_type)
    multi = make(name, lambda message: message.SerializeToString(), response_type.FromString)
    call = multi(iter([request]) if method.client_streaming else request, metadata=tuple(metadata), timeout=60)
    if not method.server_streaming:
        return [await call]
    responses: list[Any] = []
    while len(responses) < most and (response := await call.read()) is not grpc.aio.EOF:
        responses.append(response)
    call.cancel()
    return responses
