"""Markdown tables, and the wording of prices and model states, for the generated pages."""

from collections.abc import Iterable, Sequence

from celeste_image.core.card import ModelCard, Price

__all__ = ["price", "state", "table"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table and a blank line. Pipes in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines] + [""]


def price(price: Price) -> str:
    """Returns a price in words: amount, currency, unit, condition."""
    return f"{price.amount} {price.currency} per {price.unit}{f' ({price.when})' if price.when else ''}"


def state(card: ModelCard) -> str:
    """Returns the lifecycle of a model in words: its state, its last day, its replacement."""
    words = card.state.value
    if card.ends_on:
        words += f", ends {card.ends_on}"
    return words + (f", then `{card.replacement}`" if card.replacement else "")
