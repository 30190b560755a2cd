"""The headers of W3C trace context: what callers send, valid or not."""

import pytest

from celeste_image.telemetry.trace_context import read_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("parent", "is_sampled"),
    [
        (PARENT, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-02", False),
        (f"01-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
    ],
)
def test_a_parent_is_read(parent: str, is_sampled: bool) -> None:
    found = read_context([("user-agent", "grpc-go"), ("traceparent", parent), ("some-bin", b"\0")])
    assert found is not None
    assert (found.trace_id.hex(), found.span_id.hex(), found.is_sampled) == (TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "parent",
    [
        "",
        PARENT.upper(),
        PARENT + " ",
        PARENT + "\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN[1:]}g-01",
    ],
)
def test_an_invalid_parent_counts_as_none(parent: str) -> None:
    assert read_context([("traceparent", parent), ("tracestate", "a=1")]) is None


def test_two_parents_count_as_none() -> None:
    assert read_context([("traceparent", PARENT), ("traceparent", PARENT)]) is None
    assert read_context([("tracestate", "a=1")]) is None


@pytest.mark.parametrize(
    ("states", "passed_on"),
    [
        (["rojo=00f067aa0ba902b7"], "rojo=00f067aa0ba902b7"),
        (["a=1", "b=2"], "a=1,b=2"),
        (["a=1 , b=2,,c=3\t"], "a=1,b=2,c=3"),
        (["fw529a3039@dt=FfAAAAAA", "1a-_*/@b=x y"], "fw529a3039@dt=FfAAAAAA,1a-_*/@b=x y"),
        ([",".join(f"k{n}=1" for n in range(32))], ",".join(f"k{n}=1" for n in range(32))),
        ([",".join(f"k{n}=1" for n in range(33))], ""),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a"], ""),
        (["a=1=2"], ""),
        (["a=\u00e9"], ""),
        (["a=1\x7f"], ""),
        (["a=" + "x" * 256], "a=" + "x" * 256),
        (["a=" + "x" * 257], ""),
        ([f"{key}={'x' * 170}" for key in "abc"], ""),
    ],
)
def test_a_state_is_passed_on_or_dropped_whole(states: list[str], passed_on: str) -> None:
    found = read_context([("traceparent", PARENT), *(("tracestate", state) for state in states)])
    assert found is not None
    assert found.state == passed_on
