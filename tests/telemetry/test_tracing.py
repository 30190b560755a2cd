"""Spans: which are recorded, what they have in common, and what goes to other services."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from celeste_image.core.errors import QueueFull
from celeste_image.telemetry.tracing import (
    CLIENT,
    MOST_EVENTS,
    Sampling,
    Span,
    Tracer,
    attached,
    child,
    current,
    exemplar,
    trace_headers,
)

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = ((("traceparent", f"00-{TRACE}-{PARENT}-0{flag}"), ("tracestate", "a=1")) for flag in (1, 0))


def test_a_call_goes_on_with_the_trace_of_its_caller() -> None:
    spans: list[Span] = []
    with Tracer(spans.append).serve("call", SAMPLED) as call, attached(call):
        with child("vendor", {"a": 1}, CLIENT) as vendor:
            assert vendor
            headers = trace_headers(vendor)
        assert trace_headers()["traceparent"] == f"00-{TRACE}-{call.id.hex()}-01"
    assert headers == {"traceparent": f"00-{TRACE}-{vendor.id.hex()}-01", "tracestate": "a=1"}
    assert spans == [vendor, call]
    assert (call.trace_id, call.parent_id.hex(), call.is_remote) == (TRACE, PARENT, True)
    assert (vendor.trace_id, vendor.parent_id, vendor.is_remote, vendor.kind) == (TRACE, call.id, False, CLIENT)
    assert call.began_ns <= vendor.began_ns <= vendor.ended_ns <= call.ended_ns


def test_a_call_without_a_caller_begins_a_trace() -> None:
    tracer = Tracer(lambda _: None)
    one, other = tracer.serve("call", ()), tracer.serve("call", ())
    assert one.trace.id != other.trace.id
    assert (len(one.trace.id), one.parent_id, one.is_remote) == (16, b"", False)


def test_what_the_caller_does_not_record_is_passed_on_and_not_recorded() -> None:
    spans: list[Span] = []
    with Tracer(spans.append).serve("call", UNSAMPLED) as call, attached(call):
        assert exemplar() is None
        with child("store put") as span:
            assert span is None
        call.past("wait", 1, 2)
        assert trace_headers() == {"traceparent": f"00-{TRACE}-{call.id.hex()}-00", "tracestate": "a=1"}
    assert spans == []


def test_outside_of_a_call_nothing_is_recorded() -> None:
    with child("sweep") as span:
        assert span is None
    assert current() is None
    assert exemplar() is None
    assert trace_headers() == {}


def test_vendors_get_no_trace_if_the_operator_wants_none() -> None:
    call = Tracer(lambda _: None, propagates=False).serve("call", SAMPLED)
    assert trace_headers(call) == {}


@pytest.mark.parametrize(
    ("sampling", "takes"),
    [
        (Sampling(), {None: True, True: True, False: False}),
        (Sampling(0.0), {None: False, True: True, False: False}),
        (Sampling(follows_parent=False), {None: True, True: True, False: True}),
        (Sampling(0.0, follows_parent=False), {None: False, True: False, False: False}),
    ],
)
def test_a_caller_decides_or_the_operator(sampling: Sampling, takes: dict[bool | None, bool]) -> None:
    assert {parent: sampling.takes(bytes(15) + b"\1", parent) for parent in takes} == takes


def test_a_ratio_takes_the_same_traces_as_the_sdk() -> None:
    from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

    ids = [bytes(8) + (n * 0x0101010101010101).to_bytes(8) for n in range(256)]
    for ratio in (0.0, 0.1, 0.25, 0.5, 1.0):
        sdk, own = TraceIdRatioBased(ratio), Sampling(ratio)
        taken = [sdk.should_sample(None, int.from_bytes(id_), "").decision is Decision.RECORD_AND_SAMPLE for id_ in ids]
        assert [own.takes(id_, None) for id_ in ids] == taken


def test_a_failure_is_told_by_its_reason_and_never_by_its_text() -> None:
    spans: list[Span] = []
    call = Tracer(spans.append).serve("call", ())
    for error in (QueueFull("a secret"), ValueError("a secret"), asyncio.CancelledError()):
        with pytest.raises(type(error)), call.child("work"):
            raise error
    assert [span.error for span in spans] == ["QUEUE_FULL", "INTERNAL", "CANCELLED"]
    assert [span.attributes for span in spans] == [{"error.type": span.error} for span in spans]


def test_a_span_ends_once() -> None:
    spans: list[Span] = []
    with Tracer(spans.append).serve("call", ()) as call:
        call.end()
        ended = call.ended_ns
    assert (len(spans), call.ended_ns) == (1, ended)


def test_a_span_has_a_limit_of_events() -> None:
    call = Tracer(lambda _: None).serve("call", ())
    for _ in range(MOST_EVENTS + 3):
        call.event("queued")
    assert (len(call.events), call.dropped_events) == (MOST_EVENTS, 3)


def test_only_a_wait_that_took_time_is_a_span() -> None:
    spans: list[Span] = []
    call = Tracer(spans.append).serve("call", ())
    call.waited("wait", 1_000, 2_000)
    call.waited("wait", 1_000, 2_001_000)
    assert [(span.began_ns, span.ended_ns, span.parent_id) for span in spans] == [(1_000, 2_001_000, call.id)]


async def test_the_span_of_a_generator_is_not_that_of_its_reader() -> None:
    call = Tracer(lambda _: None).serve("call", ())

    async def work() -> AsyncGenerator[Span | None, None]:
        yield current()
        yield current()

    async with aclosing(work()) as events:
        with attached(call):
            first = await anext(events)
        assert current() is None
        assert (first, await anext(events)) == (call, None)
