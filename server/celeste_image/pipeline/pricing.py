"""Pricing: the cost of one call, from what its provider named or counted, or else from what it made, and the prices.

The first of these that has an answer counts:

    reported     the provider named the amount: in a currency, or in credits with a price
    calculated   each quantity that the provider counted, times its price
    estimated    each image that was made, times the price for its operation, size, quality and so on

An amount that needs a price, or a fact, that nobody knows is unknown: None, never 0. The arithmetic is in fractions.
The sum of a call is rounded once, half up, to a billionth of the currency's unit.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from celeste_image.core.card import ChoiceRange, ModelCard, Price, SizeRange
from celeste_image.core.edits import Outpaint
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Billed, Event, Fidelity, ImageFailed, Saved
from celeste_image.core.image import DEFAULT_SIZE
from celeste_image.core.money import MOST_NANOS, Cost, CostBasis, Money, Quantity, merged
from celeste_image.core.price_rules import Conditions, conditions_in
from celeste_image.core.request import Edit, Generate, ImageRequest, Upscale

__all__ = ["Made", "cost_of", "expected_cost"]

Pixels = tuple[int, int]
"""Width and height of an image."""

CURRENCY = re.compile("[A-Z]{3}")
CREDITS = ("credit",)
"""Units in which providers name amounts of money, with a price like any unit."""
NANOS = 1_000_000_000
TIERS = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
"""Side of a square image, in pixels, by the name of an `image_size`."""
OPEN = ("", "auto")
"""Values that leave the choice to the model."""
UNDECIDED = Price("", "0")
"""Stands for a price that may hold or not: it depends on a fact that is unknown."""


class Made:
    """What one call made, and what its provider counted for it.

    Attributes:
        images: Width and height of each image that was stored, as the provider made it.
        lost: Images that were made, have to be paid, and were not stored.
        doubtful: Images that were refused, and nobody knows whether they have to be paid.
        facts: Values that the model used by itself, by the path of the field, as the provider named them.
    """

    def __init__(self) -> None:
        self.images: list[Pixels] = []
        self.lost = self.doubtful = 0
        self.facts: dict[str, str] = {}
        self._billed: list[Quantity] = []

    def add(self, event: Event) -> None:
        """Adds an event of the call."""
        match event:
            case Saved(image, original_size=original):
                self.images.append(original or (image.width, image.height))
            case Billed(counted):
                self._billed += counted
            case ImageFailed(error=error):
                self.lost += error.metadata.get("owed") == "true"
                self.doubtful += error.metadata.get("owed") == "unknown"
            case Fidelity(line) if isinstance(line.measured, str):
                self.facts[line.path] = line.measured

    @property
    def billed(self) -> tuple[Quantity, ...]:
        """The quantities, one per unit and model."""
        return merged(self._billed)

    def owed(self, error: CelesteError) -> bool | None:
        """Returns whether a call that ended with an error has to be paid; None if nobody knows."""
        owed = error.metadata.get("owed", "")
        if owed == "unknown" or (error.reason == "OUTCOME_UNKNOWN" and owed != "false"):
            return None
        return {"true": True, "false": False}.get(owed, bool(self.images))


def expected_cost(card: ModelCard, request: ImageRequest) -> Cost:
    """Returns the cost of a call that is about to be sent, as if it succeeded; see `cost_of`."""
    return cost_of(card, request, Made(), None)


def cost_of(
    card: ModelCard,
    request: ImageRequest,
    made: Made,
    owed: bool | None,
    cards: Mapping[str, ModelCard] | None = None,
) -> Cost:
    """Returns the cost of one call.

    Args:
        card: The model.
        request: The request that the model was given.
        made: What the call made. Nothing made and nothing counted means that it is priced as if it succeeded.
        owed: Whether the call has to be paid; None if its outcome is unknown, or it has not ended.
        cards: The models, by id, for quantities that were counted for another model.
    """
    if owed is False:
        code = card.prices[0].currency if card.prices else "USD"
        return Cost(Money(code, 0), basis=CostBasis.CALCULATED)
    basis, amount = _named(card, request, made, cards or {})
    doubt: Money | None = None
    if basis is CostBasis.ESTIMATED:
        known: list[Pixels | None] = [*made.images, *[None] * made.lost]
        asked = max(1, request.count) if isinstance(request, Generate | Edit) else 1
        if owed is None:
            known += [None] * max(made.doubtful, asked - len(known))
        elif not known:
            known = [None] * (asked - made.doubtful)
        amount = _estimated(card, request, known, made.facts)
        if owed and made.doubtful:
            doubt = _estimated(card, request, [None] * made.doubtful, made.facts)
    if amount is None:
        return Cost(uncertain=doubt, unpriced_calls=1)
    return Cost(uncertain=amount) if owed is None else Cost(amount, doubt, basis)


def nanos_of(amount: Fraction) -> int | None:
    """Returns an amount in billionths, rounded half up; None if it is too large for the contract."""
    nanos = (amount * NANOS + Fraction(1, 2)).__floor__()
    return nanos if nanos <= MOST_NANOS else None


def _named(
    card: ModelCard, request: ImageRequest, made: Made, cards: Mapping[str, ModelCard]
) -> tuple[CostBasis, Money | None]:
    """Returns the amount that the provider named or that follows from what it counted; ESTIMATED if neither is so."""
    billed = made.billed
    if named := [each for each in billed if CURRENCY.fullmatch(each.unit)]:
        return CostBasis.REPORTED, _money((each.unit, _exact(each.amount)) for each in named)
    in_credits = [each for each in billed if each.unit in CREDITS]
    parts = []
    for each in in_credits or billed:
        other = cards.get(each.model) if each.model and each.model != card.id else card
        price = _price_of(other, request, each.unit, made.facts) if other else None
        if price is None:
            return CostBasis.ESTIMATED, None
        parts.append((price.currency, _exact(each.amount) * _rate(price)))
    basis = CostBasis.REPORTED if in_credits else CostBasis.CALCULATED
    return (basis, _money(parts)) if parts else (CostBasis.ESTIMATED, None)


def _price_of(card: ModelCard, request: ImageRequest, unit: str, facts: Mapping[str, str]) -> Price | None:
    """Returns the price of a unit that was counted; None if there is none, or nobody knows which one it is."""
    price = _matching(card, request, unit, None, facts)
    if price is None and unit == "input_token" and not any(request.images()):
        price = _matching(card, request, "input_text_token", None, facts)  # without images, all that is put in is text
    return None if price is UNDECIDED else price


def _estimated(
    card: ModelCard, request: ImageRequest, images: Sequence[Pixels | None], facts: Mapping[str, str]
) -> Money | None:
    """Returns the price of images; None if it is unknown. Without its size, an image has the size of the request."""
    parts: list[tuple[str, Fraction]] = []
    for index, each in enumerate(images):
        pixels = each or _asked_size(card, request)
        prices = {unit: _matching(card, request, unit, pixels, facts) for unit in ("image", "megapixel")}
        if UNDECIDED in prices.values() or not any(prices.values()):
            return None
        if price := prices["image"]:
            parts.append((price.currency, _rate(price)))
        if price := prices["megapixel"]:
            conditions = conditions_in(price.when)
            inputs = _input_megapixels(request, conditions) if index == 0 else Fraction(0)
            if pixels is None or inputs is None:
                return None
            count = conditions.megapixels(pixels[0] * pixels[1]) + inputs
            parts.append((price.currency, count * _rate(price)))
    return _money(parts)


def _matching(
    card: ModelCard, request: ImageRequest, unit: str, pixels: Pixels | None, facts: Mapping[str, str]
) -> Price | None:
    """Returns the first price of a unit whose conditions hold: UNDECIDED if one may hold, None if none does."""
    for price in card.prices:
        if price.unit == unit:
            conditions = conditions_in(price.when)
            values = {name: _value(card, request, name, pixels, facts) for name in conditions.fields}
            if (holds := conditions.holds(request.kind, values)) is not False:
                return price if holds else UNDECIDED
    return None


def _value(
    card: ModelCard, request: ImageRequest, name: str, pixels: Pixels | None, facts: Mapping[str, str]
) -> str | None:
    """Returns the value of a field that a price depends on; None if the model chose it and nobody said how."""
    option = f'options.provider_options["{card.provider}"].{name}'
    size = pixels or _asked_size(card, request)
    if name == "size":
        return f"{size[0]}x{size[1]}" if size else None
    told = facts.get(name) or facts.get(option)
    given = request.options.provider_options.get(card.provider, {}).get(name) or getattr(request, name, "")
    if (value := str(told or given)) not in OPEN:
        return value
    known = card.parameter(request.kind, name) or card.parameter(request.kind, option)
    if not known or not isinstance(known.range, ChoiceRange):
        return None
    if name == "image_size" and size:
        area = size[0] * size[1]
        offered = [word for word in known.range.values if word in TIERS]
        return min(offered, key=lambda word: max(area / TIERS[word] ** 2, TIERS[word] ** 2 / area), default=None)
    return known.range.default if known.range.default not in OPEN else None


def _asked_size(card: ModelCard, request: ImageRequest) -> Pixels | None:
    """Returns the size of an image that a request asks for; None if the model chooses it."""
    size = request.size if isinstance(request, Generate | Edit | Upscale) else DEFAULT_SIZE
    if size.width and size.height:
        return size.width, size.height
    known = card.parameter(request.kind, "size")
    if isinstance(request, Generate) and not size and known and isinstance(known.range, SizeRange):
        default = known.range.default_width, known.range.default_height
        return default if all(default) else None
    if isinstance(request, Upscale) and request.factor and request.image.facts:
        facts, factor = request.image.facts, request.factor
        return round(facts.width * factor), round(facts.height * factor)
    if isinstance(request, Edit) and not size and request.image.facts:
        facts, grown = request.image.facts, request.edit if isinstance(request.edit, Outpaint) else Outpaint()
        return facts.width + grown.left + grown.right, facts.height + grown.top + grown.bottom
    return None


def _input_megapixels(request: ImageRequest, conditions: Conditions) -> Fraction | None:
    """Returns how many megapixels of the images of a request count; None if a size is unknown."""
    if not conditions.with_inputs:
        return Fraction(0)
    counted = Fraction(0)
    for path, image in request.images():
        if "mask" not in path:
            if not image.facts:
                return None
            counted += conditions.megapixels(image.facts.width * image.facts.height, is_input=True)
    return counted


def _exact(amount: float) -> Fraction:
    """Returns a number as it is written in decimals: 4.05 is 405/100."""
    return Fraction(Decimal(repr(amount)))


def _rate(price: Price) -> Fraction:
    """Returns the price of one unit."""
    return Fraction(Decimal(price.amount)) / price.per


def _money(parts: Iterable[tuple[str, Fraction]]) -> Money | None:
    """Returns the sum of amounts with their currencies; None if there are several currencies, or it is too large."""
    listed = list(parts)
    codes = {code for code, _ in listed}
    nanos = nanos_of(sum((amount for _, amount in listed), Fraction(0)))
    return Money(codes.pop(), nanos) if len(codes) == 1 and nanos is not None else None
