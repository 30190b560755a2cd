"""Checks messages by the rules in the contract, and finds the fields that this server does not know."""

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

import protovalidate
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from google.protobuf.unknown_fields import UnknownFieldSet

from celeste_image.core.errors import InvalidRequest, Violation

__all__ = ["check_message", "unknown_fields"]


@lru_cache(maxsize=1)
def _pool() -> DescriptorPool:
    """Returns the contract with its rules, in a pool of its own: the stubs carry none."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString((files(__package__) / "contract.binpb").read_bytes()).file:
        pool.Add(file)
    return pool


@lru_cache(maxsize=1)
def _validator() -> protovalidate.Validator:
    return protovalidate.Validator()


@lru_cache
def _with_rules(name: str) -> type[Message]:
    return GetMessageClass(_pool().FindMessageTypeByName(name))


def check_message(message: Message, prefix: str = "") -> None:
    """Checks a message by its rules.

    Args:
        message: Any message of the contract.
        prefix: Path of the part that callers take for the whole; it is left out of theirs.

    Raises:
        InvalidRequest: Some are broken; all of them are named.
    """
    twin = _with_rules(message.DESCRIPTOR.full_name).FromString(message.SerializeToString())
    found = [_violation(violation, prefix) for violation in _validator().collect_violations(twin)]
    if found:
        raise InvalidRequest.of(found)


def _violation(violation: protovalidate.Violation, prefix: str) -> Violation:
    """Returns a broken rule in the contract's grammar of paths, with the number that was given."""
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += ("." if path else "") + element.field_name
        if element.subscript is not None:
            key = element.subscript.value
            path += f'["{key}"]' if isinstance(key, str) else f"[{key}]"
    given = violation.field_value
    said = f", is {given:g}" if isinstance(given, int | float) and not isinstance(given, bool) else ""
    path = "" if path == prefix else path.removeprefix(f"{prefix}.")
    return Violation(path, violation.proto.message + said)


def unknown_fields(message: Message, path: str = "") -> Iterator[str]:
    """Yields the path of each field that this server does not know, by number: `size.#9`."""
    if isinstance(message, Struct):
        return
    for unknown in UnknownFieldSet(message):  # type: ignore[attr-defined]  # a sequence, which its types do not say
        yield f"{path}#{unknown.field_number}"
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
