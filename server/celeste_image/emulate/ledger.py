"""The ledger: what emulated vendors were asked, with which key, and what they would have charged for it."""

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
    """Returns what stands for a key in the ledger: eight hexadecimal digits of its SHA-256; empty for no key."""
    return hashlib.sha256(key.encode()).hexdigest()[:8] if key else ""


@dataclass(slots=True)
class Entry:
    """One exchange.

    Attributes:
        provider: Which vendor was asked.
        method: Of HTTP.
        path: Without the query.
        at: When it came, ISO 8601.
        stage: What it is: `call` for one that may cost, `poll`, `fetch` of a result, `check` of a key.
        key: The fingerprint of the key that came with it.
        model: The model or service asked for.
        job: The job that it made or asked about.
        request_bytes: Of the body.
        response_bytes: Of the body, as far as it was sent.
        status: Of the answer; 0 when there was none.
        images: How many were made.
        charged: What was charged, in US dollars.
        behavior: The directive that it came with.
        ignored: Fields of the request that the vendor does not know.
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

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON values; money as text."""
        return asdict(self) | {"charged": str(self.charged), "ignored": list(self.ignored)}


class Ledger:
    """Entries in the order of their beginnings; `on_end` hears of each when it is over."""

    def __init__(self, on_end: Callable[[Entry], None] = lambda entry: None) -> None:
        self.entries: list[Entry] = []
        self.on_end = on_end

    def of(self, provider: str, stage: str = "") -> list[Entry]:
        """Returns a vendor's entries, all of them or those of one stage."""
        return [entry for entry in self.entries if entry.provider == provider and stage in ("", entry.stage)]

    def charged(self, provider: str = "") -> Decimal:
        """Returns what a vendor charged, or all of them together, in US dollars."""
        return sum((e.charged for e in self.entries if provider in ("", e.provider)), Decimal(0))

    def clear(self) -> None:
        """Begins anew."""
        self.entries.clear()


def list_price(card: ModelCard, kind: OperationKind, images: int, megapixels: float, tokens: int = 0) -> Decimal:
    """Returns what images cost by the catalog, in US dollars: by the image, else by the megapixel, else by tokens.

    The first price counts whose conditions do not name another operation, so it is a list price to compare sums by,
    not an invoice. 0 where the catalog has no price.

    Args:
        card: The model.
        kind: What was done.
        images: How many were made.
        megapixels: How large they are together.
        tokens: How many tokens of output they took.
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
