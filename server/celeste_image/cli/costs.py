"""The line with which a command says what an operation cost."""

from collections.abc import Sequence

from celeste_image.cli.terminal import say
from celeste_image.core.money import Cost
from celeste_image.core.result import OperationResult

__all__ = ["cost_in_words", "say_costs"]


def say_costs(result: OperationResult) -> None:
    """Prints a line on standard error with what an operation cost, unless it cost nothing."""
    if words := cost_in_words(result.costs):
        say(f"cost: {words}", err=True)


def cost_in_words(costs: Sequence[Cost]) -> str:
    """Returns costs in words, as `0.04 USD and up to 0.08 USD more`; empty for work that cost nothing."""
    settled = [str(cost.settled) for cost in costs if cost.settled and cost.settled.nanos]
    more = [f"up to {cost.uncertain} more" for cost in costs if cost.uncertain and cost.uncertain.nanos]
    unpriced = sum(cost.unpriced_calls for cost in costs)
    calls = f"{unpriced} call{'s' if unpriced > 1 else ''} without a known price"
    return " and ".join([*settled, *more, *([calls] if unpriced else [])])
