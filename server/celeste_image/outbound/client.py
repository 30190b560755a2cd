"""The one way out: every request to another machine goes through `Http`. A lint rule forbids all others.

What an answer may cost is bounded before it comes: one deadline for the whole exchange, bytes of headers, bytes of
body, counted as they arrive and never decompressed. Whom it may come from is a rule of the operator's, and where that
is in the network is checked as the connection is made.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Final

import httpx
import orjson

from celeste_image.core.errors import UriFailed, UriRefused
from celeste_image.outbound.addresses import AddressForbidden
from celeste_image.outbound.connections import Connections
from celeste_image.outbound.exchange import ExchangeFailed, Limits, OriginRefused, Reply, SecretHeader, Stage
from celeste_image.outbound.origins import Origin, Rule, parse_url

__all__ = ["Http", "Streamed", "Transport"]

Transport = httpx.AsyncBaseTransport
"""What sends requests; tests pass their own."""

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
PICTURES: Final = ("image/", "application/octet-stream", "binary/octet-stream", "")
"""How media types of pictures begin; some servers say nothing, or "bytes". The guard finds out what it is."""
OWN_HEADERS: Final = {"accept-encoding": "identity", "user-agent": "celeste"}
"""Every request's. A body that comes compressed all the same is refused: a kilobyte can hold half a gigabyte."""


