"""Checks of arguments before a call: types and texts of a request, timeouts, addresses of servers.

Protobuf and gRPC would refuse the same values later, in words about their own insides.
"""

import numbers
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from celeste_image.core.address import address_problem
from celeste_image.core.edits import AnyEdit
from celeste_image.core.nearest import nearest
from celeste_image.core.request import ImageRequest

__all__ = [
    "check_address",
    "check_labels",
    "check_request",
    "check_text",
    "check_time",
    "check_timeout",
    "check_word",
    "checked_items",
    "shown",
]

UNLIMITED_SECONDS = 1e9
"""Timeouts from here on, some 31 years, are no deadline: gRPC counts nanoseconds in 64 bits."""

INT32, UINT64 = 1 << 31, 1 << 64
OPTION_LEVELS = 32
"""Most levels of lists and dicts in a provider's options; protobuf reads some 45 of them."""


def check_timeout(timeout: float | None) -> float | None:
    """Returns a timeout in seconds; None, infinity and more than UNLIMITED_SECONDS mean no deadline.

    Raises:
        ValueError: The timeout is not above 0.
        TypeError: The timeout is no number.
    """
    if timeout is None:
        return None
    given: Any = timeout
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise TypeError(f"timeout is a number of seconds, or None for no deadline, not {shown(given)}")
    if not timeout > 0:  # also nan
        raise ValueError(f"timeout is a number of seconds above 0, not {timeout!r}")
    return float(timeout) if timeout < UNLIMITED_SECONDS else None


def check_time(time: datetime, path: str) -> None:
    """Checks a time. Raises TypeError for no datetime, and ValueError for one without a time zone."""
    _must(isinstance(time, datetime), time, "a datetime", path)
    if time.tzinfo is None:
        raise ValueError(f"{path} is a datetime with a time zone, such as datetime.now(UTC), not {time!r}")


def check_labels(labels: Mapping[str, str], path: str) -> None:
    """Checks labels. Raises TypeError for no dict of texts, and ValueError for a text that is not Unicode."""
    _must(isinstance(labels, Mapping), labels, 'a dict of texts, such as {"project": "spring"}', path)
    for key, value in labels.items():
        check_text(key, path)
        check_text(value, f'{path}["{key}"]')


def check_address(address: str) -> str:
    """Returns the address of a server, as gRPC takes it.

    Raises:
        ValueError: The address has another form.
    """
    check_text(address, "address")
    if problem := address_problem(address):
        raise ValueError(f"{shown(address)} is no address of a server: {problem}")
    return address


def check_text(text: str, path: str) -> None:
    """Checks a text.

    Raises:
        ValueError: UTF-8 can't hold it: it has bytes of another encoding, or half a character.
        TypeError: It is no text.
    """
    _must(isinstance(text, str), text, "a text", path)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{path} is not valid Unicode: {shown(text)}, at character {error.start + 1}") from None


