"""Reads JSON leniently: an answer that was paid for is not given up for a byte order mark, a NaN, or text behind it.

Read are, beside JSON itself: byte order marks, UTF-16 and UTF-32, invalid bytes, NaN and Infinity, control characters
in texts, lone surrogates, prefixes against script inclusion, text behind a value, and several values in a row.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
from pydantic_core import from_json

__all__ = ["json_values"]

MARKS: Final = "\ufeff\u200b\0 \t\r\n"
"""Characters that may stand around values and mean nothing."""
GUARDS: Final = re.compile(r"\)\]\}'?,?|while\s*\(1\);|for\s*\(;;\);")
"""Prefixes against the inclusion of JSON as a script."""
DECODER: Final = json.JSONDecoder(strict=False, parse_constant=lambda _: None)
"""Reads NaN and Infinity as None: no field of an answer means one."""


def json_values(body: bytes, *, max_values: int = 100_000, max_depth: int = 64, cut: bool = False) -> list[Any]:
    """Returns the values in a body, at least one.

    Args:
        body: The body.
        max_values: Most values together: 64 MiB of `[],` would become 1.5 GB of objects.
        max_depth: Deepest nesting.
        cut: Whether the end of the body was lost: then what is complete in its only value is returned.

    Raises:
        ValueError: The body is not JSON, or has more or deeper values than allowed.
    """
    nested = body.count(b"[") + body.count(b"{")
    # Counted before any object exists. Brackets inside strings count too, so the limit is generous.
    if nested + body.count(b",") > max_values:
        raise ValueError("the JSON has too many values")
    lenient = False
    try:
        values = [orjson.loads(body)]
    except ValueError:
        values = _leniently(body, cut=cut)
        lenient = True
    if nested > max_depth and any(_is_deeper(value, max_depth) for value in values):
        raise ValueError("the JSON is nested too deep")
    return [_encodable(value) for value in values] if lenient else values


def _leniently(body: bytes, *, cut: bool) -> list[Any]:
    text = body.decode(json.detect_encoding(body), errors="replace").strip(MARKS)
    if guard := GUARDS.match(text):
        text = text[guard.end() :].strip(MARKS)
    values: list[Any] = []
    start = 0
    try:
        while start < len(text):
            value, end = DECODER.raw_decode(text, start)
            values.append(value)
            start = end
            while start < len(text) and text[start] in MARKS:
                start += 1
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None
    except ValueError:
        if not values and cut and text[:1] in ("{", "["):
            return [from_json(text.encode(errors="replace"), allow_inf_nan=True, allow_partial=True)]
        if not values:
            raise
    if not values or not isinstance(values[0], dict | list):
        raise ValueError("the text is not JSON")
    return values


def _encodable(value: Any) -> Any:
    """Returns a value with lone surrogates replaced, which nothing could encode again."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [_encodable(inner) for inner in value]
    if isinstance(value, dict):
        return {_encodable(name): _encodable(inner) for name, inner in value.items()}
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [inner for outer in level for inner in _parts(outer)]
    return bool(level)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
