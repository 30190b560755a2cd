"""Reads JSON leniently: an answer that was paid for is not given up for a byte order mark, a NaN, or text behind it.

Read are, beside JSON itself: byte order marks, UTF-16 and UTF-32, invalid bytes, NaN and Infinity, control characters
in texts, lone surrogates, prefixes against script inclusion, text before and behind a value, several values in a row,
JSON in a JSON text, comments, surplus commas, huge integers, and the quotes and constants of Python.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
from pydantic_core import from_json

from celeste_image.outbound.packed import unpacked, with_images

__all__ = ["json_values"]

MARKS: Final = "\ufeff\u200b\0 \t\r\n"
"""Characters that may stand around values and mean nothing."""
GUARDS: Final = re.compile(r"\)\]\}'?,?|while\s*\(1\);|for\s*\(;;\);")
"""Prefixes against the inclusion of JSON as a script."""
BLANK: Final = re.compile(f"[{MARKS}]*")
START: Final = re.compile(r"[{\[]\s*[\"'{\[]")
"""How JSON begins behind a text, such as a warning of PHP, the name of a function, or a fence of Markdown."""
LOOK_CHARACTERS: Final = 16 << 10
"""How long a text before the JSON may be."""
TOKEN: Final = re.compile(
    r"""(?P<kept>"[^"\\]*(?:\\.[^"\\]*)*(?:"|\Z))|'(?P<quoted>[^'\\]*(?:\\.[^'\\]*)*)(?:'|\Z)"""
    r"""|//[^\n]*|/\*(?:.*?\*/|.*)|,(?=\s*[}\]])|\b(?P<word>True|False|None|undefined)\b""",
    re.DOTALL,
)
"""A text in quotes, or what is not JSON: other quotes, comments, commas before a bracket, Python's constants."""
WORDS: Final = {"True": "true", "False": "false"}
MOST_TOKENS: Final = 400_000
DIGITS: Final = 40


def _integer(text: str) -> int | None:
    """Returns an integer; None for one that no field of an answer can mean, and that takes long to read."""
    return int(text) if len(text) <= DIGITS else None


DECODER: Final = json.JSONDecoder(strict=False, parse_int=_integer, parse_constant=lambda _: None)
"""Reads NaN and Infinity as None: no field of an answer means one."""


def json_values(
    body: bytes, *, max_values: int = 100_000, max_depth: int = 64, cut: bool = False, images: bool = False
) -> list[Any]:
    """Returns the values in a body, at least one.

    Args:
        body: The body.
        max_values: Most values together: 64 MiB of `[],` would become 1.5 GB of objects.
        max_depth: Deepest nesting.
        cut: Whether the end of the body was lost: then what is complete in its only value is returned.
        images: Whether a long text that is the base64 of an image, or a `data:` URL of it, is returned as its bytes.

    Raises:
        ValueError: The body is not JSON, or has more or deeper values than allowed.
    """
    found: list[bytes] = []
    if images:
        body, found = unpacked(body)
    nested = body.count(b"[") + body.count(b"{")
    # Counted before any object exists. Brackets inside strings count too, so the limit is generous.
    if nested + body.count(b",") > max_values:
        raise ValueError("the JSON has too many values")
    lenient = False
    try:
        values = [orjson.loads(body)]
    except ValueError:
        values = _leniently(body, max_values, cut=cut)
        lenient = True
    if len(values) == 1 and isinstance(values[0], str) and values[0].lstrip()[:1] in ("{", "["):
        values, lenient = _leniently(values[0].encode(errors="replace"), max_values, cut=cut), True
    if nested > max_depth and any(_is_deeper(value, max_depth) for value in values):
        raise ValueError("the JSON is nested too deep")
    values = [_encodable(value) for value in values] if lenient else values
    return [with_images(value, found) for value in values] if found else values


def _leniently(body: bytes, max_values: int, *, cut: bool) -> list[Any]:
    text = body.decode(json.detect_encoding(body), errors="replace").strip(MARKS)
    if guard := GUARDS.match(text):
        text = text[guard.end() :].strip(MARKS)
    if text[:1] not in ("{", "[", '"'):
        begin = START.search(text, 0, LOOK_CHARACTERS)
        if begin is None or text[:9].lower().startswith(("<!doctype", "<html")):
            raise ValueError("the text is not JSON")
        text = text[begin.start() :]
    values = _values(text, max_values) or _values(_repaired(text), max_values)
    if not values and cut and text[:1] in ("{", "["):
        values = [from_json(text.encode(errors="replace"), allow_inf_nan=True, allow_partial=True)]
    if not values:
        raise ValueError("the text is not JSON")
    return values


def _values(text: str, most: int) -> list[Any]:
    """Returns the values in a row at the start of a text, of which the first is a list, an object, or a text alone."""
    values: list[Any] = []
    start = 0
    try:
        while start < len(text) and len(values) < most:
            value, end = DECODER.raw_decode(text, start)
            if not values and not isinstance(value, dict | list):
                return [value] if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") else []
            values.append(value)
            blank = BLANK.match(text, end)
            start = blank.end() if blank else end
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None
    except ValueError:
        pass  # text behind the values
    return values


def _repaired(text: str) -> str:
    """Returns a text in the form of JSON as JSON: see TOKEN. A text with too many tokens is returned unchanged."""
    if text.count('"') + text.count("'") + text.count("//") + text.count("/*") > MOST_TOKENS:
        return text
    return TOKEN.sub(_repair, text)


def _repair(token: re.Match[str]) -> str:
    if token["kept"] is not None:
        return token["kept"]
    if token["quoted"] is not None:
        return '"' + token["quoted"].replace("\\'", "'").replace('"', '\\"') + '"'
    return WORDS.get(token["word"], "null") if token["word"] else ""


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
