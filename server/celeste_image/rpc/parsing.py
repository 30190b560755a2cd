"""Parses requests, and refuses those with too many fields: a parsed request can take 100 times its encoded bytes."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from celeste_image.core.errors import InvalidRequest, Violation
from celeste_image.rpc.chunks import UPLOADS, Chunk, read_varint

__all__ = ["MAX_ELEMENTS", "parser"]

MAX_ELEMENTS: Final = 5_000
"""Most fields of a request, with the fields of its nested messages. The largest useful request (a thousand names) has a
fifth of them. An empty field takes 2 bytes on the wire, about 90 parsed, 650 in validation and 3,500 as a violation."""

PACKED = object()
"""Marks a packed list of numbers: each byte counts, since each may be a number."""

Children = dict[int, Any]
"""Fields of a message with a length prefix, by number: the Children of a nested message, or PACKED."""


@cache
def parser(deserialize: Callable[[bytes], Message]) -> Callable[[bytes], Message | Chunk]:
    """Returns a function that parses a message like `deserialize`, the `FromString` of a class.

    The function returns a Chunk for a message of an upload that is nothing else. It raises InvalidRequest for other
    bytes, and for a message with too many fields before parsing it.
    """
    cls: type[Message] = deserialize.__self__  # type: ignore[attr-defined]
    children = _children(cls.DESCRIPTOR, {})
    form = UPLOADS.get(cls)

    def parse(data: bytes) -> Message | Chunk:
        if form and (chunk := form.read(data)):
            return chunk
        if len(data) > MAX_ELEMENTS and count_elements(data, children) > MAX_ELEMENTS:
            text = f"has more than {MAX_ELEMENTS:,} fields, nested messages included"
            raise InvalidRequest.of([Violation("", f"the request {text}")])
        try:
            return cls.FromString(data)
        except DecodeError as error:
            raise InvalidRequest.of([Violation("", "the bytes are not a valid request")]) from error

    return parse


def _children(descriptor: Any, known: dict[str, Children]) -> Children:
    """Returns the Children of a message type. A recursive type refers to its own object."""
    if descriptor.full_name not in known:
        known[descriptor.full_name] = children = Children()
        for field in descriptor.fields:
            if field.message_type is not None:
                children[field.number] = _children(field.message_type, known)
            elif field.is_repeated and field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
                children[field.number] = PACKED
    return known[descriptor.full_name]


def count_elements(data: bytes, children: Children) -> int:
    """Returns the number of fields of a message with its nested messages, or any number above MAX_ELEMENTS.

    Skips bytes and strings, so an image costs nothing, and stops at too many fields. Counts invalid bytes up to the
    first error; the parser refuses them.
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
            tag, position = read_varint(data, position)
            match tag & 7:
                case 2:
                    length, position = read_varint(data, position)
                    child = children.get(tag >> 3)
                    if child is PACKED:
                        count += length
                    if child is None or child is PACKED:
                        position += length
                    else:
                        outer.append((end, children))
                        end, children = position + length, child
                case 0:
                    _, position = read_varint(data, position)
                case 1:
                    position += 8
                case 5:
                    position += 4
                case 3 | 4:  # fields of a group count too; only unknown fields can be groups
                    pass
                case _:
                    break
    except IndexError:
        pass
    return count
