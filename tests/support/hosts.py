"""A host on loopback that says what a test wants, byte by byte, and remembers who spoke to it."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from celeste_image.outbound.origins import Origin


@dataclass
class Asked:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


Answer = bytes | Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Host:
    """Counts connections, also those that ask nothing; `open` are those that nobody has closed yet."""

    answer: Answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: image/png\r\n\r\nhi"
    scheme: str = "http"
    port: int = 0
    connections: int = 0
    open: int = 0
    asked: list[Asked] = field(default_factory=list)
    read_body: bool = True
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def origin(self) -> Origin:
        return Origin.of(self.url)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        task = asyncio.current_task()
        assert task
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        speaking: asyncio.Future[None] | None = None
        gone: asyncio.Future[None] | None = None
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *fields = head.rstrip().split("\r\n")
                headers = {name.lower(): value for name, value in (text.split(": ", 1) for text in fields)}
                size = int(headers.get("content-length", 0)) if self.read_body else 0
                asked = Asked(line, headers, await reader.readexactly(size))
                self.asked.append(asked)
                if isinstance(self.answer, bytes):
                    writer.write(self.answer)
                    await writer.drain()
                else:
                    speaking = asyncio.ensure_future(self.answer(asked, writer))
                    gone = asyncio.ensure_future(self.gone(reader, writer))
                    await asyncio.wait([speaking, gone], return_when=asyncio.FIRST_COMPLETED)
                    if gone.done():
                        break
                    gone.cancel()
        except (OSError, EOFError):
            pass
        finally:
            self.open -= 1
            for work in (speaking, gone):
                if work:
                    work.cancel()
            await asyncio.gather(*filter(None, (speaking, gone)), return_exceptions=True)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def gone(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Returns when the other side has closed the connection."""
        if not self.read_body:
            await asyncio.sleep(0.6)  # what was sent lies before the end
            while await reader.read(1 << 20):
                pass
        while not (reader.at_eof() or writer.transport.is_closing()):
            await asyncio.sleep(0.005)


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection the hard way: the other side sees a reset."""
    made = writer.get_extra_info("socket")
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def listening(host: Host, /, **how: object) -> AsyncIterator[Host]:
    """Lets a host listen on 127.0.0.1, or where `how` says."""
    place = {} if "sock" in how else {"host": "127.0.0.1", "port": 0}
    server = await asyncio.start_server(host.serve, limit=1 << 22, **(place | how))
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        for _ in range(3):  # a connection that was just accepted gets its task
            await asyncio.sleep(0)
        tasks = list(host.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # else a transport may outlive the loop
        await server.wait_closed()


def reply(status: str, body: bytes, media_type: str = "application/json", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", f"content-type: {media_type}", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def says(value: Any, status: str = "200 OK", *more: str) -> bytes:
    return reply(status, json.dumps(value).encode(), "application/json", *more)


class VendorHost:
    """A vendor on loopback: answers by path, remembers what it was asked."""

    def __init__(self, answers: dict[str, list[bytes]]) -> None:
        self.answers = answers
        self.host = Host(self._answer)

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        path = asked.line.split()[1].partition("?")[0]
        left = self.answers[path]
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()

    @property
    def paths(self) -> list[str]:
        return [asked.line.split()[1].partition("?")[0] for asked in self.host.asked]
