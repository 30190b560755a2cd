"""Google's JSON of protobuf messages: two spellings of each field, null for unset, one object for a list of one."""

from collections.abc import Mapping, Set
from typing import Any

from celeste_image.emulate.values import Wrong

__all__ = ["items_of", "object_of", "proto_fields"]


def proto_fields(value: Any, known: Set[str], at: str) -> dict[str, Any]:
    """Returns a message's fields by their names in lowerCamelCase. Raises Wrong for unknown fields and other values."""
    fields = {}
    for name, item in object_of(value, at).items():
        first, *others = name.split("_")
        camel = first + "".join(other[:1].upper() + other[1:] for other in others)
        if camel not in known:
            raise Wrong(f"{at}.{name}".removeprefix("."), "unknown", item)
        if item is not None:
            fields[camel] = item
    return fields


def object_of(value: Any, at: str) -> Mapping[str, Any]:
    """Returns an object. Raises Wrong for another value."""
    if not isinstance(value, Mapping):
        raise Wrong(at, "type", value, "an object")
    return value


def items_of(value: Any) -> list[Any]:
    """Returns the items of a list; a single value is a list of one."""
    return value if isinstance(value, list) else [value]
