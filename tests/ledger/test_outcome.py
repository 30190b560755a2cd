"""Outcomes as JSON: what is given again is what was made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import analyses, as_facts, errors, images, lines, numbers, texts, verdicts

from celeste_image.core.events import (
    Analyzed,
    Billed,
    ComputeUsed,
    Event,
    Fidelity,
    ImageFailed,
    Progress,
    SafetyJudged,
    Saved,
    Started,
    Warned,
)
from celeste_image.core.money import quantities
from celeste_image.ledger import Outcome

events = st.one_of(
    st.builds(Started, texts, texts, st.integers(1, 9)),
    st.builds(Fidelity, lines),
    st.builds(Warned, texts, texts, texts),
    st.builds(Saved, images, st.binary(max_size=9)),
    st.builds(ImageFailed, st.integers(0, 15), errors()),
    st.builds(Analyzed, analyses),
    st.builds(SafetyJudged, verdicts),
    st.builds(ComputeUsed, numbers),
)


@given(st.lists(events, max_size=6), st.none() | errors())
def test_an_outcome_comes_back_without_the_bytes_of_images(made: list[Event], error: Exception | None) -> None:
    data = Outcome(made, error).encode()  # type: ignore[arg-type]
    again = Outcome.decode(data)
    assert again.encode() == data
    assert len(again.events) == len(made)
    for one, other in zip(made, again.events, strict=True):
        if isinstance(one, ImageFailed):
            assert isinstance(other, ImageFailed)
            assert as_facts(other.error)[:-1] == as_facts(one.error)[:-1]
        elif isinstance(one, Saved):
            assert isinstance(other, Saved)
            assert (other.data, other.image.data) == (b"", b"")
            assert other.image.sha256 == one.image.sha256
        else:
            assert other == one


def test_what_only_tells_how_far_it_was_is_left_out() -> None:
    assert Outcome.decode(Outcome([Progress(0.5), Billed(quantities({"credit": 1.5}))]).encode()).events == (
        Billed(quantities({"credit": 1.5})),
    )


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"events":[["Dreamt",{}]],"error":null}', b'{"events":1}'])
def test_what_is_no_outcome_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an outcome"):
        Outcome.decode(data)
