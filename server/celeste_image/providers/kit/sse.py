"""Server-sent events: decodes a byte stream into events. WHATWG HTML, section 9.2.6, read 2026-11-22.

`json_values_of` reads an answer whatever its form is: a stream of events, one JSON value or several, or an image.
"""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from celeste_image.core.media import media_type
from celeste_image.outbound.exchange import ExchangeFailed, Stage, Streamed
from celeste_image.outbound.json_values import json_values

__all__ = ["Decoder", "ServerSentEvent", "any_event", "json_values_of", "server_sent_events", "values_in"]

MIB = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BLANKS = b"\xef\xbb\xbf\r\n\t "
MOST_LINES, MOST_EVENTS = 500_000, 20_000
"""Most lines and events of a stream: a megabyte of empty ones costs a second."""
PEEK_BYTES = 4096
"""Bytes that are looked at for the form of an answer."""


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
        self._lines_left, self._events_left = MOST_LINES, MOST_EVENTS

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
                self._events_left -= 1
                if self._events_left < 0:
                    raise ExchangeFailed(f"the answer has over {MOST_EVENTS} events", Stage.ANSWERED)
                yield event

    def end(self) -> Iterator[ServerSentEvent]:
        """Yields the event that the end of the body cut off, which the standard drops: it may hold a paid image."""
        if self._rest:
            self._take(bytes(self._rest) if self._started else bytes(self._rest).removeprefix(BYTE_ORDER_MARK))
            self._rest.clear()
        if event := self._end():
            yield event

    def _lines(self) -> Iterator[bytes]:
        rest, start = self._rest, 0
        feed, back = rest.find(b"\n", self._searched), rest.find(b"\r", self._searched)
        while feed >= 0 or back >= 0:
            end = min(place for place in (feed, back) if place >= 0)
            line = bytes(rest[start:end])
            start = end + (2 if end == back and feed == end + 1 else 1)
            feed = rest.find(b"\n", start) if 0 <= feed < start else feed
            back = rest.find(b"\r", start) if 0 <= back < start else back
            self._lines_left -= 1
            if self._lines_left < 0:
                raise ExchangeFailed(f"the answer has over {MOST_LINES} lines", Stage.ANSWERED)
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
    """Yields the events of a body, also one that the end of the body cuts off.

    Raises:
        ExchangeFailed: A line or an event is longer than allowed, or reading failed; the events before are yielded.
    """
    decoder = Decoder(max_bytes)
    failure: ExchangeFailed | None = None
    async with aclosing(pieces):
        try:
            async for piece in pieces:
                for event in decoder.feed(piece):
                    yield event
        except ExchangeFailed as error:
            failure = error
    for event in decoder.end():
        yield event
    if failure:
        raise failure


def any_event(_: str) -> bool:
    """Every event may matter."""
    return True


async def json_values_of(
    answer: Streamed, matters: Callable[[str], bool] = any_event
) -> AsyncGenerator[tuple[str, Any], None]:
    """Yields the JSON values of an answer with the names of their events; the name is empty outside a stream.

    The form is seen by the first bytes, since some servers name another one. A body that is an image is yielded as
    bytes, and so is a long base64 text of an image in a value: see `json_values`. Of a stream, data that is no JSON is
    skipped, and `[DONE]` ends it. Of a body that was cut off, what is complete is yielded before the failure is raised.

    Args:
        answer: The answer, which was not read yet.
        matters: Whether the event of a name may matter; others are skipped unread. Events without a name are read.

    Raises:
        ExchangeFailed: The answer was cut off or too large, or is neither JSON, a stream nor an image.
    """
    pieces = _Peeked(answer.pieces)
    if await pieces.is_stream(answer.head.media_type):
        async with aclosing(server_sent_events(pieces.all())) as events:
            async for event in events:
                if event.data.strip() == b"[DONE]":
                    return
                if event.event != "message" and not matters(event.event):
                    continue
                try:
                    values = json_values(event.data, cut=True, images=True)
                except ValueError:
                    if not event.event.endswith("error"):
                        continue
                    values = [{"error": event.data[:PEEK_BYTES].decode(errors="replace")}]
                for value in values:
                    name = value.get("type") if isinstance(value, dict) else None
                    yield (name if isinstance(name, str) and name else event.event), value
        return
    body, failure = await pieces.whole()
    whole: list[Any] = []
    named_image = answer.head.media_type.startswith("image/") and body[:64].strip()[:1] not in (b"{", b"[", b"")
    if named_image or media_type(body[:16]) != "application/octet-stream":
        whole = [body]
    else:
        try:
            whole = json_values(body, images=True)
        except ValueError:
            # The end may be missing although the connection was not cut, where `content-length` is too small.
            failure = failure or ExchangeFailed(
                "the answer is not JSON, or too much of it", Stage.ANSWERED, answer.head.status
            )
            with suppress(ValueError):
                whole = json_values(body, cut=True, images=True)
    del body  # its images were taken out, and work on them may take a while
    for value in whole:
        yield "", value
    if failure:
        raise failure


async def values_in(answer: Streamed) -> tuple[list[Any], ExchangeFailed | None]:
    """Returns the values of an answer, as `json_values_of` reads them, and the failure that ended the reading."""
    values: list[Any] = []
    try:
        async with aclosing(json_values_of(answer)) as found:
            async for _, value in found:
                values.append(value)
    except ExchangeFailed as failure:
        return values, failure
    return values, None


class _Peeked:
    """The pieces of a body, of which the first were looked at."""

    def __init__(self, pieces: AsyncGenerator[bytes, None]) -> None:
        self._pieces = pieces
        self._first = b""
        self._failure: ExchangeFailed | None = None

    async def is_stream(self, media_type: str) -> bool:
        """Returns whether the body is a stream of events: its first line is one of an event."""
        try:
            while len(self._first) < PEEK_BYTES and (piece := await anext(self._pieces, None)) is not None:
                self._first += piece
                if len(self._first.lstrip(BLANKS)) >= len(b"retry:"):
                    break
        except ExchangeFailed as failure:
            self._failure = failure
        start = self._first.lstrip(BLANKS)
        if start[:1] in (b"{", b"["):
            return False
        return media_type == "text/event-stream" or start.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))

    async def whole(self) -> tuple[bytes, ExchangeFailed | None]:
        """Returns all pieces together, and the failure that ended the reading."""
        pieces, self._first = [self._first], b""
        failure = self._failure
        if not failure:
            try:
                async with aclosing(self._pieces):
                    async for piece in self._pieces:
                        pieces.append(piece)
            except ExchangeFailed as error:
                failure = error
        return b"".join(pieces), failure

    async def all(self) -> AsyncGenerator[bytes, None]:
        """Yields all pieces. Raises ExchangeFailed."""
        first, self._first = self._first, b""
        yield first
        del first
        if self._failure:
            raise self._failure
        async with aclosing(self._pieces):
            async for piece in self._pieces:
                yield piece
