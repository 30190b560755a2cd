"""Adapter for transports of httpx: tests and plug-ins pass one to `Http` in the place of `Connections`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from celeste_image.outbound.exchange import Arriving, Request

__all__ = ["HttpxTransport"]


class HttpxTransport:
    """Sends requests by a transport of httpx, which gets and returns httpx's objects."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def send(self, request: Request) -> Arriving:
        """Sends a request. Raises what the transport raises."""
        sent = httpx.Request(request.method, request.url, headers=request.headers, content=request.content or None)
        answer = await self._transport.handle_async_request(sent)
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        header_bytes = sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
        encoding = answer.headers.get("content-encoding", "")
        return _Answer(answer.status_code, answer.headers, header_bytes, encoding, answer, aiter(answer.stream))

    async def aclose(self) -> None:
        """Closes the transport."""
        await self._transport.aclose()


@dataclass(slots=True)
class _Answer(Arriving):
    _answer: httpx.Response
    _pieces: AsyncIterator[bytes]

    def ready(self) -> bytes:
        return b""

    async def more(self) -> bytes:
        async for piece in self._pieces:
            if piece:
                return piece
        return b""

    async def aclose(self) -> None:
        await self._answer.aclose()
