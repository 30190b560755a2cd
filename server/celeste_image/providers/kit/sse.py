"""Server-sent events: decodes a byte stream into events. WHATWG HTML, section 9.2.6, read 2026-11-22."""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from celeste_image.outbound.exchange import ExchangeFailed, Stage

__all__ = ["Decoder", "ServerSentEvent", "server_sent_events"]

MIB = 1 << 20
LINE_END = re.compile(rb"\r\n?|\n")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its name, `message` if the stream names none, and its data lines, joined by line feeds."""

    event: str
    data: bytes = field(repr=False)


class Decoder:
    """Decodes events from pieces of any size. Ignores `id` and `retry`: a paid call never reconnects."""

    def __init__(self, max_bytes: int = 64 * MIB) -> None:
        """Limits an event, and a line, to `max_bytes`."""
        self._most = max_bytes
        self._rest = bytearray()  # an incomplete line
        self._searched = 0
        self._after_return = False
        self._started = False
        self._event = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """Yields the events that end in a piece; an incomplete event is kept for the next piece.

        Raises:
            ExchangeFailed: A line or an event is longer than allowed.
        """
        if self._after_return and piece:
            piece = piece.removeprefix(b"\n")  # the second half of a line end that two pieces share
            self._after_return = False
        self._after_return |= piece.endswith(b"\r")
        self._rest += piece
        for line in self._lines():
            if line:
                self._take(line)
            elif event := self._end():
                yield event

    def _lines(self) -> Iterator[bytes]:
        start, search = 0, self._searched
        while found := LINE_END.search(self._rest, search):
            line = bytes(self._rest[start : found.start()])
            start = search = found.end()
            yield line if self._started else line.removeprefix(BYTE_ORDER_MARK)
            self._started = True
        del self._rest[:start]
        self._searched = len(self._rest)
        self._check(len(self._rest))

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value
        elif name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            self._check(self._size)

    def _end(self) -> ServerSentEvent | None:
        event, data = self._event, self._data
        self._event, self._data, self._size = b"", [], 0
        return ServerSentEvent(event.decode(errors="replace") or "message", b"\n".join(data)) if data else None

    def _check(self, size: int) -> None:
        if size > self._most:
            raise ExchangeFailed(f"an event of the answer is over {self._most} bytes", Stage.ANSWERED)


async def server_sent_events(
    pieces: AsyncGenerator[bytes, None], max_bytes: int = 64 * MIB
) -> AsyncGenerator[ServerSentEvent, None]:
    """Yields the events of a body. An event that the end of the body cuts off is dropped.

    Raises:
        ExchangeFailed: A line or an event is longer than allowed, or reading failed.
    """
    decoder = Decoder(max_bytes)
    async with aclosing(pieces):
        async for piece in pieces:
            for event in decoder.feed(piece):
                yield event
