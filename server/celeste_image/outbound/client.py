"""HTTP client: every request to another machine goes through `Http`. A lint rule forbids all other clients.

The cost of an exchange is limited in advance: one deadline for all of it, the bytes of the headers, and the bytes of
the body. Those are counted as they arrive and, if the body is compressed, again as it is inflated. The operator's rules
say which origins may be asked. The network address is checked when the connection is made.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
import orjson

from celeste_image.core.errors import UriFailed, UriRefused
from celeste_image.outbound.addresses import AddressForbidden
from celeste_image.outbound.exchange import (
    Arriving,
    ExchangeFailed,
    Limits,
    OriginRefused,
    Reply,
    Request,
    SecretHeader,
    Sender,
    Stage,
    Streamed,
)
from celeste_image.outbound.httpx_transports import HttpxTransport
from celeste_image.outbound.inflate import Damaged, inflated, layers_of
from celeste_image.outbound.observe import ObservedExchange
from celeste_image.outbound.origins import Origin, Rule, target_of
from celeste_image.telemetry.instruments import HOST

__all__ = ["IMAGE_TYPES", "Http", "Memory", "Transport"]

Transport = Sender | httpx.AsyncBaseTransport
"""Sends requests; tests pass their own."""

Memory = Callable[[int], Awaitable[AbstractContextManager[object]]]
"""Waits until there is memory for a number of bytes, and returns what holds it."""

Result = TypeVar("Result")

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
IMAGE_TYPES: Final = ("image/", "application/octet-stream", "binary/octet-stream", "")
"""Prefixes of media types that may be an image; some servers name none, or "bytes". The guard inspects the data."""
OWN_HEADERS: Final = {"accept-encoding": "identity", "user-agent": "celeste"}
"""Sent with every request. Some servers compress all the same: see `inflate`."""
LARGE_BYTES: Final = 256 << 10
"""Size of a body from which it waits for memory."""
UNKNOWN_BYTES: Final = 1 << 20
"""What a body counts whose size is not announced."""
BODY_COPIES: Final = 3
"""Copies of a body in work: its bytes, its values, and the image in it."""
DOWNLOAD_HEADERS: Final = {"accept": "image/*, */*;q=0.1"}


class Http:
    """Sends requests to the origins that are allowed. Each provider has one, and the URIs of callers have one.

    An answer with an error status is returned like any other; the caller decides its meaning. A request that may have
    been processed is sent once. The exception: an idempotent method, on a kept connection that turned out to be closed.
    """

    def __init__(
        self,
        allowed: Collection[Origin] | Rule,
        *,
        private: Collection[Origin] = (),
        named: Collection[Origin] = (),
        limits: Limits | None = None,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.monotonic,
        memory: Memory | None = None,
    ) -> None:
        """Opens no connection yet.

        Args:
            allowed: The origins, or a rule.
            private: More allowed origins, which may be on this machine or network. They come from the operator's
                configuration only, never from a caller or an answer.
            named: Origins whose hosts traces and metrics show, with those in `private`. A vendor or a caller can
                choose other ones.
            limits: The limits of an exchange.
            transport: Sends the requests; tests pass one that needs no network.
            clock: The clock of all deadlines, in seconds.
            memory: Waits for memory before the body of a large answer is read; None means that there is no limit.
        """
        self._memory = memory
        self._allowed: Rule = allowed if callable(allowed) else frozenset(allowed).__contains__
        self._private = frozenset(private)
        self._named = self._private.union(named)
        HOST.allow(origin.host for origin in self._named)
        self._limits = limits or Limits()
        self._sender: Sender | None = (
            HttpxTransport(transport) if isinstance(transport, httpx.AsyncBaseTransport) else transport
        )
        self._clock = clock
        self._slots = asyncio.Semaphore(self._limits.exchanges)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Collection[SecretHeader] = (),
        json: Any = None,
        content: bytes | None = None,
        data: Mapping[str, Any] | None = None,
        files: Any = None,
    ) -> Request:
        """Returns a request for `send` or `stream`, with its body complete.

        Args:
            method: The HTTP method.
            url: An absolute URL of an allowed origin.
            headers: Headers without keys.
            secrets: Headers with keys; each must be meant for the URL's origin.
            json: The body, as a value for JSON.
            content: The body, as bytes.
            data: The body, as fields of a form.
            files: Files of a multipart form, as httpx takes them.

        Raises:
            OriginRefused: The origin is not allowed, or a key is not meant for it.
        """
        try:
            target, origin = target_of(url)
        except ValueError as error:
            raise OriginRefused(f"the URL {error}") from None
        if origin not in self._private and not self._allowed(origin):
            raise OriginRefused("the scheme, host or port of the URL is not allowed")
        sent = {name.lower(): value for name, value in (headers or {}).items()} | OWN_HEADERS
        if json is not None:
            content = orjson.dumps(json)
            sent["content-type"] = "application/json"
        for secret in secrets:
            if origin not in secret.origins:
                raise OriginRefused(f"the key in {secret.header} is not for {origin.host}")
            sent[secret.header.lower()] = secret.value.reveal()
        if data or files:
            form = httpx.Request(method, target, headers=sent, data=data, files=files)
            content = form.read()
            sent["content-type"] = form.headers["content-type"]
        return Request(method.upper(), target, origin, sent, content or b"")

    def stream(
        self, request: Request, *, deadline: float | None, max_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Streamed]:
        """Sends a request and yields the answer as it arrives, of any status but a redirect.

        The connection is closed when the block ends, unless the body was read to its end.

        Args:
            request: From `request`.
            deadline: By the clock; the limit `exchange_seconds` applies as well.
            max_bytes: Largest body of the answer; None means the limit `body_bytes`.

        Raises:
            ExchangeFailed: The answer is missing or not usable; `stage` says how far the exchange came.
        """
        return self._open(request, self._end(deadline), max_bytes)

    async def send(self, request: Request, *, deadline: float | None, max_bytes: int | None = None) -> Reply:
        """Sends a request and returns the complete answer. Arguments and errors are those of `stream`."""
        async with self.stream(request, deadline=deadline, max_bytes=max_bytes) as answer:
            return await answer.whole()

    async def download(
        self, url: str, *, deadline: float | None, max_bytes: int | None = None, types: Collection[str] = IMAGE_TYPES
    ) -> Reply:
        """Fetches a URI that a caller named. Arguments are those of `follow`.

        Raises:
            UriRefused: The scheme, host or address is not allowed, here or after a redirect; metadata has `host` if
                the URI has a valid one.
            UriFailed: The download failed; metadata has `host` and, after an answer, `status`.
        """
        # Errors name the host of the caller's URI, never one that it redirects to.
        host = _host(url)
        try:
            # A stranger's kilobyte must not become half a gigabyte; images gain nothing by compression.
            return await self.follow(url, deadline=deadline, max_bytes=max_bytes, types=types, inflates=False)
        except OriginRefused as error:
            raise UriRefused(f"{host or 'uri'}: {error}", metadata={"host": host} if host else {}) from error
        except ExchangeFailed as error:
            status = {} if error.status is None else {"status": str(error.status)}
            raise UriFailed(f"{host}: {error}", metadata={"host": host, **status}) from error

    async def follow(
        self,
        url: str,
        *,
        deadline: float | None,
        max_bytes: int | None = None,
        types: Collection[str] | None = IMAGE_TYPES,
        inflates: bool = True,
    ) -> Reply:
        """Fetches a URL without a key and follows redirects, as far as their targets are allowed.

        Args:
            url: An absolute URL, which is not trusted.
            deadline: By the clock, for all redirects together; the limit `exchange_seconds` applies as well.
            max_bytes: Largest body; None means the limit `body_bytes`.
            types: Allowed prefixes of the media type; an empty one allows an answer that names no type, and None all.
            inflates: Whether a compressed answer is read; else it is refused.

        Raises:
            OriginRefused: The URL or the target of a redirect is not allowed.
            ExchangeFailed: No answer has a status of 200 to 299 and an allowed type; `status` is that of the answer.
        """
        request, end = self.request("GET", url, headers=DOWNLOAD_HEADERS), self._end(deadline)
        for _ in range(self._limits.redirects + 1):
            async with self._open(request, end, max_bytes, redirects=True, inflates=inflates) as answer:
                head = answer.head
                if 200 <= head.status < 300:
                    if types is not None and not head.is_of(types):
                        raise ExchangeFailed("the answer's media type is not an image's", Stage.ANSWERED, head.status)
                    return await answer.whole()
            request = self._redirected(request, head)
        raise ExchangeFailed(f"it redirects more than {self._limits.redirects} times", Stage.ANSWERED, head.status)

    async def close(self) -> None:
        """Closes all connections."""
        if self._sender:
            await self._sender.aclose()

    def _connected(self) -> Sender:
        """Returns what sends the requests. Only the first request loads aiohttp: a third of a server's start."""
        if self._sender is None:
            from celeste_image.outbound.connections import Connections

            self._sender = Connections(private=self._private, connect_seconds=self._limits.connect_seconds)
        return self._sender

    def _end(self, deadline: float | None) -> float:
        """Returns the time, by the clock, at which an exchange that starts now is ended."""
        end = self._clock() + self._limits.exchange_seconds
        return end if deadline is None else min(end, deadline)

    def _redirected(self, request: Request, head: Reply) -> Request:
        """Returns the request that a redirect asks for. Raises ExchangeFailed for any other answer."""
        if head.status not in REDIRECTS or "location" not in head.headers:
            raise ExchangeFailed(f"the answer is HTTP status {head.status}", Stage.ANSWERED, head.status)
        try:
            # A new request: no header for one host is sent to the next.
            target = str(httpx.URL(request.url).join(head.headers["location"]))
            onward = self.request("GET", target, headers=DOWNLOAD_HEADERS)
        except (OriginRefused, httpx.InvalidURL, ValueError):
            raise OriginRefused("it redirects to a URL that is not allowed") from None
        if request.origin.scheme == "https" and onward.origin.scheme != "https":
            raise OriginRefused("it redirects from https to http")
        return onward

    @asynccontextmanager
    async def _open(
        self, request: Request, end: float, max_bytes: int | None, *, redirects: bool = False, inflates: bool = True
    ) -> AsyncGenerator[Streamed, None]:
        """Sends a request and yields the answer, of any status, but a redirect only with `redirects`.

        Raises:
            ExchangeFailed: See `stream`.
        """
        if end <= self._clock():
            raise ExchangeFailed("the deadline passed before the request was sent", Stage.NOT_SENT)
        named = request.origin in self._named
        # A redirect is followed for downloads alone, which go anywhere and need no trace.
        with ObservedExchange(request, is_named=named, propagates=not redirects) as observed:
            waits = _Waits(request, end, self._clock)
            if self._slots.locked():
                await waits.take(self._slots.acquire(), Stage.NOT_SENT)
            else:
                await self._slots.acquire()
            try:
                answer = await waits.take(self._connected().send(request), Stage.NOT_ANSWERED)
                observed.answers(answer.status)
                try:
                    head = self._head(answer)
                    if 300 <= head.status < 400 and not redirects:
                        raise ExchangeFailed("the answer is a redirect", Stage.ANSWERED, head.status)
                    if not inflates and answer.encoding.strip().lower() not in ("", "identity"):
                        raise ExchangeFailed("the answer is compressed", Stage.ANSWERED, head.status)
                    most = self._limits.body_bytes if max_bytes is None else max_bytes
                    with await self._room(answer, head, most, waits):
                        body = _received(answer, waits, most)
                        yield Streamed(head, _inflated(body, answer, most) if inflates else body)
                finally:
                    # A body that is not read to its end by now takes the connection with it.
                    await answer.aclose()
            finally:
                self._slots.release()

    async def _room(self, answer: Arriving, head: Reply, most: int, waits: "_Waits") -> AbstractContextManager[object]:
        """Returns the memory for the body of an answer; until there is some, the body stays with its sender.

        Raises:
            ExchangeFailed: There was none in time.
        """
        size = _announced(answer)
        if size is None:
            size = 0 if head.is_of(("text/event-stream",)) else UNKNOWN_BYTES
        if self._memory is None or size < LARGE_BYTES:
            return nullcontext()
        return await waits.take(self._memory(BODY_COPIES * min(size, most)), Stage.ANSWERED, answer.status)

    def _head(self, answer: Arriving) -> Reply:
        """Returns an answer without its body. Raises ExchangeFailed if its status or headers are not usable."""
        status = answer.status
        if status < 200:
            raise ExchangeFailed(f"the answer is HTTP status {status}", Stage.ANSWERED, status)
        if answer.header_bytes > self._limits.header_bytes:
            text = f"the answer's headers are over {self._limits.header_bytes} bytes"
            raise ExchangeFailed(text, Stage.ANSWERED, status)
        return Reply(status, answer.headers)


