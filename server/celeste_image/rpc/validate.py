"""Validates messages by the rules of the contract, and finds fields that this server does not know."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from google.protobuf.unknown_fields import UnknownFieldSet

from celeste_image.core.errors import InvalidRequest, UnknownField, Violation
from celeste_image.rpc.sentences import sentence

if TYPE_CHECKING:
    import protovalidate

__all__ = ["check_message", "check_strictly", "unknown_fields"]

LONG = 100


@lru_cache(maxsize=1)
def _pool() -> DescriptorPool:
    """Returns the contract with its rules, in a pool of its own, since the stubs have no rules."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString((files(__package__) / "contract.binpb").read_bytes()).file:
        if file.name == "google/protobuf/struct.proto":
            # A Struct has no rules, and the search for rules took 300 times its bytes: validation sees an empty Struct.
            for message in file.message_type:
                del message.field[:], message.oneof_decl[:], message.nested_type[:]
        pool.Add(file)
    return pool


@lru_cache(maxsize=1)
def _validator() -> "protovalidate.Validator":
    import protovalidate  # late: it has a second implementation of protobuf, which an idle server does not need

    return protovalidate.Validator()


@lru_cache
def _with_rules(name: str) -> type[Message]:
    return GetMessageClass(_pool().FindMessageTypeByName(name))


def check_message(message: Message, prefix: str = "") -> None:
    """Validates a message by its rules.

    Args:
        message: Any message of the contract.
        prefix: Path of the operation inside a StreamRequest. The violations omit the prefix.

    Raises:
        InvalidRequest: The message breaks rules. The error has all violations, or only the first for long lists.
    """
    twin = _with_rules(message.DESCRIPTOR.full_name).FromString(message.SerializeToString())
    violations = _validator().collect_violations(twin, fail_fast=_has_long_list(twin))
    found = [each for violation in violations for each in _violations(violation, twin, prefix)]
    if found:
        raise InvalidRequest.of(found)


def check_strictly(message: Message) -> None:
    """Validates a message and refuses unknown fields: the server must not ignore a filter of a newer client.

    Raises:
        InvalidRequest: The message breaks rules of the contract.
        UnknownField: The message has fields that this server does not know.
    """
    check_message(message)
    if unknown := list(unknown_fields(message)):
        raise UnknownField.of([Violation(path, "this server does not know the field") for path in unknown])


def _has_long_list(message: Message) -> bool:
    """Returns whether a list or map in a message has more entries than an error should name."""
    for field, value in message.ListFields():
        if field.is_repeated and len(value) > LONG:
            return True
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if any(_has_long_list(item) for item in (value if field.is_repeated else (value,))):
            return True
    return False


def _violations(violation: "protovalidate.Violation", message: Message, prefix: str) -> Iterator[Violation]:
    """Yields a broken rule for each of its fields, in a sentence.

    Most rules have one field. A rule about the whole request has no path: its text names the fields.
    """
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += ("." if path else "") + element.field_name
        if element.subscript is not None:
            key = element.subscript.value
            path += f"[{json.dumps(key, ensure_ascii=False)}]"
    whole = path == prefix
    path = "" if whole else path.removeprefix(f"{prefix}.")
    reason = re.sub(r"[^A-Z0-9]+", "_", violation.proto.rule_id.upper()).strip("_")
    text = sentence(violation, message)
    for field in _named_in(violation.proto.message, message, prefix) if whole else [path]:
        yield Violation(field, text, reason)


def _named_in(text: str, message: Message, prefix: str) -> list[str]:
    """Returns the fields that the text of a rule names, in a message or in its part at `prefix`."""
    for name in prefix.split(".") if prefix else ():
        message = getattr(message, name)
    words = re.findall(r"\w+", text)
    return [field.name for field in message.DESCRIPTOR.fields if field.name in words] or [""]


def unknown_fields(message: Message, path: str = "") -> Iterator[str]:
    """Yields the path of each unknown field, by number: `size.#9`. A repeated field is one path."""
    if isinstance(message, Struct):
        return
    fields = UnknownFieldSet(message)
    for number in dict.fromkeys(unknown.field_number for unknown in fields):  # type: ignore[attr-defined]  # a sequence
        yield f"{path}#{number}"
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        here = f"{path}{field.name}"
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for key in value:
                    yield from unknown_fields(value[key], f'{here}["{key}"].')
        elif field.is_repeated:
            for index, item in enumerate(value):
                yield from unknown_fields(item, f"{here}[{index}].")
        else:
            yield from unknown_fields(value, f"{here}.")
