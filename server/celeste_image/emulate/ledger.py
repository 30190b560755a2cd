"""Ledger: the requests to fake vendors, with key fingerprints and prices."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from celeste_image.core.card import ModelCard, Price
from celeste_image.core.request import OperationKind

__all__ = ["Entry", "Ledger", "fingerprint", "list_price"]


def fingerprint(key: str) -> str:
    """Returns the fingerprint of a key: eight hexadecimal digits of its SHA-256; empty for no key."""
    return hashlib.sha256(key.encode()).hexdigest()[:8] if key else ""


@dataclass(slots=True)
class Entry:
    """A request and its answer.

    Attributes:
        provider: The vendor.
        method: HTTP method.
        path: URL path without the query.
        at: When the request arrived, ISO 8601.
        stage: `call` for a request that may cost money, `poll`, `fetch` of a result, `check` of a key or model, `file`,
            `webhook`, or `unknown` for a path or method that the API does not have.
        key: Fingerprint of the request's key.
        model: The requested model or service.
        job: The job that the request created or polled.
        request_bytes: Size of the request's body.
        response_bytes: Size of the answer's body, as far as it was sent.
        status: HTTP status; 0 without an answer.
        images: How many images were made.
        charged: Price in US dollars.
        behavior: The request's directive.
        ignored: Fields of the request that the vendor ignores.
        traceparent: The trace that the request belongs to: the header of this name, empty without one.
    """

    provider: str
    method: str
    path: str
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    stage: str = "call"
    key: str = ""
    model: str = ""
    job: str = ""
    request_bytes: int = 0
    response_bytes: int = 0
    status: int = 0
    images: int = 0
    charged: Decimal = Decimal(0)
    behavior: str = ""
    ignored: Sequence[str] = ()
    traceparent: str = ""

    def as_json(self) -> dict[str, Any]:
        """Returns the entry as JSON values; the price is text."""
        return asdict(self) | {"charged": str(self.charged), "ignored": list(self.ignored)}


class Ledger:
    """Entries in order of arrival; `on_end` is called with each entry after its answer."""

    def __init__(self, on_end: Callable[[Entry], None] = lambda entry: None) -> None:
        self.entries: list[Entry] = []
        self.on_end = on_end

    def of(self, provider: str, stage: str = "") -> list[Entry]:
        """Returns a vendor's entries, of one stage or of all."""
        return [entry for entry in self.entries if entry.provider == provider and stage in ("", entry.stage)]

    def charged(self, provider: str = "") -> Decimal:
        """Returns the total price of a vendor's calls, or of all vendors', in US dollars."""
        return sum((e.charged for e in self.entries if provider in ("", e.provider)), Decimal(0))

    def clear(self) -> None:
        """Removes all entries."""
        self.entries.clear()


def list_price(card: ModelCard, kind: OperationKind, images: int, megapixels: float, tokens: int = 0) -> Decimal:
    """Returns the catalog's price of images in US dollars: per image, else per megapixel, else per token.

    The first price whose conditions name no other operation counts. So this is a list price for comparison, not an
    invoice. It is 0 when the catalog has no price.

    Args:
        card: The model.
        kind: The operation.
        images: How many images were made.
        megapixels: Their total size.
        tokens: Their output tokens.
    """
    others = [other.value for other in OperationKind if other is not kind]
    prices = [price for price in card.prices if not any(word in price.when for word in others)]

    def first(unit: str) -> Price | None:
        return next((price for price in prices if price.unit == unit), None)

    if price := first("image"):
        return Decimal(price.amount) * images
    if price := first("megapixel"):
        return Decimal(price.amount) * Decimal(str(round(megapixels, 3)))
    if price := first("output_image_token"):
        return Decimal(price.amount) * tokens / price.per
    return Decimal(0)
