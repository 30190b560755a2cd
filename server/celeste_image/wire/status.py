"""Errors to `google.rpc.Status` and back, from the one table in `core/errors.py`."""

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from celeste_image.core.errors import ERRORS, CelesteError, InternalError, ServerUnavailable, Violation

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
"""Beyond 8 KiB of trailers a default client sees RESOURCE_EXHAUSTED instead of the error; half of it is left free."""

DETAILS = "grpc-status-details-bin"
CODES = {code.value[0]: code for code in StatusCode}


def status_code(error: CelesteError) -> StatusCode:
    """Returns an error's gRPC code."""
    return StatusCode[error.code]


def status_from_error(error: CelesteError) -> status_pb2.Status:
    """Returns the status: ErrorInfo always, BadRequest, ResourceInfo and RetryInfo where they fit the error.

    At most 4 KiB: of many violations the first, with the number of all in the metadata.
    """
    violations = list(error.violations)
    while True:
        status = _status(error, violations)
        if status.ByteSize() <= MAX_STATUS_BYTES or not violations:
            return status
        violations = violations[: len(violations) // 2]


def _status(error: CelesteError, violations: list[Violation]) -> status_pb2.Status:
    message = error.message if len(error.message) <= 1000 else error.message[:997] + "..."
    status = status_pb2.Status(code=status_code(error).value[0], message=message)
    metadata = {key: value[:500] for key, value in error.metadata.items()}
    if len(violations) < len(error.violations):
        metadata["violations"] = str(len(error.violations))
    _add(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    if violations:
        fields = [error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.text) for v in violations]
        _add(status, error_details_pb2.BadRequest(field_violations=fields))
    if error.resource:
        _add(status, error_details_pb2.ResourceInfo(resource_name=error.resource[:500]))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after * 1e9))
        _add(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _add(status: status_pb2.Status, detail: object) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)  # type: ignore[arg-type]  # every detail is a message
    status.details.append(packed)


def error_from_status(status: status_pb2.Status) -> CelesteError:
    """Returns the error that a status stands for: the same class that the server raised.

    A reason that this version does not know becomes the first class with the status's code, an unknown code
    InternalError.
    """
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    resource = error_details_pb2.ResourceInfo()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for kind in (info, bad, resource, retry):
            detail.Unpack(kind)
    code = CODES.get(status.code, StatusCode.UNKNOWN).name
    cls = ERRORS.get(info.reason) if info.domain == DOMAIN else None
    if cls is None:
        cls = next((e for e in ERRORS.values() if e.code == code), InternalError)
    return cls(
        status.message,
        metadata=info.metadata,
        violations=[Violation(v.field, v.description) for v in bad.field_violations],
        resource=resource.resource_name,
        retry_after=retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None,
    )


def error_from_trailers(code: StatusCode, details: str, trailers: object) -> CelesteError:
    """Returns the error of a failed call, from its trailing metadata or, without details there, from its code."""
    for key, value in trailers or ():  # type: ignore[attr-defined]  # any iterable of pairs
        if key == DETAILS:
            try:
                return error_from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    if code is StatusCode.UNAVAILABLE:
        return ServerUnavailable(details or "the server can't be reached")
    return error_from_status(status_pb2.Status(code=code.value[0], message=details))
