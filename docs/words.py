"""Markdown tables, and the wording of prices and model states, for the generated pages."""

from collections.abc import Iterable, Sequence

from celeste_image.core.card import ModelCard, Price

__all__ = ["price", "state", "table", "unit_of"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table and a blank line. Pipes in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines] + [""]


def price(price: Price) -> str:
    """Returns a price in words: amount, currency, unit, condition."""
    return f"{price.amount} {price.currency} per {unit_of(price)}{f' ({price.when})' if price.when else ''}"


def unit_of(price: Price) -> str:
    """Returns the unit of a price, with the number of units: `image`, `1,000,000 output_image_token`."""
    return f"{price.per:,} {price.unit}" if price.per > 1 else price.unit


def state(card: ModelCard) -> str:
    """Returns the lifecycle of a model in words: its stage, its last day, its replacement."""
    words = card.stage.value
    if card.ends_on:
        words += f", ends {card.ends_on}"
    return words + (f", then `{card.replacement}`" if card.replacement else "")
