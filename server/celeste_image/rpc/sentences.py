"""Sentences for broken rules of the contract: what the field must be, and what was given."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.message import Message

from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.nearest import nearest

if TYPE_CHECKING:
    from protovalidate import Violation

__all__ = ["sentence"]

FORMS = {
    "^image/[a-z0-9][a-z0-9.+-]{0,62}$": "a media type such as image/png",
    "^artifacts/sha256-[0-9a-f]{64}$": "an artifact's name: artifacts/sha256- and 64 hexadecimal digits in lower case",
    "^[0-9a-f]{64}$": "a SHA-256 digest: 64 hexadecimal digits in lower case",
    "^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$": "a ratio such as 16:9",
    "^[a-z][a-z0-9_-]{0,62}$": "a name of lower-case letters, digits, - and _, such as local",
    "^[a-z][a-z0-9_.-]{0,62}$": "a name of lower-case letters, digits, -, _ and ., such as project",
}
"""The patterns of the contract in words. A test compares them with the patterns in the `.proto` files."""

LONGEST_SHOWN = 60
NUMBER = r"(-?[\d.]+)"
Text: TypeAlias = "Callable[[re.Match[str], Violation], str]"


def sentence(violation: "Violation", message: Message) -> str:
    """Returns what a field must be and what it is, for people; it continues the field's name.

    Args:
        violation: A broken rule.
        message: The message that breaks it.
    """
    said = violation.proto.message
    if violation.proto.rule_id == "required" and "oneof" in said:
        return f"exactly one of {_listed(_members(violation, message))} must be set"
    if violation.proto.rule_id.startswith("enum."):
        return f"must be one of {_listed(_values(violation, message))}, is {violation.field_value}"
    for form, text in TEXTS:
        if found := re.fullmatch(form, said):
            return text(found, violation)
    return said + _number(violation)


def _many(found: re.Match[str], what: str) -> str:
    return f"{int(found[1]):,} {what}{'' if found[1] == '1' else 's'}"


def _number(violation: "Violation") -> str:
    """Returns the given number, or an empty string."""
    given = violation.field_value
    if isinstance(given, bool) or not isinstance(given, int | float):
        return ""
    return f", is {given:g}" if isinstance(given, float) else f", is {given}"


def _count(violation: "Violation") -> str:
    return f", has {len(violation.field_value):,}"


def _given(violation: "Violation") -> str:
    """Returns a short given text; a map's key is in the path already."""
    given = violation.field_value
    if not isinstance(given, str) or violation.proto.for_key:
        return ""
    return f", is {given if len(given) <= LONGEST_SHOWN else given[:LONGEST_SHOWN] + '...'!r}"


def _pattern(found: re.Match[str], violation: "Violation") -> str:
    form, given = FORMS.get(found[1], f"a text of the form {found[1]}"), violation.field_value
    near = nearest(f"image/{given}", IMAGE_TYPES) if "media type" in form else None
    return f"must be {form}{_given(violation)}" + (f"; did you mean {near}?" if near else "")


TEXTS: tuple[tuple[str, Text], ...] = (
    (
        f"must be greater than or equal to {NUMBER} and less than or equal to {NUMBER}",
        lambda found, v: f"must be {float(found[1]):,g} to {float(found[2]):,g}{_number(v)}",
    ),
    (f"must be greater than or equal to {NUMBER}", lambda found, v: f"must be {found[1]} or more{_number(v)}"),
    ("must be at least 1 characters", lambda found, v: "must not be empty"),
    (
        r"must be at least (\d+) characters",
        lambda found, v: f"must have at least {_many(found, 'character')}{_count(v)}",
    ),
    (r"must be at most (\d+) characters", lambda found, v: f"must have at most {_many(found, 'character')}{_count(v)}"),
    (r"must be at most (\d+) bytes", lambda found, v: f"must have at most {_many(found, 'byte')}{_count(v)}"),
    (
        r"must contain no more than (\d+) item\(s\)",
        lambda found, v: f"must have at most {_many(found, 'item')}{_count(v)}",
    ),
    ("repeated value must contain unique items", lambda found, v: "must not have an item twice"),
    (r"does not match regex pattern `(.*)`", _pattern),
    ("must be a valid UUID", lambda found, v: f"must be a UUID, 32 hexadecimal digits with four hyphens{_given(v)}"),
    (
        r"must not be in list \[0000.*\]",
        lambda found, v: "must not be the nil UUID; unset means a new one",
    ),
    ("must be a valid URI", lambda found, v: "must be a URI such as https://example.com/photo.png"),
    ("value is required", lambda found, v: "must be set"),
    (
        "one of (.*) must be set",
        lambda found, v: f"one of {_listed(found[1].split(', '))} must be set; an empty one counts as unset",
    ),
    (
        "only one of (.*) can be set",
        lambda found, v: f"only one of {_listed(found[1].split(', '))} can be set",
    ),
)
"""The texts of protovalidate's standard rules, and ours."""


def _listed(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _parent(violation: "Violation", message: Message) -> tuple[Any, str]:
    """Returns the descriptor of the message with a broken field, and the field's or oneof's name."""
    elements: Any = violation.proto.field
    *path, last = elements.elements
    descriptor: Any = message.DESCRIPTOR
    for element in path:
        descriptor = descriptor.fields_by_name[element.field_name].message_type
    return descriptor, last.field_name


def _members(violation: "Violation", message: Message) -> list[str]:
    descriptor, name = _parent(violation, message)
    return [field.name for field in descriptor.oneofs_by_name[name].fields]


def _values(violation: "Violation", message: Message) -> list[str]:
    """Returns the values of an enum's field, except the one for unset."""
    descriptor, name = _parent(violation, message)
    return [value.name for value in descriptor.fields_by_name[name].enum_type.values if value.number]
