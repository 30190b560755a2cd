"""Checks of arguments before a call: types and texts of a request, timeouts, addresses of servers.

Protobuf and gRPC would refuse the same values later, in words about their own insides.
"""

import difflib
import numbers
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from celeste_image.core.edits import AnyEdit
from celeste_image.core.request import ImageRequest

__all__ = ["check_address", "check_request", "check_text", "check_timeout", "checked_items"]

UNLIMITED_SECONDS = 1e9
"""Timeouts from here on, some 31 years, are no deadline: gRPC counts nanoseconds in 64 bits."""

FORM = "an address is host:port, [IPv6]:port or unix:PATH"
INT32, UINT64 = 1 << 31, 1 << 64
PLACE = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s/?#@:\[\],]+))(?::(?P<port>[^:]*))?")
SCHEMES = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:", "xds:", "vsock:")


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
        raise TypeError(f"timeout is a number of seconds, or None for no deadline, not {_shown(given)}")
    if not timeout > 0:  # also nan
        raise ValueError(f"timeout is a number of seconds above 0, not {timeout!r}")
    return float(timeout) if timeout < UNLIMITED_SECONDS else None


def check_address(address: str) -> str:
    """Returns the address of a server, as gRPC takes it.

    Raises:
        ValueError: The address has another form.
    """
    check_text(address, "address")
    problem = _problem(address)
    if problem:
        raise ValueError(f"{address!r} is no address of a server: {problem}; {FORM}")
    return address


def _problem(address: str) -> str:
    """Returns what is wrong with an address, or an empty string."""
    if not address.strip():
        return "it is empty"
    scheme = next((scheme for scheme in SCHEMES if address.startswith(scheme)), "")
    rest = address.removeprefix(scheme)
    if scheme in ("unix:", "unix-abstract:"):
        if not rest.removeprefix("//"):
            return "the path is missing"
        return "the path has a NUL" if "\0" in rest and scheme == "unix:" else ""
    if scheme in ("xds:", "vsock:"):
        return "" if rest else "the name is missing"
    if scheme == "dns:":
        rest = rest.rpartition("/")[2]
    elif other := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address):
        return f"without {other.group()} it may be {address.removeprefix(other.group()).split('/')[0] or 'host:port'}"
    places = rest.split(",") if scheme in ("ipv4:", "ipv6:") else [rest]
    return next((problem for place in places if (problem := _place_problem(place))), "")


def _place_problem(place: str) -> str:
    """Returns what is wrong with `host:port`, or an empty string."""
    if place.count(":") > 1 and not place.startswith("["):
        return "an IPv6 address stands in brackets, such as [::1]:50051"
    found = PLACE.fullmatch(place)
    if not found:
        return "the host is missing" if place.startswith(":") else "it has another form"
    port = found["port"]
    if port is None:
        return f"the port is missing, such as {place}:50051"
    if not (port.isascii() and port.isdigit() and 0 < int(port[:9]) < 65536 and len(port) < 10):
        return f"the port is 1 to 65535, not {port!r}"
    return ""


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
        raise ValueError(f"{path} is not valid Unicode: {_shown(text)}, at character {error.start + 1}") from None


def checked_items(values: Any, name: str) -> tuple[Any, ...]:
    """Returns the items of an argument that takes several values. Raises TypeError for a single text or no sequence."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{name} is a list, such as [{_shown(values)}], not {_shown(values)} itself")
    return tuple(values)


def check_request(request: ImageRequest) -> None:
    """Checks the types, texts and whole numbers of a request; the server checks all else.

    Raises:
        TypeError: A field has a value of another type. The message names the field, the value and the right type.
        ValueError: A text is not Unicode, a word is unknown, or a number has more digits than its field.
    """
    given: Any = request
    if not isinstance(given, ImageRequest):
        raise TypeError(f"a request is a Generate, Edit, Upscale or Analyze of core.request, not {_shown(given)}")
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
        _check_options(value, path)
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
        _check_word(value, [str(each) for each in expected], path)
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


def _check_word(value: Any, words: list[str], path: str) -> None:
    _must(isinstance(value, str), value, f"one of {', '.join(words)}", path)
    if value not in words:
        near = difflib.get_close_matches(value, words, n=1)
        raise ValueError(f"{path} is one of {', '.join(words)}, not {value!r}" + (f": {near[0]}?" if near else ""))


def _check_options(value: Any, path: str) -> None:
    _must(isinstance(value, Mapping), value, 'a dict by provider, such as {"local": {"tile": 64}}', path)
    for provider, options in value.items():
        _must(isinstance(provider, str), provider, "a dict by the names of providers", path)
        check_text(provider, path)
        here = f'{path}["{provider}"]'
        _must(isinstance(options, Mapping), options, 'a dict, such as {"tile": 64}', here)
        for place, found in _odd(options, here):
            _must(False, found, "a JSON value: a text, number, bool, None, list or dict with texts as keys", place)


def _odd(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yields the places of values that JSON does not have."""
    match value:
        case str():
            check_text(value, path)
        case None | bool() | int() | float():
            return
        case Mapping():
            for key, item in value.items():
                if not isinstance(key, str):
                    yield path, key
                else:
                    check_text(key, path)
                    yield from _odd(item, f"{path}.{key}")
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _odd(item, f"{path}[{index}]")
        case _:
            yield path, value


def _must(holds: bool, value: Any, wanted: str, path: str) -> None:
    if not holds:
        raise TypeError(f"{path} is {wanted}, not {_shown(value)}")


def _shown(value: Any) -> str:
    """Returns a value in at most some 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}... ({type(value).__name__})"
