"""Converts core errors to `google.rpc.Status` and back."""

import re
from dataclasses import replace

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from celeste_image.core.errors import (
    ERRORS,
    Attempt,
    CelesteError,
    DeadlineExceeded,
    InternalError,
    RequestTooLarge,
    ServerUnavailable,
    Violation,
)
from celeste_image.v1 import error_reason_pb2

__all__ = [
    "DETAILS",
    "DOMAIN",
    "error_from_status",
    "error_from_trailers",
    "status_code",
    "status_from_error",
]

DOMAIN = "celeste.image"
MAX_STATUS_BYTES = 4096
"""Largest status. Beyond 8 KiB of trailers a default client sees RESOURCE_EXHAUSTED instead of the error. The trailers
repeat the message, up to three times as long, since gRPC escapes characters outside ASCII as `%F0`."""
MAX_MESSAGE_BYTES = 1000
MAX_FACT_BYTES = 500
MAX_ATTEMPT_BYTES = 200

OWN_TEXTS = ("", "Deadline Exceeded", "Deadline Exceeded)")
"""What gRPC says of a deadline, beside or without "Stream removed (...)"."""

DETAILS = "grpc-status-details-bin"
CODES = {code.value[0]: code for code in StatusCode}


def status_code(error: CelesteError) -> StatusCode:
    """Returns an error's gRPC code."""
    return StatusCode[error.code]


def status_from_error(error: CelesteError) -> status_pb2.Status:
    """Returns the status of an error: always ErrorInfo; BadRequest, ResourceInfo, RetryInfo and FailureInfo if set.

    A status has at most 4 KiB. Long texts are cut first. Then attempts lose their texts, and the later violations are
    left out; metadata `violations` has the number of all. Then the later attempts and the longest metadata go.
    """
    violations = [replace(v, field=_cut(v.field), text=_cut(v.text)) for v in error.violations]
    metadata = {key: _cut(value) for key, value in error.metadata.items()}
    attempts = [replace(a, text=_cut(a.text, MAX_ATTEMPT_BYTES)) for a in error.attempts]
    while True:
        status = _status(error, metadata, violations, attempts)
        if status.ByteSize() <= MAX_STATUS_BYTES or not (violations or metadata or attempts):
            return status
        if any(attempt.text for attempt in attempts):
            attempts = [replace(attempt, text="") for attempt in attempts]
        elif violations:
            violations = violations[: len(violations) // 2]
        elif attempts:
            attempts = attempts[: len(attempts) // 2]
        else:
            del metadata[max(metadata, key=lambda key: len(key) + len(metadata[key]))]


def _cut(text: str, most: int = MAX_FACT_BYTES) -> str:
    """Returns a text cut to `most` bytes in UTF-8; three dots mark a cut."""
    data = text.encode(errors="replace")
    return data.decode() if len(data) <= most else data[: most - 3].decode(errors="ignore") + "..."


def _status(
    error: CelesteError, metadata: dict[str, str], violations: list[Violation], attempts: list[Attempt]
) -> status_pb2.Status:
    status = status_pb2.Status(code=status_code(error).value[0], message=_cut(error.message, MAX_MESSAGE_BYTES))
    if len(violations) < len(error.violations):
        metadata = {**metadata, "violations": str(len(error.violations))}
    _add(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    if violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(
                field=v.field, description=v.text, reason=v.reason or error.reason
            )
            for v in violations
        ]
        _add(status, error_details_pb2.BadRequest(field_violations=fields))
    if error.resource:
        _add(
            status,
            error_details_pb2.ResourceInfo(resource_type=error.resource_type, resource_name=_cut(error.resource)),
        )
    if error.retry_after is not None:
        _add(status, error_details_pb2.RetryInfo(retry_delay=_duration(error.retry_after)))
    if attempts or error.request_id:
        failed = [_attempt(attempt) for attempt in attempts]
        _add(status, error_reason_pb2.FailureInfo(request_id=error.request_id, attempts=failed))
    return status


def _attempt(attempt: Attempt) -> error_reason_pb2.FailedAttempt:
    message = error_reason_pb2.FailedAttempt(model=attempt.model, reason=attempt.reason, message=attempt.text)
    if attempt.retry_after is not None:
        message.retry_after.CopyFrom(_duration(attempt.retry_after))
    return message


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _add(status: status_pb2.Status, detail: object) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)  # type: ignore[arg-type]  # every detail is a message
    status.details.append(packed)


def error_from_status(status: status_pb2.Status) -> CelesteError:
    """Returns the error of a status, in the class that the server raised.

    An unknown reason becomes the first class with the same code, and an unknown code InternalError.
    """
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    resource = error_details_pb2.ResourceInfo()
    retry = error_details_pb2.RetryInfo()
    failure = error_reason_pb2.FailureInfo()
    for detail in status.details:
        for kind in (info, bad, resource, retry, failure):
            detail.Unpack(kind)
    code = CODES.get(status.code, StatusCode.UNKNOWN).name
    cls = ERRORS.get(info.reason) if info.domain == DOMAIN else None
    if cls is None:
        cls = ServerUnavailable if code == "UNAVAILABLE" else None
        cls = cls or next((e for e in ERRORS.values() if e.code == code), InternalError)
    return cls(
        status.message,
        metadata=info.metadata,
        violations=[
            Violation(v.field, v.description, "" if v.reason == info.reason else v.reason) for v in bad.field_violations
        ],
        resource=resource.resource_name,
        retry_after=_seconds(retry.retry_delay) if retry.HasField("retry_delay") else None,
        attempts=[
            Attempt(a.model, a.reason, a.message, _seconds(a.retry_after) if a.HasField("retry_after") else None)
            for a in failure.attempts
        ],
        request_id=failure.request_id,
    )


def _seconds(duration: duration_pb2.Duration) -> float:
    return duration.ToNanoseconds() / 1e9


def _unreachable(details: str) -> str:
    """Returns gRPC's text about a server that can't be reached, without the names of its own parts."""
    if "last error: " not in details:
        return details or "the server is unreachable"
    reason = details.rpartition("last error: ")[2]
    reason = re.sub(r"^[A-Z_]+: ", "", reason)
    reason = re.sub(r"(Failed to connect to remote host|connect failed): (addr: \S+ error: )?", "", reason)
    return f"the server is unreachable ({reason})"


def error_from_trailers(code: StatusCode, details: str, trailers: object) -> CelesteError:
    """Returns the error of a failed call, from its trailers or else from its code."""
    for key, value in trailers or ():  # type: ignore[attr-defined]  # any iterable of pairs
        if key == DETAILS:
            try:
                return error_from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    if code is StatusCode.UNAVAILABLE:
        return ServerUnavailable(_unreachable(details))
    if code is StatusCode.DEADLINE_EXCEEDED and details.removeprefix("Stream removed (") in OWN_TEXTS:
        return DeadlineExceeded("the deadline passed before the server answered; a longer timeout gives it more time")
    if code is StatusCode.UNIMPLEMENTED or "http2 header with status" in details:
        text = "the server there does not know this call: it is not a Celeste server, or another version"
        return ServerUnavailable(f"{text} ({details})" if details else text)
    if code is StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:  # gRPC's own text, core/lib/surface
        return RequestTooLarge("the request has more bytes than the server accepts")
    return error_from_status(status_pb2.Status(code=code.value[0], message=details))
