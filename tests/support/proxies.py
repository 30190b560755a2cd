"""TCP proxies for tests that break connections or answer with errors."""

import asyncio
import contextlib
from collections.abc import Callable

Fault = Callable[[str, int], str]
"""(method, number of the request) -> pass, 503, 500 after, reset, stall"""

REFUSED = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class FaultyProxy:
    """A proxy in front of an S3 server: one request per connection, and `fault` says what happens to each."""

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


class CuttingProxy:
    """A TCP proxy that drops each connection after a number of bytes from the server, or from the client.

    The lists have a number for each connection in turn. Later connections pass everything.
    """

    def __init__(self, target: str, cut_after: list[int], cut_uploads: list[int] | None = None) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._cut_after = cut_after
        self._cut_uploads = cut_uploads or []
        self.connections = 0
        self.address = ""

    async def __aenter__(self) -> "CuttingProxy":
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        left = self._cut_after.pop(0) if self._cut_after else None
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._target)
        except ConnectionError:  # the server is away: the client sees it at once
            writer.transport.abort()
            return
        up_left = self._cut_uploads.pop(0) if self._cut_uploads else None
        ways = [
            asyncio.create_task(self._copy(reader, up_writer, up_left)),
            asyncio.create_task(self._copy(up_reader, writer, left)),
        ]
        try:
            with contextlib.suppress(asyncio.CancelledError):  # asyncio's callback takes it for a bug
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for side in (up_writer, writer):
                side.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await side.wait_closed()

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if left is not None and len(data) > left:
                    return
                left = None if left is None else left - len(data)
                writer.write(data)
                await writer.drain()
