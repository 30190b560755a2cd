"""Converts costs and billed quantities between core values and protobuf."""

from celeste_image.core.money import Cost, CostBasis, Money, Quantity
from celeste_image.v1 import money_pb2
from celeste_image.wire.values import enum_number, enum_word

__all__ = ["cost_from_proto", "cost_to_proto", "quantity_from_proto", "quantity_to_proto"]


def cost_to_proto(cost: Cost) -> money_pb2.Cost:
    """Returns the message of a cost. An unknown amount is unset."""
    return money_pb2.Cost(
        settled=_money_to_proto(cost.settled),
        uncertain=_money_to_proto(cost.uncertain),
        basis=enum_number(money_pb2.CostBasis, cost.basis),
        unpriced_calls=cost.unpriced_calls,
    )


def cost_from_proto(message: money_pb2.Cost) -> Cost:
    """Returns the cost of a message."""
    return Cost(
        _money_from_proto(message.settled) if message.HasField("settled") else None,
        _money_from_proto(message.uncertain) if message.HasField("uncertain") else None,
        CostBasis(enum_word(money_pb2.CostBasis, message.basis)),
        message.unpriced_calls,
    )


def quantity_to_proto(quantity: Quantity) -> money_pb2.Quantity:
    """Returns the message of a quantity."""
    return money_pb2.Quantity(unit=quantity.unit, amount=quantity.amount, model=quantity.model)


def quantity_from_proto(message: money_pb2.Quantity) -> Quantity:
    """Returns the quantity of a message."""
    return Quantity(message.unit, message.amount, message.model)


def _money_to_proto(money: Money | None) -> money_pb2.Money | None:
    return None if money is None else money_pb2.Money(currency_code=money.currency_code, nanos=money.nanos)


def _money_from_proto(message: money_pb2.Money) -> Money:
    return Money(message.currency_code, message.nanos)
