"""The phases of a task that a worker process reports, an honest one and one that was taken over."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from tests.support.otlp import Told, tree

from celeste_image.core.errors import NotAnImage
from celeste_image.sandbox.frames import Frame
from celeste_image.sandbox.phases import MOST_PHASES, Phases, phases_of
from celeste_image.sandbox.pool import WorkerPool
from celeste_image.telemetry.tracing import Span, Tracer, attached

MakePool = Callable[..., WorkerPool]
Fields = dict[str, Any]


def test_a_phase_lasts_until_the_next_one() -> None:
    phases = Phases()
    for name in ("scene", "scene", "", None, "encode"):
        phases.enter(name)
    frame = Frame("done", phases.fields())
    found = phases_of(frame, 0, 1 << 62)
    assert [name for name, _, _ in found] == ["run", "scene", "encode"]
    assert [ended for _, _, ended in found[:-1]] == [began for _, began, _ in found[1:]]
    assert found[-1][2] == frame.fields["ended"]


def test_an_engine_with_many_phases_reports_the_first_ones() -> None:
    phases = Phases()
    for number in range(2 * MOST_PHASES):
        phases.enter(f"phase {number}")
    assert len(phases_of(Frame("done", phases.fields()), 0, 1 << 62)) == MOST_PHASES


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, []),
        ({"phases": [["run", 120], ["encode", 130]], "ended": 150}, [("run", 120, 130), ("encode", 130, 150)]),
        ({"phases": [["run", -5]], "ended": 1 << 70}, [("run", 100, 200)]),
        ({"phases": [["run", 150], ["encode", 120]], "ended": 110}, [("run", 150, 150), ("encode", 150, 150)]),
        ({"phases": [["run", 120]]}, [("run", 120, 120)]),
    ],
)
def test_times_are_moved_into_those_of_the_task(fields: Fields, found: list[tuple[str, int, int]]) -> None:
    assert phases_of(Frame("done", fields), 100, 200) == found


@pytest.mark.parametrize(
    "fields",
    [
        {"phases": 7},
        {"phases": [["run"]]},
        {"phases": [["run", "now"]], "ended": 150},
        {"phases": [["run", 120.5]], "ended": 150},
        {"phases": [["run", True]], "ended": 150},
        {"phases": [["run", 120]], "ended": None},
        {"phases": [["a prompt: Größe", 120]], "ended": 150},
        {"phases": [["x" * 41, 120]], "ended": 150},
        {"phases": [["", 120]], "ended": 150},
        {"phases": [[None, 120]], "ended": 150},
        {"phases": [["run", 120]] * (MOST_PHASES + 1), "ended": 150},
    ],
)
def test_a_malformed_report_is_refused(fields: Fields) -> None:
    with pytest.raises((ArithmeticError, AttributeError, LookupError, TypeError, ValueError)):
        phases_of(Frame("done", fields), 100, 200)


async def run(pool: WorkerPool, act: str) -> list[Frame]:
    async with aclosing(pool.run({"act": act})) as frames:
        return [frame async for frame in frames]


async def test_a_task_is_a_span_with_its_phases(make_pool: MakePool) -> None:
    pool, kept = make_pool(name="acts"), list[Span]()
    call = Tracer(kept.append).serve("call", ())
    with attached(call):
        for act in ("echo", "echo"):
            await run(pool, act)
    call.end()
    spans = [Told.of(span) for span in kept]
    first, second = (span for span in spans if span.name == "worker acts")
    assert (tree(spans, first.span_id), tree(spans, second.span_id)) == ({"start": {}, "run": {}}, {"run": {}})
    assert first.attributes == {"celeste.pool": "acts"}


async def test_a_failed_task_has_its_reason_and_its_phases(make_pool: MakePool) -> None:
    pool, kept = make_pool(name="acts"), list[Span]()
    call = Tracer(kept.append).serve("call", ())
    with attached(call), pytest.raises(NotAnImage):
        await run(pool, "refuses")
    assert [(span.name, span.error) for span in kept] == [("start", ""), ("run", ""), ("worker acts", "NOT_AN_IMAGE")]