def checked_items(values: Any, name: str) -> tuple[Any, ...]:
    """Returns the items of an argument that takes several values. Raises TypeError for a single text or no sequence."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{name} is a list, such as [{shown(values)}], not {shown(values)} itself")
    return tuple(values)


def check_request(request: ImageRequest) -> None:
    """Checks the types, texts and whole numbers of a request; the server checks all else.

    Raises:
        TypeError: A field has a value of another type. The message names the field, the value and the right type.
        ValueError: A text is not Unicode, a word is unknown, or a number has more digits than its field.
    """
    given: Any = request
    if not isinstance(given, ImageRequest):
        raise TypeError(f"a request is a Generate, Edit, Upscale or Analyze of core.request, not {shown(given)}")
    _check_fields(request, "")


@cache
def _types(cls: type) -> Mapping[str, Any]:
    return typing.get_type_hints(cls)


def _check_fields(value: Any, path: str) -> None:
    expected = _types(value.__class__)
    for known in fields(value):
        _check(getattr(value, known.name), expected[known.name], f"{path}{known.name}")


def _check(value: Any, expected: Any, path: str) -> None:
    """Checks a value against the annotation of its field."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return
        (expected,) = (each for each in arguments if each is not type(None))  # every union here is X | None
        return _check(value, expected, path)
    if origin is tuple:
        for index, item in enumerate(checked_items(value, path)):
            _check(item, arguments[0], f"{path}[{index}]")
    elif origin is not None:
        (check_labels if arguments == (str, str) else _check_options)(value, path)
    elif expected is bool:
        _must(isinstance(value, bool), value, "True or False", path)
    elif expected is int:
        _must(isinstance(value, numbers.Integral) and not isinstance(value, bool), value, "a whole number", path)
        low, high = (0, UINT64) if path == "seed" else (-INT32, INT32)
        if not low <= value < high:
            raise ValueError(f"{path} is {low:,} to {high - 1:,}, not {value}")
    elif expected is float:
        _must(isinstance(value, numbers.Real) and not isinstance(value, bool), value, "a number", path)
    elif expected is str:
        check_text(value, path)
    elif isinstance(expected, type) and issubclass(expected, StrEnum):
        check_word(value, [str(each) for each in expected], path)
    elif expected is AnyEdit:
        hint = 'an object of celeste_image.core.edits, such as Restyle(style="starry-night")'
        _must(isinstance(value, AnyEdit) and is_dataclass(value), value, hint, path)
        _check_fields(value, f"{value.field}.")
    else:
        _must(isinstance(value, expected), value, HINTS.get(expected.__name__, f"a {expected.__name__}"), path)
        if is_dataclass(expected):
            _check_fields(value, f"{path}.")


HINTS = {
    "Mask": 'a Mask of celeste_image.core.edits, such as Mask(image_input("mask.png"))',
    "ImageInput": 'an ImageInput, such as celeste_image.client.calls.image_input("photo.png")',
    "ImageReference": 'an ImageReference, such as ImageReference(image_input("hat.png"), role="subject")',
    "bytes": "bytes",
}


def check_word(value: Any, words: Sequence[str], path: str) -> None:
    """Checks a word. Raises ValueError with the nearest one, TypeError for no text."""
    _must(isinstance(value, str), value, f"one of {', '.join(words)}", path)
    if value not in words:
        near = nearest(value, words)
        raise ValueError(f"{path} is one of {', '.join(words)}, not {value!r}" + (f": {near}?" if near else ""))


def _check_options(value: Any, path: str) -> None:
    _must(isinstance(value, Mapping), value, 'a dict by provider, such as {"local": {"tile": 64}}', path)
    for provider, options in value.items():
        _must(isinstance(provider, str), provider, "a dict by the names of providers", path)
        check_text(provider, path)
        here = f'{path}["{provider}"]'
        _must(isinstance(options, Mapping), options, 'a dict, such as {"tile": 64}', here)
        for place, found in _odd(options, here):
            _must(False, found, "a JSON value: a text, number, bool, None, list or dict with texts as keys", place)


def _odd(value: Any, path: str, level: int = 0) -> Iterator[tuple[str, Any]]:
    """Yields the places of values that JSON does not have. Raises ValueError for what no request can hold."""
    if level > OPTION_LEVELS:
        raise ValueError(f"{path[:60]}...: options have at most {OPTION_LEVELS} levels of lists and dicts")
    match value:
        case str():
            check_text(value, path)
        case int() if abs(value) > sys.float_info.max:
            raise ValueError(f"{path} is a number of at most {sys.float_info.max:.0e}, as in JSON")
        case None | bool() | int() | float():
            return
        case Mapping():
            for key, item in value.items():
                if not isinstance(key, str):
                    yield path, key
                else:
                    check_text(key, path)
                    yield from _odd(item, f"{path}.{key}", level + 1)
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _odd(item, f"{path}[{index}]", level + 1)
        case _:
            yield path, value


def _must(holds: bool, value: Any, wanted: str, path: str) -> None:
    if not holds:
        raise TypeError(f"{path} is {wanted}, not {shown(value)}")


def shown(value: Any) -> str:
    """Returns a value on one line, in at most some 60 characters."""
    text = " ".join(repr(value).splitlines())
    return text if len(text) <= 60 else f"{text[:40]}... ({type(value).__name__})"
