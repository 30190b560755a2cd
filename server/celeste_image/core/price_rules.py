"""Conditions of prices: the words of `Price.when`, which people read, in the form in which costs are computed.

    quality low or medium, size 1024x1024    fields of the request or provider options, with the values that count
    generate                                 the operation; also edit, upscale, analyze
    first megapixel                          says that another price covers the rest of the image
    beyond the first                         the first megapixel of each image is covered by another price
    begun                                    a megapixel is 1,048,576 pixels, and each that is begun counts as one
    input and output                         the images of the request count as well; masks do not

Commas separate conditions, and all have to hold. A price with other words is for people only: it is never used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from celeste_image.core.request import OperationKind

__all__ = ["BINARY_MEGAPIXEL", "Conditions", "conditions_in"]

FIELD = re.compile(r"([a-z][a-z0-9_]*) ([^\s,]+(?: or [^\s,]+)*)")
BINARY_MEGAPIXEL = 1 << 20
FIRST = "first megapixel"
FLAGS = {"beyond the first": "beyond_first", "begun": "begun", "input and output": "with_inputs"}


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of a price.

    Attributes:
        operations: Operations that the price is for; empty means all.
        fields: Values that count, by the name of the field.
        beyond_first: Whether the first megapixel of each image is left out.
        begun: Whether each begun megapixel of 1,048,576 pixels counts as one.
        with_inputs: Whether the images of the request count as well.
        readable: Whether all words were understood. If not, nobody but people knows when the price counts.
    """

    operations: frozenset[OperationKind] = frozenset()
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    beyond_first: bool = False
    begun: bool = False
    with_inputs: bool = False
    readable: bool = True

    def holds(self, kind: OperationKind, values: Mapping[str, str | None]) -> bool | None:
        """Returns whether the price is for a call; None if a value that it depends on is unknown.

        Args:
            kind: The operation.
            values: The value of each field in `fields`, None where it is unknown.
        """
        if self.operations and kind not in self.operations:
            return False
        known = [(values.get(name), allowed) for name, allowed in self.fields.items()]
        if any(value is not None and value not in allowed for value, allowed in known):
            return False
        return None if not self.readable or any(value is None for value, _ in known) else True

    def megapixels(self, pixels: int, *, is_input: bool = False) -> Fraction:
        """Returns how many megapixels of an image count. `beyond_first` is about images that are made, no inputs."""
        counted = Fraction(-(-pixels // BINARY_MEGAPIXEL)) if self.begun else Fraction(pixels, 1_000_000)
        return max(Fraction(0), counted - (self.beyond_first and not is_input))


@lru_cache(maxsize=4096)
def conditions_in(when: str) -> Conditions:
    """Returns the conditions that the words of a price say."""
    operations: set[OperationKind] = set()
    fields: dict[str, tuple[str, ...]] = {}
    flags: dict[str, bool] = {}
    readable = True
    clauses = [clause for each in when.split(",") if (clause := each.strip()) not in ("", FIRST)]
    for clause in clauses:
        if clause in list(OperationKind):
            operations.add(OperationKind(clause))
        elif clause in FLAGS:
            flags[FLAGS[clause]] = True
        elif found := FIELD.fullmatch(clause):
            fields[found[1]] = tuple(found[2].split(" or "))
        else:
            readable = False
    return Conditions(frozenset(operations), fields, readable=readable, **flags)
