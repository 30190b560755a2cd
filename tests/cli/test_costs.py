"""The line with which a command says what an operation cost."""

from collections.abc import Sequence

import pytest

from celeste_image.cli.costs import say_costs
from celeste_image.core.money import Cost, CostBasis, Money
from celeste_image.core.result import OperationResult

FOUR = Money("USD", 40_000_000)
NOTHING = Money("USD", 0)


@pytest.mark.parametrize(
    ("costs", "line"),
    [
        ([], ""),
        ([Cost(FOUR, basis=CostBasis.REPORTED)], "cost: 0.04 USD\n"),
        ([Cost(FOUR, Money("USD", 10**9))], "cost: 0.04 USD and up to 1 USD more\n"),
        ([Cost(NOTHING, FOUR)], "cost: up to 0.04 USD more\n"),
        ([Cost(Money("CNY", 200_000_000)), Cost(FOUR)], "cost: 0.2 CNY and 0.04 USD\n"),
        ([Cost(FOUR, unpriced_calls=2)], "cost: 0.04 USD and 2 calls without a known price\n"),
        ([Cost(unpriced_calls=1)], "cost: 1 call without a known price\n"),
    ],
)
def test_the_line_is_on_standard_error_and_only_if_something_was_paid(
    costs: Sequence[Cost], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say_costs(OperationResult("a-call", "a/b", costs=tuple(costs)))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", line)
