"""JSON values as messages: the same as protobuf's own conversion makes, and back."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from tests.support import strategies

from celeste_image.wire.values import value_from_proto, value_to_proto


def by_the_library(value: Any) -> struct_pb2.Value:
    message = struct_pb2.Value()
    json_format.ParseDict(value, message)
    return message


@given(strategies.json_values)
def test_a_value_is_the_message_that_the_library_makes(value: Any) -> None:
    made = value_to_proto(value)
    assert made == by_the_library(value)
    assert made.WhichOneof("kind") == by_the_library(value).WhichOneof("kind"), "empty ones are set, too"


def test_mappings_and_tuples_are_objects_and_lists() -> None:
    value: Mapping[str, Any] = MappingProxyType({"a": (1, 2.5), "b": MappingProxyType({})})
    assert value_from_proto(value_to_proto(value)) == {"a": [1, 2.5], "b": {}}


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes is no JSON value"):
        value_to_proto({"a": b"x"})
