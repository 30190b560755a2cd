"""Tables of the generated pages, and what they say of prices and states."""

from collections.abc import Iterable, Sequence

from celeste_image.core.card import ModelCard, Price

__all__ = ["price", "state", "table"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a table, and an empty one."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines] + [""]


def price(price: Price) -> str:
    """Returns a price in words."""
    return f"{price.amount} {price.currency} per {price.unit}{f' ({price.when})' if price.when else ''}"


def state(card: ModelCard) -> str:
    """Returns whether a model is in use, until when, and what comes after it."""
    words = card.state.value
    if card.ends_on:
        words += f", ends {card.ends_on}"
    return words + (f", then `{card.replacement}`" if card.replacement else "")
