"""Outcomes of calls: a bug outside the pipeline is logged once, and the caller learns only the id of its log line."""

from types import SimpleNamespace
from typing import Any

import grpc
from structlog.testing import capture_logs

from celeste_image.core.errors import InternalError
from celeste_image.rpc.outcome import reporting
from celeste_image.rpc.wrappers import Failure


async def outcome_of(error: Exception) -> tuple[Failure, list[Any]]:
    async def behavior(request: Any, context: Any) -> Any:
        raise error

    with capture_logs() as lines:
        context: Any = SimpleNamespace(time_remaining=lambda: None)
        failure = await reporting(behavior)(None, context)
    return failure, lines


async def test_a_bug_becomes_an_id_that_finds_it_in_the_log() -> None:
    failure, (line,) = await outcome_of(ValueError("the key is hunter2"))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert (line["event"], line["log_level"], line["exc_info"]) == ("bug", "error", True)
    assert failure.status.message == f"a bug of the server; its log has more under {line['log_id']}"
    assert "hunter2" not in str(failure.status)


async def test_a_bug_of_the_pipeline_is_not_logged_again() -> None:
    failure, lines = await outcome_of(InternalError("a bug of the server", metadata={"log_id": "1"}))
    assert (failure.reason, lines) == ("INTERNAL", [])
