"""HTTP connections: aiohttp, with the address check in its sockets.

The package `httpx-aiohttp` is not used: it quotes the path and the query of a URL again (which breaks signatures),
reports a connection lost after the request as a failed connect, and reads in pieces of 16 KiB.
"""

import asyncio
import io
import socket
import ssl
from collections.abc import Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from yarl import URL

from celeste_image.outbound.addresses import AddressForbidden, check_address
from celeste_image.outbound.exchange import Arriving, Request
from celeste_image.outbound.origins import Origin

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

__all__ = ["Connections"]

MIB = 1 << 20
PIECE_BYTES = 64 << 10
"""A longer body is sent in pieces of this size, so that other calls go on meanwhile."""
AHEAD_BYTES = 64 << 10
"""aiohttp's buffer for a body that nobody reads yet, since there is no memory for it. It takes up to twice as much."""
READ_BYTES = MIB
"""The same once somebody reads. 64 KiB would cost a third more CPU for a large image."""
FIELD_BYTES = 8 << 10
FIELDS = 128
"""Most header fields of an answer, and most bytes of each: aiohttp holds them before `Http` can count them."""
OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add by itself."""

_sending: ContextVar[Request] = ContextVar("_sending")
"""The request that the current task sends. aiohttp tells its connector nothing of it."""


class Connections:
    """Sends requests and keeps connections alive. Proxies, cookies, redirects and decompression are all off.

    Raises httpx's errors and AddressForbidden. ConnectError and ConnectTimeout mean that nothing was sent.
    `Request.sent` is for callers that stop waiting earlier.
    """

    def __init__(
        self,
        *,
        private: Collection[Origin] = (),
        connect_seconds: float = 5.0,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
        open_socket: Callable[[int, int, int], socket.socket] = socket.socket,
    ) -> None:
        """Opens no connection yet.

        Args:
            private: Origins from the operator's configuration that may be on this machine or network.
            connect_seconds: Timeout for name resolution, connection and TLS together.
            tls: The trusted certificates; the system's by default.
            resolver: Resolves host names; the system's resolver by default.
            open_socket: Makes a socket from family, type and protocol; called after the address check.
        """
        self._private = frozenset(private)
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_seconds)
        self._tls = tls
        self._resolver = resolver
        self._open_socket = open_socket
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def send(self, request: Request) -> Arriving:
        """Sends a request. Closing the answer before the end of its body closes its connection."""
        request.sent = False
        token = _sending.set(request)
        content = request.content
        try:
            answer = await self._session(private=request.origin in self._private).request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=io.BytesIO(content) if len(content) > PIECE_BYTES else content or None,
                allow_redirects=False,
            )
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressForbidden):
                raise error.os_error from None
            raise httpx.ConnectError(_why(error)) from error
        except aiohttp.InvalidURL as error:
            raise httpx.ConnectError("the URL is not valid") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise httpx.ConnectTimeout("timed out before the connection was made") from error
        except aiohttp.ClientResponseError as error:
            raise httpx.RemoteProtocolError("the answer is not valid HTTP, or its headers are too large") from error
        except aiohttp.ClientError as error:
            raise httpx.ReadError("the connection was closed before an answer came") from error
        finally:
            _sending.reset(token)
        encoding = ", ".join(answer.headers.getall("content-encoding", ()))
        # As on the wire: name, colon, space, value, end of line.
        header_bytes = sum(len(name) + len(value) + 4 for name, value in answer.raw_headers)
        return _Answer(answer.status, answer.headers, header_bytes, encoding, answer)

    async def aclose(self) -> None:
        """Closes all connections."""
        while self._sessions:
            await self._sessions.popitem()[1].close()

    def _session(self, *, private: bool) -> aiohttp.ClientSession:
        """Returns the session for the operator's own hosts, or the one for all others: they share no connections."""
        if private not in self._sessions:
            connector = _Connector(
                limit=0,
                resolver=self._resolver,
                use_dns_cache=False,
                socket_factory=partial(self._checked_socket, private),
                ssl=self._tls or _tls(),
            )
            self._sessions[private] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                trust_env=False,
                auto_decompress=False,
                skip_auto_headers=OWN_HEADERS,
                read_bufsize=AHEAD_BYTES,
                max_line_size=FIELD_BYTES,
                max_field_size=FIELD_BYTES,
                max_headers=FIELDS,
            )
        return self._sessions[private]

    def _checked_socket(self, private: bool, info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        # The last step before `connect`, with the very address that `connect` gets: no name is resolved in between.
        family, kind, protocol, _, address = info
        check_address(address[0], private=private)
        return self._open_socket(family, kind, protocol)


class _Connector(aiohttp.TCPConnector):
    """Discards a kept connection with unrequested data, and a connection whose request was not fully sent."""

    async def connect(
        self, req: "ClientRequest", traces: list["Trace"], timeout: aiohttp.ClientTimeout
    ) -> "Connection":
        # aiohttp checks only when a connection is returned. Data that arrives later would answer the next request,
        # which may be another caller's.
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                connection.add_callback(partial(_drop_unsent, connection.transport))
                _sending.get().sent = True  # aiohttp writes next, without waiting
                return connection
            connection.close()


@dataclass(slots=True)
class _Answer(Arriving):
    _answer: aiohttp.ClientResponse

    def ready(self) -> bytes:
        content = self._answer.content
        return b"" if content.exception() else content.read_nowait()

    async def more(self) -> bytes:
        self._answer.content.set_read_chunk_size(READ_BYTES)
        try:
            return await self._answer.content.readany()
        except aiohttp.ClientError as error:
            raise httpx.ReadError("the connection was closed in the middle of the answer") from error

    async def aclose(self) -> None:
        # After the end of the body this has no effect: the connection was returned already.
        self._answer.close()


def _drop_unsent(transport: asyncio.Transport | None) -> None:
    """Aborts a returned connection if a part of the request is unsent: `close` would wait until the host reads it."""
    if transport is not None and transport.get_write_buffer_size():
        transport.abort()


@cache
def _tls() -> ssl.SSLContext:
    """Returns the TLS settings that all connections share: reading the system's certificates takes 0.03 s."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _why(error: aiohttp.ClientConnectorError) -> str:
    """Returns why the connection failed, without addresses."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name has no address"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed; is the certificate valid for this host?"
    return "the connection was refused or failed"
