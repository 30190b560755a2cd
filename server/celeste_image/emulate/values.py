"""Values of a request, held against the ranges of a model's card or of the vendor's documents."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from celeste_image.core.card import (
    BoolRange,
    ChoiceRange,
    IntegerRange,
    ModelCard,
    NumberRange,
    ParameterRange,
    TextRange,
)
from celeste_image.core.request import OperationKind

__all__ = ["Rule", "Wrong", "held", "in_card", "one_of", "option", "present"]

Rule = Literal["type", "choice", "minimum", "maximum", "step", "length", "unknown", "missing"]


@dataclass
class Wrong(Exception):
    """A value that the vendor refuses.

    Attributes:
        field: The field's name, as the vendor's errors have it.
        rule: What the value breaks.
        value: The value as it was sent.
        allowed: The expected type in words, the offered values, or the limit; empty for `unknown` and `missing`.
    """

    field: str
    rule: Rule
    value: Any = None
    allowed: Any = ""


def in_card(card: ModelCard, kind: OperationKind, path: str) -> ParameterRange | None:
    """Returns the range of a card's parameter; None for a parameter that the model does not have."""
    found = card.parameter(kind, path)
    return found.range if found else None


def option(card: ModelCard, name: str) -> str:
    """Returns the path of a provider's own option."""
    return f'options.provider_options["{card.provider}"].{name}'


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields without those that are null: SDKs send null for what is unset."""
    return {name: value for name, value in fields.items() if value is not None}


def held(field: str, value: Any, allowed: ParameterRange, *, text: bool = False) -> Any:
    """Returns a value that is within a range. Raises Wrong.

    Args:
        field: The field's name for the error.
        value: The value.
        allowed: The range.
        text: Whether the value is the text of a form, so that numbers and booleans are read from it.
    """
    match allowed:
        case ChoiceRange():
            given = _typed(field, value, str, "a string")
            if not allowed.allow_other and given not in allowed.values:
                raise Wrong(field, "choice", value, allowed.values)
            return given
        case TextRange():
            given = _typed(field, value, str, "a string")
            if allowed.max_length and len(given) > allowed.max_length:
                raise Wrong(field, "length", value, allowed.max_length)
            return given
        case BoolRange():
            if text and isinstance(value, str) and value.lower() in ("true", "false"):
                return value.lower() == "true"
            return _typed(field, value, bool, "a boolean")
        case IntegerRange() | NumberRange():
            return _number(field, value, allowed, text)
        case _:
            raise TypeError(f"{field}: a {type(allowed).__name__} holds no plain value")


def _number(field: str, value: Any, allowed: IntegerRange | NumberRange, text: bool) -> Any:
    whole = isinstance(allowed, IntegerRange)
    words = "an integer" if whole else "a number"
    if text and isinstance(value, str):
        try:
            value = int(value) if whole else float(value)
        except ValueError:
            raise Wrong(field, "type", value, words) from None
    if not whole and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    given = _typed(field, value, int if whole else float, words)
    if allowed.minimum is not None and not given >= allowed.minimum:  # `not >=` also refuses NaN
        raise Wrong(field, "minimum", value, allowed.minimum)
    if allowed.maximum is not None and not given <= allowed.maximum:
        raise Wrong(field, "maximum", value, allowed.maximum)
    if isinstance(allowed, IntegerRange) and allowed.multiple_of and given % allowed.multiple_of:
        raise Wrong(field, "step", value, allowed.multiple_of)
    return given


def _typed(field: str, value: Any, wanted: type, words: str) -> Any:
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise Wrong(field, "type", value, words)
    return value


def one_of(values: Collection[str], quote: str = "'") -> str:
    """Returns values as a list in words: `'a', 'b', and 'c'`."""
    *first, last = (f"{quote}{value}{quote}" for value in values)
    return f"{', '.join(first)}, and {last}" if first else last
