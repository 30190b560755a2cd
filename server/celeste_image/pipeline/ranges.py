"""Ranges: what is wrong with a value that a model's card does not accept."""

from typing import Any

from celeste_image.core.card import ChoiceRange, ImageRange, IntegerRange, NumberRange, ParameterRange, TextRange

__all__ = ["out_of_range"]


def out_of_range(known: ParameterRange, value: Any) -> str:
    """Returns what is wrong with a value, empty when nothing is."""
    match known:
        case TextRange(max_length=most) if isinstance(value, str) and 0 < most < len(value):
            return f"must have at most {most:,} characters"
        case ChoiceRange(values=values) if values and isinstance(value, str) and value not in values:
            return f"must be one of {', '.join(values)}"
        case IntegerRange() | NumberRange() if isinstance(value, int | float) and not isinstance(value, bool):
            if known.minimum is not None and value < known.minimum:
                return f"must be at least {known.minimum:g}, is {value:g}"
            if known.maximum is not None and value > known.maximum:
                return f"must be at most {known.maximum:g}, is {value:g}"
        case ImageRange(maximum_count=most) if isinstance(value, int) and value > most:
            return f"must be at most {most} pictures, is {value}"
    return ""
