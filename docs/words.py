"""Tables of the generated pages, and what they say of prices and states."""

from collections.abc import Iterable, Sequence

from celeste_image.core.card import ModelCard, Price

__all__ = ["price", "state", "table", "unit_of"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a table, and an empty one."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines] + [""]


def price(price: Price) -> str:
    """Returns a price in words."""
    return f"{price.amount} {price.currency} per {unit_of(price)}{f' ({price.when})' if price.when else ''}"


def unit_of(price: Price) -> str:
    """Returns the unit of a price, with the number of units: `image`, `1,000,000 output_image_token`."""
    return f"{price.per:,} {price.unit}" if price.per > 1 else price.unit


def state(card: ModelCard) -> str:
    """Returns whether a model is in use, until when, and what comes after it."""
    words = card.stage.value
    if card.ends_on:
        words += f", ends {card.ends_on}"
    return words + (f", then `{card.replacement}`" if card.replacement else "")