async def _received(answer: Arriving, waits: "_Waits", most: int) -> AsyncGenerator[bytes, None]:
    """Yields the body of an answer, at most `most` bytes, as it arrives. Raises ExchangeFailed."""
    size = 0
    if (_announced(answer) or 0) > most:
        raise _too_large(most, answer)
    while piece := answer.ready() or await waits.take(answer.more(), Stage.ANSWERED, answer.status):
        size += len(piece)
        if size > most:
            raise _too_large(most, answer)
        yield piece


def _announced(answer: Arriving) -> int | None:
    """Returns the size in bytes that an answer announces for its body; None if it announces none."""
    announced = answer.headers.get("content-length", "")
    return int(announced) if re.fullmatch(r"[0-9]{1,18}", announced) else None


def _too_large(most: int, answer: Arriving) -> ExchangeFailed:
    return ExchangeFailed(f"the answer is over {most} bytes", Stage.ANSWERED, answer.status)


async def _inflated(body: AsyncGenerator[bytes, None], answer: Arriving, most: int) -> AsyncGenerator[bytes, None]:
    """Yields a body as it was before its compression, at most `most` bytes. Raises ExchangeFailed."""
    try:
        async with aclosing(inflated(body, layers_of(answer.encoding), most)) as pieces:
            async for piece in pieces:
                yield piece
    except Damaged as error:
        raise ExchangeFailed(str(error), Stage.ANSWERED, answer.status) from error


