"""Results and events: core -> message -> bytes -> message -> core."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import strategies
from tests.support.strategies import as_facts, counts, texts

from celeste_image.core.analysis import Analysis, ImageMetadata
from celeste_image.core.errors import NotAnImage
from celeste_image.core.events import (
    Analyzed,
    Completed,
    ComputeUsed,
    Event,
    Fidelity,
    ImageFailed,
    Picture,
    Preview,
    Progress,
    Queued,
    SafetyJudged,
    Saved,
    Started,
    Warned,
)
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.result import OperationResult
from celeste_image.core.safety import SafetyAction, SafetyStage, SafetyVerdict
from celeste_image.v1 import event_pb2, operation_pb2
from celeste_image.wire.results import event_from_proto, event_to_proto, result_from_proto, result_to_proto

fractions = st.floats(0, 1)
events = (
    st.builds(Queued, counts)
    | st.builds(Started, texts, texts, counts)
    | st.builds(Progress, fractions, texts, st.booleans())
    | st.builds(Preview, st.binary(max_size=20), texts, counts, counts, counts)
    | st.builds(Saved, strategies.images)
    | st.builds(Warned, texts, texts)
)


def through_bytes(event: Event) -> event_pb2.OperationEvent:
    message = event_to_proto(event, 7)
    assert message is not None
    return event_pb2.OperationEvent.FromString(message.SerializeToString())


@settings(max_examples=150, deadline=None)
@given(events)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    began = datetime.now(UTC)
    message = through_bytes(event)
    assert event_from_proto(message) == event
    assert message.sequence == 7
    assert abs((message.time.ToDatetime(UTC) - began).total_seconds()) < 60


@settings(max_examples=150, deadline=None)
@given(strategies.results)
def test_every_result_comes_back_as_it_was(result: OperationResult) -> None:
    message = operation_pb2.OperationResult.FromString(result_to_proto(result).SerializeToString())
    back = result_from_proto(message)
    assert {i: as_facts(e) for i, e in back.failures.items()} == {i: as_facts(e) for i, e in result.failures.items()}
    assert replace(back, failures={}) == replace(result, failures={})
    assert all(strategies.is_json(line.asked) for line in back.fidelity)
    completed = event_from_proto(through_bytes(Completed(result)))
    assert isinstance(completed, Completed)
    assert replace(completed.result, failures={}) == replace(result, failures={})


@pytest.mark.parametrize(
    "event",
    [
        ImageFailed(1, NotAnImage("x")),
        Analyzed(Analysis(ImageMetadata("image/png", 1, 1, 1, "", "L", False))),
        ComputeUsed(1.5),
        SafetyJudged(SafetyVerdict(SafetyStage.OUTPUT, "explicit", SafetyAction.ALLOW, 0.1, 0.8)),
        Picture(b"", "image/png", 1, 1),
        Fidelity(FidelityLine("seed", FidelityOutcome.DEFAULTED, sent=7)),
        Fidelity(FidelityLine("seed", FidelityOutcome.HONORED, asked=7)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events_that_reach_callers_in_the_result_alone_have_no_message(event: Event) -> None:
    assert event_to_proto(event, 1) is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            FidelityLine("size", FidelityOutcome.ADJUSTED, message="sides are multiples of 8"),
            "sides are multiples of 8",
        ),
        (FidelityLine("size", FidelityOutcome.DROPPED), "dropped"),
    ],
)
def test_a_difference_from_what_was_asked_is_a_warning(line: FidelityLine, text: str) -> None:
    assert event_from_proto(through_bytes(Fidelity(line))) == Warned("size", text, line.outcome.upper())


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (SafetyVerdict(SafetyStage.PROMPT, "gore", SafetyAction.FLAG, path="prompt"), "flagged: gore"),
        (SafetyVerdict(SafetyStage.INPUT, "x", SafetyAction.BLUR, 0.914, 0.8, "image"), "blurred: x 0.91, from 0.8 on"),
        (SafetyVerdict(SafetyStage.OUTPUT, "", SafetyAction.BLOCK, message="not checked"), "blocked: not checked"),
    ],
)
def test_a_verdict_that_does_something_is_a_warning(verdict: SafetyVerdict, text: str) -> None:
    assert event_from_proto(through_bytes(SafetyJudged(verdict))) == Warned(
        verdict.path, text, f"SAFETY_{verdict.action.upper()}"
    )


def test_kinds_of_a_newer_server_are_no_event() -> None:
    newer = event_pb2.OperationEvent.FromString(b"\x08\x01" + b"\xfa\x01\x02\x08\x01")  # field 31, a message
    assert event_from_proto(newer) is None
    assert event_from_proto(event_pb2.OperationEvent(failed=event_pb2.FailedEvent())) is None


def test_unknown_enum_numbers_read_as_unspecified() -> None:
    message = operation_pb2.OperationResult(fidelity=[operation_pb2.FidelityLine(path="size", outcome=99)])
    assert result_from_proto(message).fidelity[0].outcome is FidelityOutcome.UNSPECIFIED


def test_a_progress_source_unknown_or_unset_counts_as_reported() -> None:
    for source in (0, 1, 99):
        message = event_pb2.OperationEvent(progress=event_pb2.ProgressedEvent(fraction=0.5, source=source))
        assert event_from_proto(message) == Progress(0.5)
