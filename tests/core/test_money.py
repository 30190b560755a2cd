"""Money: amounts add up exactly, per currency, and what is unknown stays unknown."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import costs, quantity_lists

from celeste_image.core.money import Cost, CostBasis, Money, Quantity, merged, quantities, total

EURO = Cost(Money("EUR", 5), basis=CostBasis.REPORTED)


@given(st.lists(costs, max_size=8))
def test_a_total_is_the_sum_of_its_parts_in_each_currency(parts: Sequence[Cost]) -> None:
    found = total(parts)
    for name in ("settled", "uncertain"):
        for code in ("EUR", "USD"):
            amounts = [money.nanos for cost in parts if (money := getattr(cost, name)) and money.currency_code == code]
            told = [money.nanos for cost in found if (money := getattr(cost, name)) and money.currency_code == code]
            assert sum(told) == sum(amounts)
    assert sum(cost.unpriced_calls for cost in found) == sum(cost.unpriced_calls for cost in parts)
    codes = [cost.currency_code for cost in found]
    assert codes == sorted(set(codes)), "one cost per currency"
    assert total(found) == found


@given(quantity_lists)
def test_quantities_add_up_exactly_per_unit_and_model(counted: Sequence[Quantity]) -> None:
    found = merged(counted)
    assert len({(each.unit, each.model) for each in found}) == len(found)
    for each in found:
        parts = [part.amount for part in counted if (part.unit, part.model) == (each.unit, each.model)]
        assert each.amount == float(sum(map(Decimal, map(repr, parts))))
    assert merged(found) == found


def test_decimal_fractions_have_no_binary_dust() -> None:
    tenth, two = quantities({"credit": 0.1}), quantities({"credit": 0.2})
    assert merged([*tenth, *two]) == quantities({"credit": 0.3})


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([], ()),
        ([Cost(Money("USD", 0), basis=CostBasis.CALCULATED)], ()),
        ([Cost(unpriced_calls=1), Cost(unpriced_calls=1)], (Cost(unpriced_calls=2),)),
        ([EURO, Cost(unpriced_calls=1)], (Cost(Money("EUR", 5), None, CostBasis.REPORTED, 1),)),
        (
            [EURO, Cost(Money("EUR", 0), basis=CostBasis.CALCULATED)],
            (EURO,),
        ),
        (
            [EURO, Cost(Money("EUR", 2), basis=CostBasis.ESTIMATED)],
            (Cost(Money("EUR", 7), basis=CostBasis.ESTIMATED),),
        ),
        ([EURO, Cost(uncertain=Money("EUR", 3))], (Cost(Money("EUR", 5), Money("EUR", 3), CostBasis.REPORTED),)),
    ],
)
def test_totals(parts: Sequence[Cost], whole: Sequence[Cost]) -> None:
    assert total(parts) == whole


@pytest.mark.parametrize(
    ("nanos", "text"), [(40_000_000, "0.04 USD"), (0, "0 USD"), (20_000_000_000, "20 USD"), (1, "0.000000001 USD")]
)
def test_an_amount_in_words(nanos: int, text: str) -> None:
    assert str(Money("USD", nanos)) == text
