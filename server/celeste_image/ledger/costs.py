"""Costs and billed quantities of calls as the columns have them, and their exact sums."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from celeste_image.core.money import Cost, CostBasis, Money, Quantity

__all__ = ["BASIS_RANKS", "BilledSum", "CostSum", "billed_of"]

BASIS_RANKS = (CostBasis.UNSPECIFIED, CostBasis.REPORTED, CostBasis.CALCULATED, CostBasis.ESTIMATED)
"""The origins of amounts, the surest first. Of a sum, the last one counts."""


@dataclass(frozen=True, slots=True)
class CostSum:
    """Sums over calls in one currency, in nanos.

    Attributes:
        currency: The currency; empty for calls without a price.
        settled: Sum of the known amounts of settled calls; None if none is known.
        uncertain: Sum of the known amounts of the other calls; None if none is known.
        basis: Index in BASIS_RANKS of the least certain settled amount.
        settled_calls: Number of settled calls.
        other_calls: Number of the other calls.
        unpriced_calls: Number of calls whose amount is unknown.
    """

    currency: str
    settled: int | None
    uncertain: int | None
    basis: int
    settled_calls: int
    other_calls: int
    unpriced_calls: int

    def cost(self) -> Cost | None:
        """Returns the cost; None if all calls are known to cost nothing, and in no currency.

        Without calls of a kind, the amount of this kind is 0.
        """
        if not self.currency:
            return Cost(unpriced_calls=self.unpriced_calls) if self.unpriced_calls else None
        settled = self.settled if self.settled_calls else 0
        uncertain = self.uncertain if self.other_calls else 0
        return Cost(
            None if settled is None else Money(self.currency, settled),
            None if uncertain is None else Money(self.currency, uncertain),
            BASIS_RANKS[self.basis],
            self.unpriced_calls,
        )


def billed_of(text: str) -> tuple[Quantity, ...]:
    """Returns the quantities of a column: a JSON list of [unit, amount, model], or the object of an earlier version."""
    return tuple(Quantity(unit, float(amount), model) for unit, amount, model in _triples(text))


class BilledSum:
    """Adds up quantities without an error of rounding: a JSON number counts as the decimal that it is written as."""

    def __init__(self) -> None:
        self._amounts: dict[tuple[str, str], Fraction] = {}

    def add(self, text: str, called: str, known: str = "") -> None:
        """Adds the quantities of a column.

        Args:
            text: The column.
            called: Id of the model that was called.
            known: Id of the model that all added calls have; its own quantities then name no model.
        """
        for unit, amount, model in _triples(text):
            key = (unit, "" if (model or called) == known else model or called)
            self._amounts[key] = self._amounts.get(key, Fraction(0)) + Fraction(amount)

    def quantities(self) -> tuple[Quantity, ...]:
        """Returns the sums, by unit and model."""
        found = sorted(self._amounts.items())
        return tuple(Quantity(unit, float(amount), model) for (unit, model), amount in found)


def _triples(text: str) -> Iterable[tuple[str, Decimal, str]]:
    found = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    if isinstance(found, dict):
        return ((unit, amount, "") for unit, amount in found.items())
    return ((unit, amount, model or "") for unit, amount, model in found)