@dataclass(slots=True)
class _Waits:
    """The waits of one exchange: each ends at `end`, by `clock`, and raises ExchangeFailed for errors of the network.

    No wait goes on while a caller works: its time and its errors would count as the network's.
    """

    request: Request
    end: float
    clock: Callable[[], float]

    async def take(self, work: Awaitable[Result], stage: Stage, status: int | None = None) -> Result:
        """Returns the result of a step of the exchange."""
        try:
            async with asyncio.timeout(max(0.0, self.end - self.clock())):
                return await work
        except (TimeoutError, AddressForbidden, httpx.TransportError) as error:
            if stage is Stage.NOT_ANSWERED and not self.request.sent:
                stage = Stage.NOT_SENT
            raise _failure(error, stage, status) from error


def _failure(error: Exception, stage: Stage, status: int | None) -> ExchangeFailed:
    """Returns the failure of an exchange for an error of the network at a stage."""
    match error:
        case TimeoutError():
            what = "the connection was made" if stage is Stage.NOT_SENT else "the answer was complete"
            return ExchangeFailed(f"timed out before {what}", stage, status, cut=stage is Stage.ANSWERED)
        case AddressForbidden():
            return OriginRefused(str(error))
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return ExchangeFailed(str(error), Stage.NOT_SENT)
        case _:
            cut = stage is Stage.ANSWERED and isinstance(error, httpx.NetworkError)
            return ExchangeFailed(str(error), stage, status, cut=cut)


def _host(url: str) -> str:
    try:
        return Origin.of(url).host
    except ValueError:
        return ""
