"""Errors: class -> google.rpc.Status -> class, and whatever else a server may answer."""

import asyncio

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import strategies
from tests.support.strategies import as_facts

from celeste_image.core.errors import (
    ERRORS,
    Attempt,
    CelesteError,
    InternalError,
    InvalidRequest,
    ModelNotFound,
    QueueFull,
    ServerUnavailable,
    Violation,
)
from celeste_image.wire.status import (
    DETAILS,
    DOMAIN,
    error_from_status,
    error_from_trailers,
    status_code,
    status_from_error,
)

MOST = 4096


def full(cls: type[CelesteError]) -> CelesteError:
    return cls(
        "a message for people, größer",
        metadata={"limit": "1", "value": "2"},
        violations=[Violation('options.provider_options["local"].tile', "must be 32 or more"), Violation("", "is odd")],
        resource="artifacts/sha256-00",
        retry_after=1.25,
        attempts=[Attempt("bfl/flux", "QUEUE_FULL", "full", 1.5), Attempt("openai/gpt", "PROVIDER_BILLING")],
    )


def test_attempts_lose_their_texts_before_a_status_is_too_large() -> None:
    attempts = [Attempt(f"vendor/{i}", "QUEUE_FULL", "x" * 300, 1.0) for i in range(24)]
    back = error_from_status(status_from_error(QueueFull("full", attempts=attempts)))
    assert [(a.model, a.reason, a.text) for a in back.attempts] == [(a.model, a.reason, "") for a in attempts]
    few = error_from_status(status_from_error(QueueFull("full", attempts=attempts[:2])))
    assert [len(attempt.text) for attempt in few.attempts] == [200, 200]
    long = [Attempt("vendor/" + "m" * 193, "QUEUE_FULL") for _ in range(72)]
    status = status_from_error(QueueFull("full", attempts=long))
    assert status.ByteSize() <= MOST
    assert 0 < len(error_from_status(status).attempts) < 72


def of(reason: str, domain: str, code: int) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message="text")
    status.details.append(any_pb2.Any())
    status.details[0].Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata={"a": "b"}))
    return status


@pytest.mark.parametrize("cls", ERRORS.values(), ids=ERRORS.keys())
def test_every_error_comes_back_as_it_was(cls: type[CelesteError]) -> None:
    for error in (full(cls), cls("bare")):
        status = status_from_error(error)
        assert status.code == code_pb2.Code.Value(cls.code) == status_code(error).value[0]
        back = error_from_status(status_pb2.Status.FromString(status.SerializeToString()))
        assert as_facts(back) == as_facts(error)
        trailers = (("x-other", "1"), (DETAILS, status.SerializeToString()))
        assert as_facts(error_from_trailers(status_code(error), error.message, trailers)) == as_facts(error)


@settings(max_examples=150, deadline=None)
@given(strategies.errors())
def test_whatever_is_in_an_error_comes_back(error: CelesteError) -> None:
    assert as_facts(error_from_status(status_from_error(error))) == as_facts(error)


def test_details_are_only_those_that_fit_the_error() -> None:
    kinds = [detail.TypeName() for detail in status_from_error(QueueFull("full", retry_after=0.0)).details]
    assert kinds == ["google.rpc.ErrorInfo", "google.rpc.RetryInfo"]
    kinds = [detail.TypeName() for detail in status_from_error(full(QueueFull)).details]
    standard = [f"google.rpc.{kind}" for kind in ("ErrorInfo", "BadRequest", "ResourceInfo", "RetryInfo")]
    assert kinds == [*standard, "celeste.image.v1.FailureInfo"]


@pytest.mark.parametrize("count", [1, 30, 1000])
@pytest.mark.parametrize("length", [10, 5000])
def test_of_many_violations_some_come_with_the_number_of_all(count: int, length: int) -> None:
    violations = [Violation(f"kinds[{i}]", "é" * length) for i in range(count)]
    status = status_from_error(InvalidRequest.of(violations))
    back = error_from_status(status)
    assert status.ByteSize() <= MOST
    assert back.violations, "the first always fits"
    assert [v.field for v in back.violations] == [v.field for v in violations[: len(back.violations)]]
    said = back.metadata.get("violations")
    assert said == (None if len(back.violations) == count else str(count))


