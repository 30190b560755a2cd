"""recording: one result at the end, one line in the log for every call."""

import asyncio
import hashlib
import itertools
import json
import time
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs
from tests.support.fake_provider import CALL, REQUEST, Fake, collect, collect_until_error, output, saved

from celeste_image.core.analysis import Analysis, ImageMetadata
from celeste_image.core.call import Call
from celeste_image.core.edits import Instruct
from celeste_image.core.errors import InternalError, NotAnImage, QueueFull
from celeste_image.core.events import (
    Analyzed,
    Completed,
    ComputeUsed,
    Fidelity,
    ImageFailed,
    Progress,
    Reused,
    Run,
    Started,
)
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.image import ImageInput, ImageReference
from celeste_image.core.request import Edit, RequestOptions
from celeste_image.core.result import OperationResult, ResultSource, Usage
from celeste_image.ledger import EndedOperation
from celeste_image.pipeline.complete import completing

LINE = FidelityLine("seed", FidelityOutcome.DEFAULTED, sent=7)
FOUND = Analysis(ImageMetadata("image/png", 1, 1, 1, "0" * 64, "L", False))
LOST = NotAnImage("no")


async def test_the_result_is_last_once_and_has_everything() -> None:
    events = [
        Started("fake", "fake/one"),
        Fidelity(LINE),
        Progress(0.5),
        saved(2, width=1000, height=500),
        saved(0, width=1000, height=1000),
        ImageFailed(1, LOST),
        ComputeUsed(1.5),
        ComputeUsed(0.5),
        Analyzed(FOUND),
    ]
    *before, last = await collect(completing(Fake(*events)))
    assert before == events
    assert last == Completed(
        OperationResult(
            request_id=CALL.request_id,
            model="fake/one",
            images=(output(0, 1000, 1000), output(2, 1000, 500)),
            failures={1: LOST},
            analysis=FOUND,
            fidelity=(LINE,),
            usage=Usage(2, 1.5, 2.0),
        )
    )


async def test_a_call_that_no_engine_worked_on_has_no_time() -> None:
    (completed,) = await collect(completing(Fake()))
    assert isinstance(completed, Completed)
    assert completed.result.usage == Usage(0, 0.0, None)


async def test_each_call_has_a_result_of_its_own() -> None:
    run = completing(Fake(saved()))
    for _ in range(3):
        *_, completed = await collect(run)
        assert isinstance(completed, Completed)
        assert len(completed.result.images) == 1


async def test_errors_for_callers_pass_as_they_are() -> None:
    error = QueueFull("full", retry_after=1)
    seen, raised = await collect_until_error(completing(Fake(Progress(0.1), error)))
    assert raised is error
    assert seen == [Progress(0.1)], "no result"


async def test_a_bug_becomes_an_id_that_finds_it_in_the_log() -> None:
    with capture_logs() as lines:
        _, error = await collect_until_error(completing(Fake(ValueError("the key is hunter2"))))
    assert isinstance(error, InternalError)
    assert "hunter2" not in error.message + json.dumps(error.metadata)
    log_id = error.metadata["log_id"]
    assert log_id in error.message
    bug, call = lines
    assert (bug["event"], bug["log_level"], bug["log_id"], bug["exc_info"]) == ("bug", "error", log_id, True)
    assert (call["event"], call["outcome"], call["log_id"]) == ("call", "INTERNAL", log_id)


async def line_of(*script: object) -> dict[str, object]:
    with capture_logs() as lines:
        await collect_until_error(completing(Fake(*script)))  # type: ignore[arg-type]
    (line,) = lines
    return line


async def test_the_line_of_a_call_says_what_became_of_it_and_nothing_private() -> None:
    line = await line_of(Started("fake", "fake/one"), saved(), saved(1))
    seconds = line.pop("seconds")
    assert isinstance(seconds, float)
    assert line == {
        "event": "call",
        "log_level": "info",
        "operation": "generate",
        "request_id": CALL.request_id,
        "model": "fake/one",
        "outcome": "OK",
        "images": 2,
    }
    assert REQUEST.prompt not in str(line)


async def test_the_content_of_a_request_is_in_the_line_if_the_operator_wants_it() -> None:
    data, digest = b"bytes of an image", "00" * 32
    request = Edit(
        model="fake/one",
        image=ImageInput(data=data),
        edit=Instruct(prompt="a canary"),
        negative_prompt="a crow",
        references=(
            ImageReference(ImageInput(artifact="artifacts/a")),
            ImageReference(ImageInput(data=data, sha256=digest)),
            ImageReference(ImageInput(uri="https://example.com/?key=secret")),
        ),
    )
    with capture_logs() as lines:
        await collect(completing(Fake(saved()), logs_prompts=True), request)
    (line,) = lines
    assert line["prompts"] == {"instruct.prompt": "a canary", "negative_prompt": "a crow"}
    assert line["inputs"] == {
        "image": hashlib.sha256(data).hexdigest(),
        "references[0].image": "artifacts/a",
        "references[1].image": digest,
        "references[2].image": "uri",
    }
    assert line["outputs"] == [saved().image.sha256]
    assert "example.com" not in str(line)
    assert "bytes of" not in str(line)


