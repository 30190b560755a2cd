"""Repeats: each try of a request has one id, which the client makes before the first try and names in the error."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from tests.support.proxies import CuttingProxy
from tests.support.servers import running

from celeste_image.client import AsyncClient, Client
from celeste_image.core.errors import ServerUnavailable
from celeste_image.core.request import Generate
from celeste_image.core.result import OperationResult
from celeste_image.v1 import (
    CompletedEvent,
    OperationEvent,
    StreamRequest,
    StreamResponse,
)
from celeste_image.v1 import OperationResult as Result

REQUEST = Generate(prompt="a boat", model="local/compose")
POLICY = {"maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1}
RETRIES = json.dumps(
    {"methodConfig": [{"name": [{}], "retryPolicy": {**POLICY, "retryableStatusCodes": ["UNAVAILABLE"]}}]}
)
OPTIONS = (("grpc.service_config", RETRIES), ("grpc.enable_http_proxy", 0))
ID = "0e28b64f-4eb1-4fca-864f-7613b4642ea4"


class Flaky:
    """An ImageService that is unavailable for some calls, then answers with a result."""

    def __init__(self, failures: int, *, ends_early: bool = False) -> None:
        self.requests: list[bytes] = []
        self.ids: list[str] = []
        self._failures, self._ends_early = failures, ends_early

    async def stream(
        self, request: StreamRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[StreamResponse, None]:
        id_ = request.operation.generate.request_id
        self.requests.append(request.SerializeToString(deterministic=True))
        self.ids.append(id_)
        if len(self.ids) <= self._failures:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        if not self._ends_early:
            completed = CompletedEvent(result=Result(request_id=id_, model="local/compose"))
            yield StreamResponse(request_id=id_, event=OperationEvent(sequence=1, completed=completed))


@asynccontextmanager
async def serving(servicer: Flaky) -> AsyncIterator[str]:
    """Runs a server, and yields its address."""
    server = grpc.aio.server()
    stream = grpc.unary_stream_rpc_method_handler(
        servicer.stream, StreamRequest.FromString, StreamResponse.SerializeToString
    )
    service = grpc.method_handlers_generic_handler("celeste.image.v1.ImageService", {"Stream": stream})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def ask(is_async: bool, address: str, *, options: Any = (), request_id: str = "") -> OperationResult:
    """Runs a request by one of the clients, on a channel with some options."""
    if is_async:
        async with AsyncClient(grpc.aio.insecure_channel(address, options)) as client:
            return await client.run(REQUEST, request_id=request_id, timeout=30)

    def call() -> OperationResult:
        with Client(grpc.insecure_channel(address, options)) as client:
            return client.run(REQUEST, request_id=request_id, timeout=30)

    return await asyncio.to_thread(call)


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("request_id", ["", ID])
async def test_the_retries_of_grpc_repeat_the_id(is_async: bool, request_id: str) -> None:
    servicer = Flaky(2)
    async with serving(servicer) as address:
        result = await ask(is_async, address, options=OPTIONS, request_id=request_id)
    assert len(servicer.ids) == 3
    assert len(set(servicer.requests)) == 1, "each try sends the same bytes"
    assert result.request_id == servicer.ids[0]
    assert str(uuid.UUID(result.request_id)) == result.request_id
    assert not request_id or result.request_id == request_id


@pytest.mark.parametrize("is_async", [True, False])
async def test_each_request_without_an_id_gets_another_one(is_async: bool) -> None:
    servicer = Flaky(0)
    async with serving(servicer) as address:
        for _ in range(2):
            await ask(is_async, address)
    assert len(set(servicer.ids)) == 2


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("ends_early", [True, False])
async def test_the_error_names_the_id_for_a_repeat(is_async: bool, ends_early: bool) -> None:
    """The server is unavailable, or ends the stream without a result."""
    servicer = Flaky(0, ends_early=True) if ends_early else Flaky(1)
    async with serving(servicer) as address:
        with pytest.raises(ServerUnavailable) as caught:
            await ask(is_async, address)
        assert [caught.value.request_id] == servicer.ids
        if not ends_early:
            result = await ask(is_async, address, request_id=caught.value.request_id)
            assert result.request_id == servicer.ids[0] == servicer.ids[1]


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_request_is_repeated_by_its_id_after_a_lost_connection(is_async: bool) -> None:
    async with running() as server:
        async with CuttingProxy(server.address, [120]) as proxy:
            with pytest.raises(ServerUnavailable) as caught:
                await ask(is_async, proxy.address)
        first = await ask(is_async, server.address, request_id=caught.value.request_id)
        again = await ask(is_async, server.address, request_id=caught.value.request_id)
    assert first.request_id == again.request_id == caught.value.request_id
    assert [image.artifact for image in again.images] == [image.artifact for image in first.images]
