"""Errors to `google.rpc.Status` and back, from the one table in `core/errors.py`."""

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from celeste_image.core.errors import ERRORS, CelesteError, InternalError, RequestTooLarge, ServerUnavailable, Violation

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
"""Beyond 8 KiB of trailers a default client sees RESOURCE_EXHAUSTED instead of the error. The message is in them once
more, up to three times as long since gRPC writes what is not ASCII as `%F0`."""
MAX_MESSAGE_BYTES = 1000
MAX_FACT_BYTES = 500

DETAILS = "grpc-status-details-bin"
CODES = {code.value[0]: code for code in StatusCode}


def status_code(error: CelesteError) -> StatusCode:
    """Returns an error's gRPC code."""
    return StatusCode[error.code]


def status_from_error(error: CelesteError) -> status_pb2.Status:
    """Returns the status: ErrorInfo always, BadRequest, ResourceInfo and RetryInfo where they fit the error.

    At most 4 KiB: texts are cut, of many violations come the first, with the number of all in the metadata, and of
    metadata beyond that the shortest.
    """
    violations = [Violation(_cut(v.field), _cut(v.text)) for v in error.violations]
    metadata = {key: _cut(value) for key, value in error.metadata.items()}
    while True:
        status = _status(error, metadata, violations)
        if status.ByteSize() <= MAX_STATUS_BYTES or not (violations or metadata):
            return status
        if violations:
            violations = violations[: len(violations) // 2]
        else:
            del metadata[max(metadata, key=lambda key: len(key) + len(metadata[key]))]


def _cut(text: str, most: int = MAX_FACT_BYTES) -> str:
    """Returns a text with at most this many bytes in UTF-8, with three dots for what is left out."""
    data = text.encode(errors="replace")
    return data.decode() if len(data) <= most else data[: most - 3].decode(errors="ignore") + "..."


def _status(error: CelesteError, metadata: dict[str, str], violations: list[Violation]) -> status_pb2.Status:
    status = status_pb2.Status(code=status_code(error).value[0], message=_cut(error.message, MAX_MESSAGE_BYTES))
    if len(violations) < len(error.violations):
        metadata = {**metadata, "violations": str(len(error.violations))}
    _add(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    if violations:
        fields = [error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.text) for v in violations]
        _add(status, error_details_pb2.BadRequest(field_violations=fields))
    if error.resource:
        _add(status, error_details_pb2.ResourceInfo(resource_name=_cut(error.resource)))
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
        cls = ServerUnavailable if code == "UNAVAILABLE" else None
        cls = cls or next((e for e in ERRORS.values() if e.code == code), InternalError)
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
    if code is StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:  # gRPC's own words, core/lib/surface
        return RequestTooLarge("the request has more bytes than the server takes")
    return error_from_status(status_pb2.Status(code=code.value[0], message=details))
