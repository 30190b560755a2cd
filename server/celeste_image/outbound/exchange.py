"""Values of an HTTP exchange: its limits, secret headers, request, answer and failure."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

from celeste_image.core.secret import Secret
from celeste_image.outbound.json_values import json_values
from celeste_image.outbound.origins import Origin

__all__ = [
    "Arriving",
    "ExchangeFailed",
    "Limits",
    "OriginRefused",
    "Reply",
    "Request",
    "SecretHeader",
    "Sender",
    "Stage",
    "Streamed",
]

MIB = 1 << 20


@dataclass(slots=True)
class Request:
    """A request that `Http.request` has checked; nothing else makes one.

    Attributes:
        method: The HTTP method.
        url: The URL as it is sent.
        origin: The URL's origin.
        headers: The headers, by names in lower case. The transport adds `host` and `content-length`.
        content: The body.
        sent: Whether a byte may have been sent. A transport that can tell sets it to False first.
    """

    method: str
    url: str = field(repr=False)
    origin: Origin
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(default=b"", repr=False)
    sent: bool = True


@dataclass(slots=True)
class Arriving(ABC):
    """An answer whose body is still to be read; each transport has its own.

    Attributes:
        status: The HTTP status.
        headers: The headers; names in any case find them.
        header_bytes: Size of the headers on the wire.
        encoding: The header `content-encoding`, several of them joined by commas; empty without one.
    """

    status: int
    headers: Mapping[str, str]
    header_bytes: int
    encoding: str

    @abstractmethod
    def ready(self) -> bytes:
        """Returns the bytes of the body that have arrived, without waiting; empty before the next arrives."""

    @abstractmethod
    async def more(self) -> bytes:
        """Waits for more of the body and returns it; empty at the end. Raises httpx's errors."""

    @abstractmethod
    async def aclose(self) -> None:
        """Ends the exchange. The connection is closed unless the body was read to its end."""


class Sender(Protocol):
    """Sends the requests of `Http`: `Connections`, or an adapter."""

    async def send(self, request: Request) -> Arriving:
        """Sends a request. Raises httpx's errors and AddressForbidden."""
        ...

    async def aclose(self) -> None:
        """Closes all connections."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one exchange; `exchanges` is the number of exchanges at a time, further ones wait.

    By default that number is no limit: a provider's `concurrency` limits its calls, where a caller sees the queue.
    """

    exchange_seconds: float = 300.0
    connect_seconds: float = 5.0
    header_bytes: int = 32 << 10
    body_bytes: int = 64 * MIB
    redirects: int = 3
    exchanges: int = 1 << 20


class Stage(Enum):
    """How far an exchange came. The stage says what sending the request again may cost."""

    NOT_SENT = "not sent"
    NOT_ANSWERED = "sent, not answered"
    """The request may have been processed, and paid for."""
    ANSWERED = "answered"
    """The status is known; the rest of the answer was invalid, too large or late."""


class ExchangeFailed(Exception):
    """The answer is missing or not usable. The text is for people; it has no address, path, query or header.

    `cut` says that the connection or the time ended within an answer: the same request may succeed later.
    """

    def __init__(self, text: str, stage: Stage, status: int | None = None, *, cut: bool = False) -> None:
        super().__init__(text)
        self.stage = stage
        self.status = status
        self.cut = cut


class OriginRefused(ExchangeFailed):
    """The request was not sent: the URL's scheme, host or address is not allowed, or a key is not for its origin."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Stage.NOT_SENT)


@dataclass(frozen=True, slots=True)
class SecretHeader:
    """A header that holds a key, and the only origins that the key is sent to.

    Raises:
        ValueError: A header can't hold the value.
    """

    header: str
    value: Secret
    origins: frozenset[Origin]

    def __post_init__(self) -> None:
        # Checked here because the error of a library would quote the key.
        text = self.value.reveal()
        if not (text.isascii() and text.isprintable()):
            raise ValueError(f"the value of {self.header} has characters that a header can't hold")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of any status. `headers` ignores the case of names; `body` is complete, or empty if it was not read."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)

    @property
    def media_type(self) -> str:
        """The media type in lower case without parameters; empty if the answer has no `content-type`."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def is_of(self, types: Collection[str]) -> bool:
        """Returns whether the media type begins with one of `types`; an empty one stands for a missing media type."""
        name = self.media_type
        return any(name.startswith(kind) if kind else not name for kind in types)

    def json(self, *, max_values: int = 100_000, max_depth: int = 64) -> Any:
        """Returns the body as JSON, read leniently; of several values the first: see `json_values`.

        Raises:
            ExchangeFailed: The body is not JSON, or has more or deeper values than allowed.
        """
        try:
            return json_values(self.body, max_values=max_values, max_depth=max_depth)[0]
        except ValueError:
            raise ExchangeFailed("the answer is not JSON, or too much of it", Stage.ANSWERED, self.status) from None


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that is read as it arrives.

    Attributes:
        head: Its status and headers; the body is empty.
        pieces: Its body, which can be read once. Reading raises ExchangeFailed.
    """

    head: Reply
    pieces: AsyncGenerator[bytes, None]

    async def whole(self) -> Reply:
        """Returns the complete answer. Raises ExchangeFailed."""
        return replace(self.head, body=b"".join([piece async for piece in self.pieces]))
