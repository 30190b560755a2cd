"""A newer server, for clients of today: a gRPC proxy that adds what the contract does not have yet.

It passes every call of the contract to the real server, byte by byte. To responses it adds unknown fields, an enum
value without a name, and events of an unknown kind: protobuf merges bytes that are appended to a message. Request
metadata with names that begin with `x-` come back as headers and trailers, so that clients can show both directions.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

__all__ = ["newer_server"]

STREAMS = ("/celeste.image.v1.ImageService/Stream", "/celeste.image.v1.ArtifactService/ReadArtifact")
FUTURE = 9_999
"""Number of the unknown fields."""


def field(number: int, value: int | bytes) -> bytes:
    """Returns an encoded field: a varint or bytes (https://protobuf.dev/programming-guides/encoding/)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """Returns an encoded unsigned integer."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


UNKNOWN = field(FUTURE, b"from the future") + field(FUTURE + 1, 2**63)
ADDED = {
    # GetModelResponse.model: Model.state (6) gets the value 99, and Model and the response unknown fields.
    "/celeste.image.v1.ModelService/GetModel": field(1, field(6, 99) + UNKNOWN) + UNKNOWN,
}
FUTURE_EVENT = field(1, field(FUTURE, b"a kind of event of the future"))
"""StreamResponse.event with an unknown kind."""


class Proxy(grpc.GenericRpcHandler):
    """Handles every call of the contract by a call to the real server."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Returns the handler of a call."""
        name = handler_call_details.method
        sent = [(key, value) for key, value in handler_call_details.invocation_metadata if key.startswith("x-")]

        async def unary(request: bytes, context: Any) -> bytes:
            await context.send_initial_metadata(sent)
            context.set_trailing_metadata(sent)
            call = self._channel.unary_unary(name)(request, timeout=context.time_remaining())
            try:
                return bytes(await call) + ADDED.get(name, UNKNOWN)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details(), (*sent, *error.trailing_metadata()))
                raise

        async def stream(request: bytes, context: Any) -> None:
            await context.send_initial_metadata(sent)
            context.set_trailing_metadata(sent)
            try:
                async for message in self._channel.unary_stream(name)(request, timeout=context.time_remaining()):
                    await context.write(bytes(message) + UNKNOWN)
                    if name.endswith("/Stream"):
                        await context.write(FUTURE_EVENT)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details(), (*sent, *error.trailing_metadata()))

        if name in STREAMS:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


@contextlib.asynccontextmanager
async def newer_server(address: str, port: int) -> AsyncIterator[str]:
    """Runs the proxy in front of the server at an address; gives its own."""
    async with grpc.aio.insecure_channel(address) as channel:
        server = grpc.aio.server(handlers=[Proxy(channel)])
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0)
