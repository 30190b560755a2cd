"""What an exchange over HTTP is made of: its limits, its keys, its answer, and how it fails."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from celeste_image.core.secret import Secret
from celeste_image.outbound.origins import Origin

__all__ = ["ExchangeFailed", "Limits", "OriginRefused", "Reply", "SecretHeader", "Stage"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one exchange may cost, and how many there may be at a time; the others wait."""

    exchange_seconds: float = 300.0
    connect_seconds: float = 5.0
    header_bytes: int = 32 << 10
    body_bytes: int = 64 * MIB
    redirects: int = 3
    exchanges: int = 64


class Stage(Enum):
    """How far an exchange came, which says what sending it again may cost."""

    NOT_SENT = "not sent"
    NOT_ANSWERED = "sent, not answered"
    """It may have been done, and paid for."""
    ANSWERED = "answered"
    """The status is known; what came after it was bad, too much or late."""


class ExchangeFailed(Exception):
    """There is no usable answer. The text is for people and has no address, path, query or header in it.

    `cut` says that the connection ended, or the time, within an answer: the same may come whole another time.
    """

    def __init__(self, text: str, stage: Stage, status: int | None = None, *, cut: bool = False) -> None:
        super().__init__(text)
        self.stage = stage
        self.status = status
        self.cut = cut


class OriginRefused(ExchangeFailed):
    """Nothing was sent: the URL's scheme, host or address is not allowed, or a key is not for it."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Stage.NOT_SENT)


@dataclass(frozen=True, slots=True)
class SecretHeader:
    """A header with a key in it, and the origins it is for; it is sent to no other."""

    header: str
    value: Secret
    origins: frozenset[Origin]

    def __post_init__(self) -> None:
        # Checked here, since the error of whoever else finds out has the key in it.
        text = self.value.reveal()
        if not (text.isascii() and text.isprintable()):
            raise ValueError(f"the value of {self.header} has signs that no header can hold")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of any status. `headers` finds a name in any case; `body` is whole, or empty where nobody wants it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)

    @property
    def media_type(self) -> str:
        """The type that the header names, in lower case and without parameters; empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def is_of(self, types: Collection[str]) -> bool:
        """Tells whether the media type begins with one of `types`, where an empty one stands for none named."""
        name = self.media_type
        return any(name.startswith(kind) if kind else not name for kind in types)

    def json(self, *, max_values: int = 100_000, max_depth: int = 64) -> Any:
        """Returns the body as JSON.

        Raises:
            ExchangeFailed: It isn't JSON, or its values are more or deeper than allowed: 64 MiB of `[],` would
                become 1.5 GB of objects.
        """
        nested = self.body.count(b"[") + self.body.count(b"{")
        try:
            # Counted before they are made; those inside of strings count too, so the limit is a generous one.
            if nested + self.body.count(b",") > max_values:
                raise ValueError
            value = orjson.loads(self.body)
            if nested > max_depth and _is_deeper(value, max_depth):
                raise ValueError
        except ValueError:
            raise ExchangeFailed("the answer is not JSON, or too much of it", Stage.ANSWERED, self.status) from None
        return value


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [inner for outer in level for inner in _parts(outer)]
    return bool(level)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
