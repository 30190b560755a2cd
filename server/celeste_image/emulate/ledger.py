"""Ledger: the requests to fake vendors, with key fingerprints and prices."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from celeste_image.core.card import ModelCard
from celeste_image.core.price_rules import conditions_in
from celeste_image.core.request import OperationKind

__all__ = ["Entry", "Ledger", "Work", "fingerprint", "list_price"]


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


@dataclass(frozen=True, slots=True)
class Work:
    """What a vendor did for a request, as far as its price depends on it.

    Attributes:
        sizes: Width and height of each image that was made.
        inputs: Width and height of the images of the request, without masks.
        tokens: Number of tokens by unit, such as `output_image_token`.
        facts: Values that the vendor used, by the name of the field, such as `quality`.
    """

    sizes: Sequence[tuple[int, int]] = ()
    inputs: Sequence[tuple[int, int]] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def list_price(card: ModelCard, kind: OperationKind, work: Work) -> Decimal:
    """Returns the catalog's price of some work in US dollars, as the vendor's invoice has it.

    A model with prices of tokens charges its tokens, any other one its images. Without a price in the catalog it is 0.
    """
    by_token = {price.unit: Decimal(price.amount) / price.per for price in card.prices if price.unit.endswith("_token")}
    if by_token:
        return sum((by_token.get(unit, Decimal(0)) * count for unit, count in work.tokens.items()), Decimal(0))
    charged = Decimal(0)
    for index, (width, height) in enumerate(work.sizes):
        values = {**work.facts, "size": f"{width}x{height}"}
        for unit in ("image", "megapixel"):
            listed = [(price, conditions_in(price.when)) for price in card.prices if price.unit == unit]
            matching = [(price, conditions) for price, conditions in listed if conditions.holds(kind, values)]
            for price, conditions in matching[:1]:
                counted = [conditions.megapixels(width * height)]
                if conditions.with_inputs and index == 0:
                    counted += [conditions.megapixels(across * down, is_input=True) for across, down in work.inputs]
                count = Decimal(1) if unit == "image" else _decimal(sum(counted, Fraction(0)))
                charged += Decimal(price.amount) * count
    return charged


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)
