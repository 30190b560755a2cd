"""gRPC calls in raw HTTP/2 frames: a client that never reads, or that sends half of a request."""

import asyncio
import contextlib
import struct
from collections import defaultdict
from types import TracebackType
from typing import Self

DATA, HEADERS, RESET, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name: bytes, value: bytes) -> bytes:
    """Returns a header as an HPACK literal without indexing or compression (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


class RawCalls:
    """A connection whose calls receive `window` bytes each, and more only after `read`.

    Of each call: bytes `received`, bytes that the server `granted` beyond its first window, `trailers`, whether it is
    `over`. It does not keep to the server's window itself.
    """

    def __init__(self, address: str, window: int) -> None:
        self._address = address
        self._window = window
        self.received: defaultdict[int, int] = defaultdict(int)
        self.granted: defaultdict[int, int] = defaultdict(int)
        self.trailers: dict[int, bytes] = {}
        self.over: dict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._next = 1

    async def __aenter__(self) -> Self:
        host, _, port = self._address.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        settings = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, self._window))
        self._writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        self._writer.write(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def call(self, method: str, message: bytes | None = b"", announced: int | None = None) -> int:
        """Begins a call and returns its number. `message` None sends none; `announced` states another length."""
        stream, self._next = self._next, self._next + 2
        headers = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", method.encode()), (b":authority", b"a"))
        headers += ((b"te", b"trailers"), (b"content-type", b"application/grpc"))
        self._writer.write(frame(HEADERS, END_HEADERS, stream, b"".join(header(*pair) for pair in headers)))
        if message is not None:
            data = b"\0" + struct.pack(">I", len(message) if announced is None else announced) + message
            for start in range(0, len(data), 16384):
                last = start + 16384 >= len(data) and announced is None
                self._writer.write(frame(DATA, END_STREAM if last else 0, stream, data[start : start + 16384]))
        return stream

    def read(self, stream: int, size: int) -> None:
        """Lets the server send `size` more bytes."""
        self._writer.write(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size)))

    async def _run(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._reader.readexactly(9)
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
                payload = await self._reader.readexactly(int.from_bytes(head[:3]))
                if kind == DATA:
                    self.received[stream] += len(payload)
                elif kind == WINDOW_UPDATE:
                    self.granted[stream] += int.from_bytes(payload)
                elif kind in (SETTINGS, PING) and not flags & ACK:
                    self._writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
                elif kind == HEADERS and flags & END_STREAM:
                    self.trailers[stream] = payload
                    self.over[stream].set()
                elif kind == RESET:
                    self.over[stream].set()
