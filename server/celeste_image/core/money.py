"""Money: amounts in billionths of a currency's unit, costs of calls, and the quantities that they are computed from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

__all__ = ["MOST_NANOS", "Cost", "CostBasis", "Money", "Quantity", "merged", "quantities", "total"]

DIGITS = 9
"""Decimal places of an amount: nanos."""
MOST_NANOS = (1 << 63) - 1
"""The largest amount of the contract and of the ledger."""


class CostBasis(StrEnum):
    """Origin of a settled amount; see `CostBasis` in `money.proto`. The order is that of certainty, the best first."""

    UNSPECIFIED = "unspecified"
    REPORTED = "reported"
    CALCULATED = "calculated"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of money, never negative.

    Attributes:
        currency_code: ISO 4217 code, three capital letters.
        nanos: Billionths of one unit of the currency.
    """

    currency_code: str
    nanos: int

    def __str__(self) -> str:
        """Returns the amount without trailing zeros, and the currency: `0.04 USD`."""
        return f"{Decimal(self.nanos).scaleb(-DIGITS).normalize():f} {self.currency_code}"


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one call or of several, in one currency.

    Attributes:
        settled: Amount that has to be paid for work that has ended; None is unknown.
        uncertain: Amount that may have to be paid as well: the work has not ended, or its outcome is unknown. None if
            there is no such work, or its amount is unknown.
        basis: Origin of `settled`; of a sum, the least certain one.
        unpriced_calls: Calls whose amount is unknown. The amounts are without them.
    """

    settled: Money | None = None
    uncertain: Money | None = None
    basis: CostBasis = CostBasis.UNSPECIFIED
    unpriced_calls: int = 0

    @property
    def currency_code(self) -> str:
        """The currency of the amounts; empty if no amount is known."""
        known = self.settled or self.uncertain
        return known.currency_code if known else ""

    @property
    def is_nothing(self) -> bool:
        """Whether it is known that nothing has to be paid."""
        return not self.unpriced_calls and not any(each and each.nanos for each in (self.settled, self.uncertain))


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of units that a provider counted for its bill.

    Attributes:
        unit: Unit, as in `Price.unit`: `image`, `output_image_token`, `credit`. A currency's code is money itself.
        amount: Number of units.
        model: Id of the model that this was counted for; empty for the model that was called.
    """

    unit: str
    amount: float
    model: str = ""


def quantities(amounts: Mapping[str, float], model: str = "") -> tuple[Quantity, ...]:
    """Returns amounts by unit as quantities of a model; an empty id means the model that was called."""
    return tuple(Quantity(unit, amount, model) for unit, amount in amounts.items())


def merged(counted: Iterable[Quantity]) -> tuple[Quantity, ...]:
    """Returns quantities added up, one per unit and model. Decimal fractions add up exactly: 0.1 and 0.2 are 0.3."""
    sums: dict[tuple[str, str], Decimal] = {}
    for each in counted:
        key = each.unit, each.model
        sums[key] = sums.get(key, Decimal(0)) + Decimal(repr(each.amount))
    return tuple(Quantity(unit, float(amount), model) for (unit, model), amount in sums.items())


def total(costs: Iterable[Cost]) -> tuple[Cost, ...]:
    """Returns costs added up, one per currency, in the order of the currencies' codes.

    Calls whose amount is unknown are counted in the first one. Costs of nothing are left out.
    """
    sums: dict[str, Cost] = {}
    unpriced = 0
    for cost in costs:
        unpriced += cost.unpriced_calls
        for code in {each.currency_code for each in (cost.settled, cost.uncertain) if each}:
            sums[code] = _added(sums.get(code, Cost()), cost, code)
    found = [sums[code] for code in sorted(sums) if not sums[code].is_nothing]
    if unpriced:
        first = found[0] if found else Cost()
        found[:1] = [Cost(first.settled, first.uncertain, first.basis, unpriced)]
    return tuple(found)


def _added(one: Cost, other: Cost, code: str) -> Cost:
    """Returns a cost with the amounts of another one in a currency. An amount of 0 says nothing about the basis."""
    settled, uncertain = (
        _sum(mine, theirs if theirs and theirs.currency_code == code else None)
        for mine, theirs in ((one.settled, other.settled), (one.uncertain, other.uncertain))
    )
    order = list(CostBasis)
    bases = [each.basis for each in (one, other) if each.settled and each.settled.nanos]
    basis = max(bases, key=order.index) if bases else max(one.basis, other.basis, key=order.index)
    return Cost(settled, uncertain, basis)


def _sum(one: Money | None, other: Money | None) -> Money | None:
    if one is None or other is None:
        return one or other
    return Money(one.currency_code, min(MOST_NANOS, one.nanos + other.nanos))