lengths = st.integers(0, 3000)
characters = st.sampled_from(["a", "é", "\N{GRINNING FACE}", "\ud800"])


@settings(max_examples=100, deadline=None)
@given(characters, lengths, lengths, st.integers(0, 30), st.integers(0, 50), lengths)
def test_no_error_makes_a_status_that_a_client_would_not_take(
    character: str, message: int, fact: int, facts: int, violations: int, text: int
) -> None:
    error = InvalidRequest(
        character * message,
        metadata={f"{character}{i}".encode(errors="replace").decode(): character * fact for i in range(facts)},
        violations=[Violation(character * text, character * text) for _ in range(violations)],
        resource=character * text,
        retry_after=1,
    )
    status = status_from_error(error)
    assert status.ByteSize() <= MOST
    back = error_from_status(status)
    assert type(back) is InvalidRequest
    assert back.retry_after == 1
    assert len(status.message.encode()) <= 1000, "it is in the trailers once more, percent-encoded"


async def test_the_worst_status_reaches_a_client_with_default_settings() -> None:
    """Beyond 8 KiB of trailers gRPC would answer RESOURCE_EXHAUSTED now and then, so try some."""
    face = "\N{GRINNING FACE}"
    error = InvalidRequest(
        face * 3000, violations=[Violation(face * 90, face * 90)] * 1000, metadata={"a": face * 90, "b": face * 90}
    )
    status = status_from_error(error)

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            async def fail(request: bytes, context: grpc.aio.ServicerContext) -> None:
                await context.abort(status_code(error), status.message, ((DETAILS, status.SerializeToString()),))

            return grpc.unary_unary_rpc_method_handler(fail)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/a.B/C")
            answers = await asyncio.gather(*(call(b"") for _ in range(30)), return_exceptions=True)
    finally:
        await server.stop(None)
    for answer in answers:
        assert isinstance(answer, grpc.aio.AioRpcError)
        back = error_from_trailers(answer.code(), answer.details() or "", answer.trailing_metadata())
        assert type(back) is InvalidRequest, answer.details()
        assert back.metadata["violations"] == "1000"


@pytest.mark.parametrize(("reason", "domain"), [("FROM_THE_FUTURE", DOMAIN), ("MODEL_NOT_FOUND", "elsewhere.example")])
def test_a_reason_unknown_or_of_others_falls_back_to_the_code(reason: str, domain: str) -> None:
    error = error_from_status(of(reason, domain, grpc.StatusCode.INVALID_ARGUMENT.value[0]))
    assert type(error) is InvalidRequest
    assert (error.message, error.metadata) == ("text", {"a": "b"})
    assert type(error_from_status(of(reason, domain, grpc.StatusCode.UNIMPLEMENTED.value[0]))) is InternalError
    assert type(error_from_status(of(reason, domain, 9999))) is InternalError


def test_the_reason_outranks_the_code() -> None:
    assert type(error_from_status(of("MODEL_NOT_FOUND", DOMAIN, 13))) is ModelNotFound


@pytest.mark.parametrize("trailers", [None, (), (("x", "y"),), ((DETAILS, b"\xff\xff\xff"),)])
def test_without_details_the_code_alone_says_what_it_is(trailers: object) -> None:
    unavailable = error_from_trailers(grpc.StatusCode.UNAVAILABLE, "connection refused", trailers)
    assert type(unavailable) is ServerUnavailable
    assert unavailable.retryable
    assert unavailable.message == "connection refused"
    assert error_from_trailers(grpc.StatusCode.UNAVAILABLE, "", trailers).message
    assert type(error_from_trailers(grpc.StatusCode.INVALID_ARGUMENT, "no", trailers)) is InvalidRequest
    assert type(error_from_trailers(grpc.StatusCode.UNKNOWN, "?", trailers)) is InternalError
