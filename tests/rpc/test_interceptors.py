"""Wrappers of calls: made once for a method, and none for a method that does not exist."""

from types import SimpleNamespace
from typing import Any

import grpc

from celeste_image.admission import ByteBudget
from celeste_image.config import ServerSettings
from celeste_image.rpc.interceptors import CallInterceptor
from celeste_image.rpc.wrappers import Room
from celeste_image.v1 import image_service_pb2, operation_pb2

GENERATE = "/celeste.image.v1.ImageService/Generate"


async def generate(request: Any, context: Any) -> Any:
    raise AssertionError("no call is made")


def interceptor() -> CallInterceptor:
    return CallInterceptor(Room(ByteBudget(), ByteBudget(), ServerSettings()))


async def test_a_method_has_one_handler_for_all_its_calls() -> None:
    asked: list[str] = []

    async def found(details: Any) -> Any:
        asked.append(details.method)
        return grpc.unary_unary_rpc_method_handler(
            generate,
            operation_pb2.GenerateRequest.FromString,
            image_service_pb2.GenerateResponse.SerializeToString,
        )

    calls = interceptor()
    first, second = [await calls.intercept_service(found, SimpleNamespace(method=GENERATE)) for _ in range(2)]
    assert first is second and asked == [GENERATE]
    message = image_service_pb2.GenerateResponse(result=operation_pb2.OperationResult(model="a"))
    assert first.response_serializer(message) == message.SerializeToString()
    assert first.response_serializer(b"as it is") == b"as it is"


async def test_a_method_that_does_not_exist_is_not_remembered() -> None:
    asked: list[str] = []

    async def found(details: Any) -> Any:
        asked.append(details.method)

    calls = interceptor()
    for _ in range(2):
        assert await calls.intercept_service(found, SimpleNamespace(method="/celeste.image.v1.X/Y")) is None
    assert len(asked) == 2
