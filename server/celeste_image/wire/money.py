"""Converts money, costs and quantities between core values and protobuf."""

from celeste_image.core.money import Cost, CostBasis, Money, Quantity
from celeste_image.v1 import money_pb2 as pb
from celeste_image.wire.values import enum_number, enum_word

__all__ = [
    "cost_from_proto",
    "cost_to_proto",
    "money_from_proto",
    "money_to_proto",
    "quantity_from_proto",
    "quantity_to_proto",
]


def money_to_proto(money: Money | None) -> pb.Money | None:
    """Returns the message of an amount; None for an unknown one."""
    return None if money is None else pb.Money(currency_code=money.currency_code, nanos=money.nanos)


def money_from_proto(message: pb.Money) -> Money:
    """Returns the amount of a message."""
    return Money(message.currency_code, message.nanos)


def cost_to_proto(cost: Cost) -> pb.Cost:
    """Returns the message of a cost. Unknown amounts are unset."""
    return pb.Cost(
        settled=money_to_proto(cost.settled),
        uncertain=money_to_proto(cost.uncertain),
        basis=enum_number(pb.CostBasis, cost.basis),
        unpriced_calls=cost.unpriced_calls,
    )


def cost_from_proto(message: pb.Cost) -> Cost:
    """Returns the cost of a message. A basis that this version does not know is UNSPECIFIED."""
    settled, uncertain = (
        money_from_proto(getattr(message, name)) if message.HasField(name) else None
        for name in ("settled", "uncertain")
    )
    return Cost(settled, uncertain, CostBasis(enum_word(pb.CostBasis, message.basis)), message.unpriced_calls)


def quantity_to_proto(quantity: Quantity) -> pb.Quantity:
    """Returns the message of a quantity."""
    return pb.Quantity(unit=quantity.unit, amount=quantity.amount, model=quantity.model)


def quantity_from_proto(message: pb.Quantity) -> Quantity:
    """Returns the quantity of a message."""
    return Quantity(message.unit, message.amount, message.model)
