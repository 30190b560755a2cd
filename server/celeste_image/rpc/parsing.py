"""Parses requests, after a look at their shape: a few bytes on the wire can become a hundred times as many."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from celeste_image.core.errors import InvalidRequest, Violation

__all__ = ["MAX_ELEMENTS", "parser"]

MAX_ELEMENTS: Final = 5_000
"""Fields of a request, with those of its messages; the largest that makes sense (a thousand names) has a fifth of them.
An empty one takes 2 bytes on the wire, about 90 parsed, 650 in the check and, in a list of bad ones, 3,500."""

PACKED = object()
"""Stands for a list of numbers: each byte counts, since it may be one."""

Children = dict[int, Any]
"""What is in the fields of a message that have a length: its Children, or PACKED."""


@cache
def parser(deserialize: Callable[[bytes], Message]) -> Callable[[bytes], Message]:
    """Returns a function that parses a message as `deserialize`, a class's `FromString`, does.

    It raises InvalidRequest for bytes that are no such message, and for those with too many fields, which it does
    not parse.
    """
    cls: type[Message] = deserialize.__self__  # type: ignore[attr-defined]
    children = _children(cls.DESCRIPTOR, {})

    def parse(data: bytes) -> Message:
        if len(data) > MAX_ELEMENTS and count_elements(data, children) > MAX_ELEMENTS:
            text = f"has more than {MAX_ELEMENTS:,} fields, with those of its messages"
            raise InvalidRequest.of([Violation("", f"the request {text}")])
        try:
            return cls.FromString(data)
        except DecodeError as error:
            raise InvalidRequest.of([Violation("", "the bytes are no such request")]) from error

    return parse


def _children(descriptor: Any, known: dict[str, Children]) -> Children:
    """Returns what is in a message's fields; messages that hold themselves are one object, held by itself."""
    if descriptor.full_name not in known:
        known[descriptor.full_name] = children = Children()
        for field in descriptor.fields:
            if field.message_type is not None:
                children[field.number] = _children(field.message_type, known)
            elif field.is_repeated and field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
                children[field.number] = PACKED
    return known[descriptor.full_name]


def count_elements(data: bytes, children: Children) -> int:
    """Returns how many fields a message has, with those of its messages, or a number above MAX_ELEMENTS.

    Steps over bytes and strings, so a picture costs nothing, and stops where there are too many. What is no message
    is counted to where that shows; the parser refuses it.
    """
    count = position = 0
    end = len(data)
    outer: list[tuple[int, Children]] = []
    try:
        while count <= MAX_ELEMENTS:
            if position >= end:
                if not outer:
                    break
                end, children = outer.pop()
                continue
            count += 1
            tag, position = _varint(data, position)
            match tag & 7:
                case 2:
                    length, position = _varint(data, position)
                    child = children.get(tag >> 3)
                    if child is PACKED:
                        count += length
                    if child is None or child is PACKED:
                        position += length
                    else:
                        outer.append((end, children))
                        end, children = position + length, child
                case 0:
                    _, position = _varint(data, position)
                case 1:
                    position += 8
                case 5:
                    position += 4
                case 3 | 4:  # the fields of a group, which only fields that we do not know can be, count as ours
                    pass
                case _:
                    break
    except IndexError:
        pass
    return count


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Returns the number at a position and the position after it."""
    byte = data[position]
    position += 1
    if byte < 128:
        return byte, position
    value, shift = byte & 127, 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
        if shift > 63:  # no number has more bytes
            raise IndexError