async def test_refusals_have_a_line_too() -> None:
    line = await line_of(QueueFull("full"))
    assert (line["outcome"], line["model"], line["images"]) == ("QUEUE_FULL", REQUEST.model, 0)


async def left(call: Call, script: list[object], reads: int) -> str:
    with capture_logs() as lines:
        async with aclosing(completing(Fake(*script))(REQUEST, call)) as events:  # type: ignore[arg-type]
            for _ in range(reads):
                await anext(events)
    (line,) = lines
    return str(line["outcome"])


async def test_who_leaves_early_cancelled_or_was_late() -> None:
    now = time.monotonic()
    script: list[object] = [Progress(0.1), saved()]
    assert await left(Call("a"), script, 1) == "CANCELLED"
    assert await left(Call("a", deadline=now + 1000), script, 1) == "CANCELLED"
    assert await left(Call("a", deadline=now - 1), script, 1) == "DEADLINE_EXCEEDED"
    assert await left(Call("a", deadline=now - 1), script, 3) == "OK", "it had the result"


async def test_a_cancelled_call_has_a_line_and_stays_cancelled() -> None:
    never = asyncio.Event()
    fake = Fake(lambda request: never.wait())
    with capture_logs() as lines:
        task = asyncio.create_task(collect(completing(fake)))
        while not fake.asked:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [line["outcome"] for line in lines] == ["CANCELLED"]
    assert fake.closed == 1


LABELLED = replace(REQUEST, options=RequestOptions(labels={"project": "x"}))
BEGAN = datetime(2026, 11, 20, tzinfo=UTC)


def counting(run: Run) -> tuple[Run, list[EndedOperation]]:
    """Returns the step, and what it counts; each look at its clock is a second later."""
    counted: list[EndedOperation] = []
    seconds = itertools.count()
    return completing(run, count=counted.append, now=lambda: BEGAN + timedelta(seconds=next(seconds))), counted


COUNTED = EndedOperation(
    CALL.caller, CALL.request_id, "fake/one", "generate", BEGAN, BEGAN + timedelta(seconds=1), labels={"project": "x"}
)
MADE = (Started("fake", "fake/none"), Started("fake", "fake/one"), saved(0, width=4, height=3), ComputeUsed(1.5))


async def test_a_success_is_counted_with_all_that_it_used() -> None:
    run, counted = counting(Fake(*MADE, saved(1, width=2, height=2)))
    await collect(run, LABELLED)
    assert counted == [replace(COUNTED, images=2, pixels=16, compute_seconds=1.5)]


@pytest.mark.parametrize("error", [QueueFull("no"), RuntimeError("a bug")])
async def test_a_failure_is_counted_with_what_it_used_until_then(error: Exception) -> None:
    run, counted = counting(Fake(*MADE, error))
    await collect_until_error(run, LABELLED)
    reason = "QUEUE_FULL" if isinstance(error, QueueFull) else "INTERNAL"
    assert counted == [replace(COUNTED, outcome=reason, images=1, pixels=12, compute_seconds=1.5)]


async def test_a_call_that_its_caller_leaves_is_counted_as_cancelled_unless_it_has_its_result() -> None:
    run, counted = counting(Fake(*MADE))
    async with aclosing(run(LABELLED, CALL)) as events:
        await anext(events)
    assert [(each.outcome, each.images) for each in counted] == [("CANCELLED", 0)]
    async with aclosing(run(LABELLED, CALL)) as events:
        async for event in events:
            if isinstance(event, Completed):
                break
    assert [each.outcome for each in counted] == ["CANCELLED", ""]


@pytest.mark.parametrize("source", [ResultSource.REPLAYED, ResultSource.CACHED])
async def test_a_reused_result_has_used_nothing_again(source: ResultSource) -> None:
    run, counted = counting(Fake(Reused(source), *MADE))
    *_, completed = await collect(run, LABELLED)
    assert isinstance(completed, Completed) and len(completed.result.images) == 1
    assert counted == [replace(COUNTED, is_reused=True)]


async def test_a_model_that_is_not_found_is_not_counted_under_its_name() -> None:
    """A caller could fill the usage with names otherwise."""
    run, counted = counting(Fake(QueueFull("no")))
    await collect_until_error(run, LABELLED)
    assert [each.model for each in counted] == [""]


async def test_a_reused_result_has_its_source_and_the_line_has_it_too() -> None:
    with capture_logs() as logs:
        *_, made = await collect(completing(Fake(Started("fake", "fake/one"), saved())))
        *_, cached = await collect(completing(Fake(Reused(ResultSource.CACHED), Started("fake", "fake/one"), saved())))
    assert isinstance(made, Completed) and isinstance(cached, Completed)
    assert (made.result.source, cached.result.source) == (ResultSource.MADE, ResultSource.CACHED)
    assert replace(cached.result, source=ResultSource.MADE) == made.result
    assert [line.get("source") for line in logs] == [None, "cached"]
