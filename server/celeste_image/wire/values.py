"""Converts JSON values and enums between core values and protobuf.

The word of an enum value is its name in the contract without the prefix, in lower case.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from google.protobuf import json_format, struct_pb2

__all__ = ["enum_number", "enum_word", "value_from_proto", "value_to_proto", "whole_numbers"]


def whole_numbers(value: Any) -> Any:
    """Returns JSON values in which whole doubles are integers, since a Struct has only doubles."""
    match value:
        case dict():
            return {key: whole_numbers(item) for key, item in value.items()}
        case list():
            return [whole_numbers(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def value_to_proto(value: Any) -> struct_pb2.Value:
    """Returns the message of a JSON value. Raises TypeError for any other value."""
    message = struct_pb2.Value()
    _fill(message, value)
    return message


def _fill(message: struct_pb2.Value, value: Any) -> None:
    """Sets a message to a JSON value; `json_format` does the same in ten times the time."""
    match value:
        case None:
            message.null_value = struct_pb2.NULL_VALUE
        case bool():
            message.bool_value = value
        case int() | float():
            message.number_value = value
        case str():
            message.string_value = value
        case Mapping():
            message.struct_value.Clear()  # also one without fields is set
            for name, item in value.items():
                _fill(message.struct_value.fields[name], item)
        case list() | tuple():
            message.list_value.Clear()
            for item in value:
                _fill(message.list_value.values.add(), item)
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")


def value_from_proto(message: struct_pb2.Value) -> Any:
    """Returns the JSON value of a message."""
    return whole_numbers(json_format.MessageToDict(message))


@lru_cache(maxsize=1024)
def enum_number(enum: Any, word: str) -> Any:
    """Returns the number of the enum value with this word."""
    return enum.Value(_prefix(enum) + word.upper())


def enum_word(enum: Any, number: int) -> str:
    """Returns the word of a number; an unknown number is `unspecified`."""
    name = enum.Name(number) if number in enum.values() else enum.Name(0)
    return str(name).removeprefix(_prefix(enum)).lower()


def _prefix(enum: Any) -> str:
    return str(enum.Name(0)).removesuffix("UNSPECIFIED")