class Http:
    """Sends requests to the origins that it may talk to. One per provider, and one for URIs of callers.

    What an answer means is left to those who ask: a Reply may be an error. A request that may have been done is not
    sent again, unless its method is one that may be repeated and a kept connection turned out to be closed.
    """

    def __init__(
        self,
        allowed: Collection[Origin] | Rule,
        *,
        private: Collection[Origin] = (),
        limits: Limits | None = None,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes it; nothing is opened yet.

        Args:
            allowed: The origins, or a rule.
            private: Origins that are allowed too and may be on this machine or network. From the operator's
                configuration only, never from a caller or an answer.
            limits: What an exchange may cost.
            transport: What sends; with one of its own, a test has no network.
            clock: What deadlines are read by.
        """
        self._allowed: Rule = allowed if callable(allowed) else frozenset(allowed).__contains__
        self._private = frozenset(private)
        self._limits = limits or Limits()
        self._transport = transport or Connections(private=self._private, connect_seconds=self._limits.connect_seconds)
        self._clock = clock
        self._slots = asyncio.Semaphore(self._limits.exchanges)

    async def send(
        self,
        method: str,
        url: str,
        *,
        deadline: float | None,
        headers: Mapping[str, str] | None = None,
        secrets: Collection[SecretHeader] = (),
        json: Any = None,
        content: bytes | None = None,
        data: Mapping[str, Any] | None = None,
        files: Any = None,
        max_bytes: int | None = None,
    ) -> Reply:
        """Sends a request and returns the whole answer, which is of any status but a redirect.

        Args:
            method: The HTTP method.
            url: Absolute.
            deadline: By the clock; the limit of `exchange_seconds` holds as well.
            headers: No keys: those are `secrets`.
            secrets: Headers with keys; each must be for this origin.
            json: The body, as a value for JSON; or else one of the next.
            content: The body, as it is.
            data: Fields of a form.
            files: Files of a multipart form, as httpx takes them.
            max_bytes: Largest body of the answer, if not that of the limits.

        Raises:
            OriginRefused: Nothing was sent, and never will be.
            ExchangeFailed: There is no usable answer; `stage` says how far it came.
        """
        request = await self._request(method, url, headers, secrets, json, content, data, files)
        reply = await self._exchange(request, self._end(deadline), max_bytes, lambda head: not _is_redirect(head))
        if _is_redirect(reply):
            raise ExchangeFailed("the answer is a redirect", Stage.ANSWERED, reply.status)
        return reply

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        deadline: float | None,
        headers: Mapping[str, str] | None = None,
        secrets: Collection[SecretHeader] = (),
        json: Any = None,
        content: bytes | None = None,
        data: Mapping[str, Any] | None = None,
        files: Any = None,
        max_bytes: int | None = None,
    ) -> AsyncGenerator["Streamed", None]:
        """Sends a request and hands out the answer as it comes, of any status but a redirect, within the same limits.

        Leaving the block closes the connection, unless the answer was read to its end. Arguments and errors are those
        of `send`; reading raises ExchangeFailed too.
        """
        request = await self._request(method, url, headers, secrets, json, content, data, files)
        end = self._end(deadline)
        if end <= self._clock():
            raise ExchangeFailed("there was no time left for it", Stage.NOT_SENT)
        async with self._step(Stage.NOT_SENT, None, end):
            await self._slots.acquire()
        try:
            async with self._step(Stage.NOT_ANSWERED, None, end, request):
                response = await self._transport.handle_async_request(request)
            try:
                status = response.status_code
                with _failing(Stage.ANSWERED, status, request):
                    head = self._head(response)
                if _is_redirect(head):
                    raise ExchangeFailed("the answer is a redirect", Stage.ANSWERED, status)
                most = self._limits.body_bytes if max_bytes is None else max_bytes
                yield Streamed(head, response, most, lambda: self._step(Stage.ANSWERED, status, end))
            finally:
                await response.aclose()
        finally:
            self._slots.release()

    @asynccontextmanager
    async def _step(
        self, stage: Stage, status: int | None, end: float, request: httpx.Request | None = None
    ) -> AsyncGenerator[None, None]:
        """Bounds one step of an exchange that is handed out piece by piece. Nothing may be yielded within."""
        with _failing(stage, status, request):
            async with asyncio.timeout(max(0.0, end - self._clock())):
                yield

    async def download(
        self, url: str, *, deadline: float | None, max_bytes: int | None = None, types: Collection[str] = PICTURES
    ) -> Reply:
        """Fetches what a caller's URI names, following redirects to where the same rules allow it.

        Args:
            url: Absolute; nothing in it is trusted.
            deadline: By the clock, for all redirects together; the limit of `exchange_seconds` holds as well.
            max_bytes: Largest body, if not that of the limits.
            types: How the media type may begin; an empty one stands for none named.

        Raises:
            UriRefused: The scheme, the host or the address is not allowed, here or where it redirects to; metadata has
                `host` if one could be read.
            UriFailed: There is no picture to be had from there; metadata has `host` and, after an answer, `status`.
        """
        # Errors name the host that the caller named, never one that it redirects to.
        host = _host(url)
        try:
            return await self.follow(url, deadline=deadline, max_bytes=max_bytes, types=types)
        except OriginRefused as error:
            raise UriRefused(f"{host or 'uri'}: {error}", metadata={"host": host} if host else {}) from error
        except ExchangeFailed as error:
            status = {} if error.status is None else {"status": str(error.status)}
            raise UriFailed(f"{host}: {error}", metadata={"host": host, **status}) from error

    async def follow(
        self, url: str, *, deadline: float | None, max_bytes: int | None = None, types: Collection[str] = PICTURES
    ) -> Reply:
        """Fetches what an answer names, following redirects to where the same rules allow it; no key goes along.

        Arguments are those of `download`.

        Raises:
            OriginRefused: It is, or redirects to, where nothing may be fetched from.
            ExchangeFailed: There is no answer of status 200 to 299 and of one of the types; `status` is that of what
                was answered instead.
        """
        target, end = self._target(url), self._end(deadline)
        for _ in range(self._limits.redirects + 1):
            # Made anew each time: no header of one host's goes to the next.
            request = httpx.Request("GET", target, headers={"accept": "image/*, */*;q=0.1", **OWN_HEADERS})
            reply = await self._exchange(request, end, max_bytes, lambda head: _is_ok(head) and head.is_of(types))
            if _is_ok(reply):
                if not reply.is_of(types):
                    raise ExchangeFailed("the answer's media type is not a picture's", Stage.ANSWERED, reply.status)
                return reply
            if reply.status not in REDIRECTS or "location" not in reply.headers:
                raise ExchangeFailed(f"the answer is HTTP status {reply.status}", Stage.ANSWERED, reply.status)
            try:
                onward = self._target(str(target.join(reply.headers["location"])))
            except (OriginRefused, httpx.InvalidURL):
                raise OriginRefused("it redirects to where it is not allowed") from None
            if target.scheme == "https" and onward.scheme != "https":
                raise OriginRefused("it redirects from https to http")
            target = onward
        raise ExchangeFailed(f"it redirects more than {self._limits.redirects} times", Stage.ANSWERED, reply.status)

    async def close(self) -> None:
        """Closes all connections."""
        await self._transport.aclose()

    def _end(self, deadline: float | None) -> float:
        """Returns when an exchange that begins now must be over, by the clock."""
        end = self._clock() + self._limits.exchange_seconds
        return end if deadline is None else min(end, deadline)

    def _target(self, url: str) -> httpx.URL:
        """Returns a URL that may be asked. Raises OriginRefused."""
        try:
            target = parse_url(url)
        except ValueError as error:
            raise OriginRefused(f"the URL {error}") from None
        origin = Origin.of(target)
        if origin not in self._private and not self._allowed(origin):
            raise OriginRefused("the scheme, host or port of the URL is not allowed")
        return target

    async def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        secrets: Collection[SecretHeader],
        json: Any,
        content: bytes | None,
        data: Mapping[str, Any] | None,
        files: Any,
    ) -> httpx.Request:
        """Returns a request with its body read. Raises OriginRefused."""
        target = self._target(url)
        kept = {name.lower(): value for name, value in (headers or {}).items()} | OWN_HEADERS
        if json is not None:
            content = orjson.dumps(json)
            kept["content-type"] = "application/json"
        for secret in secrets:
            if Origin.of(target) not in secret.origins:
                raise OriginRefused(f"the key in {secret.header} is not for {target.host}")
            kept[secret.header.lower()] = secret.value.reveal()
        request = httpx.Request(method, target, headers=kept, content=content, data=data, files=files)
        await request.aread()
        return request

    async def _exchange(
        self, request: httpx.Request, end: float, max_bytes: int | None, is_wanted: Callable[[Reply], bool]
    ) -> Reply:
        """Sends one request and reads the answer's body if its head is wanted. Raises ExchangeFailed."""
        stage, status, seconds = Stage.NOT_SENT, None, end - self._clock()
        if seconds <= 0:
            raise ExchangeFailed("there was no time left for it", stage)
        try:
            async with asyncio.timeout(seconds), self._slots:
                stage = Stage.NOT_ANSWERED
                response = await self._transport.handle_async_request(request)
                stage, status = Stage.ANSWERED, response.status_code
                try:
                    head = self._head(response)
                    if not is_wanted(head):
                        return head
                    most = self._limits.body_bytes if max_bytes is None else max_bytes
                    return replace(head, body=await _body(response, most))
                finally:
                    # Whatever is not at its end by now, for any reason, takes its connection with it.
                    await response.aclose()
        except (TimeoutError, AddressForbidden, httpx.TransportError) as error:
            raise _failure(error, _reached(stage, request), status) from error

    def _head(self, response: httpx.Response) -> Reply:
        """Returns an answer without its body. Raises httpx.RemoteProtocolError if it is none that we can take."""
        if response.status_code < 200:
            raise httpx.RemoteProtocolError("the answer is to another question")
        # As they came: name, colon, space, value, end of line.
        if sum(len(name) + len(value) + 4 for name, value in response.headers.raw) > self._limits.header_bytes:
            raise httpx.RemoteProtocolError(f"the answer's headers are over {self._limits.header_bytes} bytes")
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise httpx.RemoteProtocolError("the answer is compressed, which was not asked for")
        return Reply(response.status_code, response.headers)


class Streamed:
    """An answer that is read while it comes. `head` has its status and headers and no body."""

    def __init__(
        self,
        head: Reply,
        response: httpx.Response,
        most: int,
        step: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self.head = head
        self._response = response
        self._most = most
        self._step = step

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yields the body as it comes. Raises ExchangeFailed."""
        assert isinstance(self._response.stream, httpx.AsyncByteStream)
        stream, size = aiter(self._response.stream), 0
        while True:
            async with self._step():
                piece = await anext(stream, None)
                size += len(piece or b"")
                if size > self._most:
                    raise httpx.RemoteProtocolError(f"the answer is over {self._most} bytes")
            if piece is None:
                return
            yield piece

    async def whole(self) -> Reply:
        """Returns the answer with the whole of its body. Raises ExchangeFailed."""
        return replace(self.head, body=b"".join([piece async for piece in self.pieces()]))


@contextmanager
def _failing(stage: Stage, status: int | None, request: httpx.Request | None) -> Iterator[None]:
    """Makes an ExchangeFailed of what goes wrong in one step."""
    try:
        yield
    except (TimeoutError, AddressForbidden, httpx.TransportError) as error:
        raise _failure(error, _reached(stage, request), status) from error


def _reached(stage: Stage, request: httpx.Request | None) -> Stage:
    """Returns how far an exchange came that ended at a stage: without a connection nothing was sent."""
    is_unsent = stage is Stage.NOT_ANSWERED and request is not None and request.extensions.get("sent") is False
    return Stage.NOT_SENT if is_unsent else stage


def _failure(error: Exception, stage: Stage, status: int | None) -> ExchangeFailed:
    """Returns what a failure of the network means, at the step that it came at."""
    match error:
        case TimeoutError():
            text = "there was no connection in time" if stage is Stage.NOT_SENT else "there was no whole answer in time"
            return ExchangeFailed(text, stage, status, cut=stage is Stage.ANSWERED)
        case AddressForbidden():
            return OriginRefused(str(error))
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return ExchangeFailed(str(error), Stage.NOT_SENT)
        case _:
            cut = stage is Stage.ANSWERED and isinstance(error, httpx.NetworkError)
            return ExchangeFailed(str(error), stage, status, cut=cut)


async def _body(response: httpx.Response, most: int) -> bytes:
    """Returns the body, which must not be over `most` bytes; what it says it will be counts too."""
    too_large = httpx.RemoteProtocolError(f"the answer is over {most} bytes")
    told = response.headers.get("content-length", "")
    if re.fullmatch(r"[0-9]{1,18}", told) and int(told) > most:
        raise too_large
    assert isinstance(response.stream, httpx.AsyncByteStream)
    chunks, size = [], 0
    async for chunk in response.stream:
        size += len(chunk)
        if size > most:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def _is_ok(reply: Reply) -> bool:
    return 200 <= reply.status < 300


def _is_redirect(reply: Reply) -> bool:
    return 300 <= reply.status < 400


def _host(url: str) -> str:
    try:
        return Origin.of(url).host
    except ValueError:
        return ""
