"""A proxy before an S3 server that does to requests what networks and full servers do."""

import asyncio
import contextlib
from collections.abc import Callable

Fault = Callable[[str, int], str]
"""(method, number of the request) -> pass, 503, 500 after, reset, stall"""

REFUSED = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class FaultyProxy:
    """One request per connection; `fault` says what becomes of each."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.fault: Fault = lambda method, number: "pass"
        self.requests: list[str] = []
        self.port = 0

    async def __aenter__(self) -> "FaultyProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method = head.split(b" ", 1)[0].decode()
        self.requests.append(method)
        fault = self.fault(method, len(self.requests))
        if fault == "reset":
            return
        if fault == "stall":
            await asyncio.sleep(3600)
        lines = head.lower().split(b"\r\n")
        size = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        body = await reader.readexactly(size)
        if fault == "503":
            answer = REFUSED
        else:
            answer = await self._pass(head, body)
            answer = FAILED if fault == "500 after" else answer
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async def _pass(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            writer.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
            return await reader.read()
        finally:
            writer.transport.abort()
