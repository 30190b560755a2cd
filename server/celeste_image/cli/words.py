"""Facts in words, for commands: the values that a model's parameter accepts, amounts of money, costs."""

from decimal import Decimal
from typing import Any

from celeste_image.core.card import (
    BoolRange,
    ChoiceRange,
    ImageRange,
    IntegerRange,
    NumberRange,
    ParameterRange,
    SizeRange,
    TextRange,
)
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.money import Cost, Money

__all__ = ["accepts", "amount_in_words", "cost_in_words", "entry_cost_in_words", "money_in_words"]


def accepts(known: ParameterRange) -> str:
    """Returns the values that a parameter accepts, in words."""
    match known:
        case TextRange():
            words = [f"text, to {known.max_length:,} characters" if known.max_length else "text"]
            return "; ".join(words + _default(known.default))
        case IntegerRange() | NumberRange():
            words = [_between(known.minimum, known.maximum)]
            if isinstance(known, IntegerRange) and known.multiple_of:
                words.append(f"multiples of {known.multiple_of}")
            return "; ".join(words + _default(known.default))
        case BoolRange():
            return "; ".join(["true, false", *_default(None if known.default is None else str(known.default).lower())])
        case ChoiceRange():
            choices = ", ".join(known.values) or "a word"
            several = [f"up to {known.maximum_count}"] if known.maximum_count > 1 else []
            other = ["or another word"] if known.allow_other and known.values else []
            return "; ".join([choices, *other, *several, *_default(known.default)])
        case ImageRange():
            all_types = set(known.media_types) == set(IMAGE_TYPES)
            types = "any image" if all_types else ", ".join(known.media_types)
            most = f"; at most {known.maximum_count}" if known.maximum_count > 1 else ""
            return f"{types}; to {known.maximum_megapixels:g} megapixels{most}"
        case SizeRange():
            return _size(known)


def _size(known: SizeRange) -> str:
    if known.sizes:
        return ", ".join(f"{width}x{height}" for width, height in known.sizes)
    if known.ratios:
        return "ratios " + ", ".join(known.ratios)
    area = f"to {known.maximum_megapixels:g} megapixels"
    if known.minimum_megapixels:
        area = f"{known.minimum_megapixels:g} {area}"
    words = [f"sides {known.minimum_side} to {known.maximum_side}", area]
    if known.multiple_of > 1:
        words.append(f"multiples of {known.multiple_of}")
    if known.default_width:
        words.append(f"default {known.default_width}x{known.default_height}")
    return "; ".join(words)


def _between(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return "a number" if least is None else f"{least:,} or more"
    return f"{least:,} to {most:,}"


def _default(value: Any) -> list[str]:
    return (
        [] if value in (None, "") else [f"default {value:,}" if isinstance(value, int | float) else f"default {value}"]
    )


def money_in_words(money: Money) -> str:
    """Returns an amount with its currency."""
    return f"{amount_in_words(money)} {money.currency_code}"


def amount_in_words(money: Money) -> str:
    """Returns an amount without its currency: all its digits, and two after the point at least."""
    whole, _, part = f"{Decimal(money.nanos) / 10**9:.9f}".rstrip("0").partition(".")
    return f"{whole}.{part:0<2}"


def cost_in_words(cost: Cost) -> str:
    """Returns what has to be paid, and how many calls have an unknown price."""
    words = [money_in_words(cost.settled)] if cost.settled else []
    if cost.unpriced_calls:
        words.append(f"{cost.unpriced_calls} of unknown price")
    return ", ".join(words) or "unknown"


def entry_cost_in_words(cost: Cost | None) -> str:
    """Returns what one call costs or, of an uncertain call, may cost."""
    if cost is None:
        return "-"
    if cost.uncertain and cost.uncertain.nanos:
        return f"up to {money_in_words(cost.uncertain)}"
    return "unknown" if cost.unpriced_calls else cost_in_words(cost)
