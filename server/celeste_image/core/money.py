"""Money: amounts, costs and billed quantities as exact values."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Cost", "CostBasis", "Money", "Quantity"]


class CostBasis(StrEnum):
    """Origin of a settled amount, the surest first; see `CostBasis` in `money.proto`."""

    UNSPECIFIED = "unspecified"
    REPORTED = "reported"
    CALCULATED = "calculated"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of money, never negative.

    Attributes:
        currency_code: ISO 4217 code of the currency, three capital letters.
        nanos: Billionths of one unit of the currency.
    """

    currency_code: str
    nanos: int


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of units that a provider counted for its bill.

    Attributes:
        unit: Unit, as in the price rules: `image`, `output_image_token` and so on.
        amount: Number of units.
        model: Id of the model that this was counted for; empty for the model that was called.
    """

    unit: str
    amount: float
    model: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of work in one currency.

    Attributes:
        settled: Amount that has to be paid for work that has ended; None is unknown, and never 0.
        uncertain: Amount that may have to be paid as well; None is unknown.
        basis: Origin of `settled`; of a sum, the least certain one.
        unpriced_calls: Calls whose amount is unknown; the amounts are without them.
    """

    settled: Money | None = None
    uncertain: Money | None = None
    basis: CostBasis = CostBasis.UNSPECIFIED
    unpriced_calls: int = 0
