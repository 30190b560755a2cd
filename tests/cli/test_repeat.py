"""The advice after an error: how to ask for a request that may have been done, and how to repeat it."""

import pytest
from grpc import StatusCode

from celeste_image.cli.repeat import advice
from celeste_image.core.errors import (
    CelesteError,
    DeadlineExceeded,
    InvalidRequest,
    OutcomeUnknown,
    RequestIdReused,
    ServerUnavailable,
)
from celeste_image.wire.status import error_from_trailers

ID = "0e28b64f-4eb1-4fca-864f-7613b4642ea4"
ASK, REPEAT = f"celeste ledger --request {ID}", f"--request-id {ID}"

REFUSED = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
    "Failed to connect to remote host: Connection refused"
)


def told_by_grpc(code: str, text: str) -> CelesteError:
    """Returns the client's error for a status of gRPC itself, which has no details."""
    return error_from_trailers(StatusCode[code], text, ())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OutcomeUnknown("?", metadata={"final": "false", "owed": "unknown"}), [ASK, REPEAT]),
        (OutcomeUnknown("?", metadata={"final": "true", "owed": "unknown"}), [ASK, "a new id may pay twice"]),
        (DeadlineExceeded("late", metadata={"owed": "unknown"}), [ASK, REPEAT]),
        (DeadlineExceeded("late"), []),
        (told_by_grpc("UNAVAILABLE", "Socket closed"), [REPEAT]),
        (told_by_grpc("UNAVAILABLE", REFUSED), []),
        (told_by_grpc("UNIMPLEMENTED", "Method not found!"), []),
        (told_by_grpc("DEADLINE_EXCEEDED", "Deadline Exceeded"), []),
        (
            RequestIdReused("used", metadata={"started": "2026-12-01T08:00:00+00:00"}),
            ["used at 2026-12-01T08:00:00+00"],
        ),
        (RequestIdReused("used"), ["was used before; leave out --request-id"]),
        (InvalidRequest("too long"), []),
    ],
)
def test_the_advice_names_the_command_for_the_request(error: CelesteError, words: list[str]) -> None:
    error.request_id = ID
    lines = advice(error)
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))


def test_there_is_no_advice_without_an_id() -> None:
    assert not advice(ServerUnavailable("Socket closed"))
