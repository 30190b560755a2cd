"""JSON that is not quite: every value that can be read is, and nothing unbounded comes of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeste_image.outbound.json_values import json_values

VALUE = {"data": [{"b64_json": "AAAA"}], "n": 1}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=3), VALUES, max_size=4),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
def test_any_value_in_any_encoding(value: Any, encoding: str) -> None:
    assert json_values(json.dumps(value).encode(encoding)) == [value]


PIECES = st.sampled_from(
    [bytes([each]) for each in b'[]{}",:\\ 10a\n'] + [b'"a":', b'["\\ud800"]', b"\xef\xbb\xbf"]
) | st.binary(max_size=3)


def fits(number: int) -> int | float:
    """Returns a number as it is read: one of more than 64 bits as a float."""
    return number if -(2**63) <= number < 2**64 else float(number)


@given(st.lists(PIECES, max_size=30).map(b"".join), st.booleans())
def test_no_bytes_break_it(body: bytes, cut: bool) -> None:
    try:
        expected = [json.loads(body, parse_int=lambda text: fits(int(text)))]
    except ValueError:
        expected = []
    try:
        values = json_values(body, cut=cut)
    except ValueError:
        values = []
    assert json.loads(json.dumps(values, ensure_ascii=False).encode()) == values, "what is read can be passed on"
    if expected and isinstance(expected[0], dict | list) and b"ud800" not in body:
        assert values == expected, "JSON itself is always read"


@given(st.integers(1, 60))
def test_a_value_that_is_cut_has_no_half_text(end: int) -> None:
    body = json.dumps(VALUE).encode()[:end]
    try:
        (value,) = json_values(body, cut=True)
    except ValueError:
        assert end < 1
        return
    assert value.get("data", [{}]) in ([], [{}], VALUE["data"])


def test_several_values() -> None:
    assert json_values(b'{"a": 1}\n{"b": 2}\n\n') == [{"a": 1}, {"b": 2}]
    assert json_values(b'{"a": 1}{"b": 2} and words') == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("body", [b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": Infinity}'])
def test_what_is_no_number_is_nothing(body: bytes) -> None:
    assert json_values(body) == [{"a": None}]


@pytest.mark.parametrize(
    "body", [b"", b" ", b"\xef\xbb\xbf", b"NaN", b"words", b"7 apples", b"[" * 70 + b"]" * 70 + b" x", b"<p>{}</p>"]
)
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|value"):
        json_values(body)
