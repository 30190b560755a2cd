"""Converts metadata tags to entries with JSON values, and limits their size."""

import json
import math
from typing import Any

__all__ = ["bounded", "entry", "plain", "sound"]

MAX_VALUE_BYTES = 4096
MAX_ENTRIES_BYTES = 512 << 10
"""Maximum size of all entries as JSON. Beyond it the largest entries are omitted: the response must fit a message."""
MAX_ITEMS = 256
MAX_DEPTH = 16


def entry(group: str, name: str, value: Any) -> dict[str, Any]:
    """Returns one tag with a JSON value; see `MetadataEntry` in `analysis.proto`."""
    return {"group": group, "name": _cut(name), "value": plain(value)}


def bounded(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the entries that fit a message, smallest first. A small file can have large entries that share bytes."""
    kept: list[dict[str, Any]] = []
    left = MAX_ENTRIES_BYTES
    for size, _, found in sorted((len(json.dumps(found)), index, found) for index, found in enumerate(entries)):
        left -= size
        if left < 0:
            break
        kept.append(found)
    return kept


def plain(value: Any, depth: int = 0) -> Any:
    """Returns a value as JSON: rationals as `1/250`, bytes as hex; long texts and lists are truncated."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)  # JSON has no infinities and no NaN
        case int() if not isinstance(value, bool) and abs(value) > 1 << 53:
            return str(value) if abs(value) < 1 << 128 else hex(value)[:MAX_VALUE_BYTES]  # JSON numbers are doubles
        case None | bool() | int() | float():
            return value
        case str():
            return _cut(value.rstrip("\x00"))
        case bytes():
            text = value[:MAX_VALUE_BYTES].hex()
            return text if len(text) <= MAX_VALUE_BYTES else text[:MAX_VALUE_BYTES] + "..."
        case tuple() | list() | dict() if depth == MAX_DEPTH:
            return "..."
        case tuple() | list():
            return [plain(item, depth + 1) for item in value[:MAX_ITEMS]]
        case dict():
            return {_cut(str(name)): plain(value[name], depth + 1) for name in list(value)[:MAX_ITEMS]}
        case _ if hasattr(value, "numerator") and hasattr(value, "denominator"):
            return f"{value.numerator}/{value.denominator}"
        case _:
            return str(value)[:MAX_VALUE_BYTES]


def sound(text: str) -> str:
    """Returns a text with lone surrogates replaced: JSON allows them, protobuf does not."""
    return text.encode("utf-8", "replace").decode()


def _cut(text: str) -> str:
    text = sound(text)
    return text if len(text.encode()) <= MAX_VALUE_BYTES else text[: MAX_VALUE_BYTES // 4] + "..."
