"""gRPC calls in raw HTTP/2 frames: a client that never reads, that sends half of a request, or that attacks."""

import asyncio
import contextlib
import struct
from collections import defaultdict
from types import TracebackType
from typing import Self

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name: bytes, value: bytes) -> bytes:
    """Returns a header as an HPACK literal without indexing or compression (RFC 7541, 6.2.2)."""
    return b"\0" + _length(name) + name + _length(value) + value


def _length(text: bytes) -> bytes:
    """Returns a length as HPACK's integer with a prefix of 7 bits (RFC 7541, 5.1)."""
    rest = len(text) - 127
    if rest < 0:
        return bytes([len(text)])
    encoded = b"\x7f"
    while rest >= 128:
        encoded, rest = encoded + bytes([rest % 128 | 128]), rest // 128
    return encoded + bytes([rest])


def call_headers(method: str, *more: tuple[bytes, bytes]) -> bytes:
    """Returns the header block of a call."""
    pairs = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", method.encode()), (b":authority", b"a"))
    pairs += ((b"te", b"trailers"), (b"content-type", b"application/grpc"), *more)
    return b"".join(header(*pair) for pair in pairs)


class RawCalls:
    """A connection whose calls receive `window` bytes each, and more only after `read`.

    Of each call: bytes `received`, bytes that the server `granted` beyond its first window, `trailers`, the code of its
    `resets`, whether it is `over`. Of the connection: the server's `settings`, the code and words of its `goaway`, the
    pings that the server sent and whether it is `closed`. It does not keep to the server's window itself.

    Args:
        address: Of the server.
        window: Bytes that the server may send of each call.
        answers_pings: Whether pings of the server are answered.
    """

    def __init__(self, address: str, window: int = 1 << 16, *, answers_pings: bool = True) -> None:
        self._address = address
        self._answers_pings = answers_pings
        self.settings: dict[int, int] = {}
        self.settled = asyncio.Event()
        self.goaway: tuple[int, bytes] | None = None
        self.pings = 0
        self.closed = asyncio.Event()
        self.resets: dict[int, int] = {}
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
        self._writer.write(PREFACE + settings)
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
        self._writer.write(frame(HEADERS, END_HEADERS, stream, call_headers(method)))
        if message is not None:
            data = b"\0" + struct.pack(">I", len(message) if announced is None else announced) + message
            for start in range(0, len(data), 16384):
                last = start + 16384 >= len(data) and announced is None
                self._writer.write(frame(DATA, END_STREAM if last else 0, stream, data[start : start + 16384]))
        return stream

    def read(self, stream: int, size: int) -> None:
        """Lets the server send `size` more bytes."""
        self._writer.write(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size)))

    def reset(self, stream: int) -> None:
        """Gives a call up."""
        self._writer.write(frame(RESET, 0, stream, struct.pack(">I", 8)))

    async def send(self, frames: bytes) -> None:
        """Sends frames as they are; returns early if the server has closed the connection."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(frames)
            await self._writer.drain()

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
                elif kind == SETTINGS and not flags & ACK:
                    pairs = struct.iter_unpack(">HI", payload)
                    self.settings |= dict(pairs)
                    self.settled.set()
                    self._writer.write(frame(SETTINGS, ACK, 0))
                elif kind == PING and not flags & ACK:
                    self.pings += 1
                    if self._answers_pings:
                        self._writer.write(frame(PING, ACK, 0, payload))
                elif kind == GOAWAY:
                    self.goaway = int.from_bytes(payload[4:8]), payload[8:]
                elif kind == HEADERS and flags & END_STREAM:
                    self.trailers[stream] = payload
                    self.over[stream].set()
                elif kind == RESET:
                    self.resets[stream] = int.from_bytes(payload)
                    self.over[stream].set()
        self.closed.set()
