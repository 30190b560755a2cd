"""The tree in the docstring, the classes, the table and the contract's enum say the same."""

import re
from pathlib import Path

import grpc
import pytest

from celeste_image.core import errors
from celeste_image.core.errors import ERRORS, CelesteError, InvalidRequest, Violation
from celeste_image.v1 import error_reason_pb2

PROTO = Path(__file__).parents[2] / "proto/celeste/image/v1/error_reason.proto"
PREFIX = "ERROR_REASON_"


def drawn() -> dict[str, tuple[str, str, str, bool]]:
    """Returns the tree in the docstring: class -> (class above, reason, code, retryable)."""
    found: dict[str, tuple[str, str, str, bool]] = {}
    above = ["CelesteError"]
    for line in str(errors.__doc__).splitlines():
        if branch := re.match(r"    ([│ ]*)[├└]── (\w+) +(\w+) +(\w+)( +retryable)?$", line):
            depth = len(branch[1]) // 4 + 1
            above[depth:] = [branch[2]]
            found[branch[2]] = (above[depth - 1], branch[3], branch[4], bool(branch[5]))
    return found


def below(cls: type[CelesteError]) -> list[type[CelesteError]]:
    return [found for child in cls.__subclasses__() for found in (child, *below(child))]


def contract() -> dict[str, str]:
    """Returns the enum as it is written: name -> the first word of its comment."""
    found, comment = {}, ""
    for line in PROTO.read_text().splitlines():
        if text := re.match(r" *// (.*)", line):
            comment += text[1] + " "
        else:
            if name := re.match(rf" *({PREFIX}\w+) = [1-9]\d*;", line):
                found[name[1]] = comment.split(".")[0]
            comment = ""
    return found


def test_the_tree_drawn_is_the_tree_of_classes() -> None:
    classes = {
        cls.__name__: (cls.__mro__[1].__name__, cls.reason, cls.code, cls.retryable) for cls in below(CelesteError)
    }
    assert drawn() == classes
    assert list(drawn()) == list(classes), "drawn in the order of the file"


def test_the_table_has_every_class_once() -> None:
    assert list(ERRORS.values()) == below(CelesteError)
    assert all(cls.reason == reason for reason, cls in ERRORS.items())


def test_the_table_is_the_enum_of_the_contract() -> None:
    names = set(error_reason_pb2.ErrorReason.keys()) - {PREFIX + "UNSPECIFIED"}
    assert {PREFIX + reason for reason in ERRORS} == names


def test_each_comment_in_the_contract_begins_with_the_code() -> None:
    assert contract() == {PREFIX + reason: cls.code for reason, cls in ERRORS.items()}


@pytest.mark.parametrize("cls", ERRORS.values(), ids=ERRORS.keys())
def test_each_error_has_a_code_of_grpc_and_says_what_it_means(cls: type[CelesteError]) -> None:
    assert cls.code in grpc.StatusCode.__members__
    assert cls.__name__ in errors.__all__
    assert cls.__doc__


def test_every_violation_is_in_the_error_and_three_in_its_message() -> None:
    violations = [Violation(f"field_{i}", "is wrong") for i in range(5)] + [Violation("", "is odd as a whole")]
    error = InvalidRequest.of(violations)
    assert error.violations == tuple(violations)
    assert error.message == "field_0: is wrong; field_1: is wrong; field_2: is wrong (and 3 more)"
    assert InvalidRequest.of(violations[-1:]).message == "is odd as a whole"


def test_one_field_at_fault_with_facts_as_text() -> None:
    error = InvalidRequest.at("size.width", "must be at most 8", limit=8, value=9)
    assert str(error) == error.message == "size.width: must be at most 8"
    assert error.violations == (Violation("size.width", "must be at most 8"),)
    assert error.metadata == {"limit": "8", "value": "9"}
