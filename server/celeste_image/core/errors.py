"""Every error that Celeste raises: one class per reason, with its gRPC code.

    CelesteError
    ├── InvalidRequest          INVALID_FIELD           INVALID_ARGUMENT
    │   ├── UnknownField        UNKNOWN_FIELD           INVALID_ARGUMENT
    │   ├── NotAnImage          NOT_AN_IMAGE            INVALID_ARGUMENT
    │   ├── ImageTooLarge       IMAGE_TOO_LARGE         INVALID_ARGUMENT
    │   ├── ImageRefused        IMAGE_REFUSED           INVALID_ARGUMENT
    │   ├── UriRefused          URI_REFUSED             INVALID_ARGUMENT
    │   └── DigestMismatch      DIGEST_MISMATCH         INVALID_ARGUMENT
    ├── ModelNotFound           MODEL_NOT_FOUND         NOT_FOUND
    ├── ArtifactNotFound        ARTIFACT_NOT_FOUND      NOT_FOUND
    ├── OperationNotOffered     OPERATION_NOT_OFFERED   FAILED_PRECONDITION
    ├── WeightsMissing          WEIGHTS_MISSING         FAILED_PRECONDITION
    ├── UriFailed               URI_FAILED              FAILED_PRECONDITION
    ├── ModelRetired            MODEL_RETIRED           FAILED_PRECONDITION
    ├── SafetyBlocked           SAFETY_BLOCKED          FAILED_PRECONDITION
    ├── ProviderCredentials     PROVIDER_CREDENTIALS    FAILED_PRECONDITION
    ├── ProviderBilling         PROVIDER_BILLING        FAILED_PRECONDITION
    ├── ProviderRateLimited     PROVIDER_RATE_LIMITED   RESOURCE_EXHAUSTED    retryable
    ├── ProviderUnavailable     PROVIDER_UNAVAILABLE    UNAVAILABLE           retryable
    ├── ProviderFailed          PROVIDER_FAILED         FAILED_PRECONDITION
    ├── OutcomeUnknown          OUTCOME_UNKNOWN         ABORTED
    ├── QueueFull               QUEUE_FULL              RESOURCE_EXHAUSTED    retryable
    ├── EngineMemory            ENGINE_MEMORY           RESOURCE_EXHAUSTED
    ├── StorageFull             STORAGE_FULL            RESOURCE_EXHAUSTED    retryable
    ├── RangeExceeded           RANGE_EXCEEDED          OUT_OF_RANGE
    ├── EngineLost              ENGINE_LOST             UNAVAILABLE           retryable
    ├── ServerUnavailable       SERVER_UNAVAILABLE      UNAVAILABLE           retryable
    ├── ArtifactDamaged         ARTIFACT_DAMAGED        DATA_LOSS
    ├── DeadlineExceeded        DEADLINE_EXCEEDED       DEADLINE_EXCEEDED
    ├── Cancelled               CANCELLED               CANCELLED
    ├── InternalError           INTERNAL                INTERNAL
    ├── RequestTooLarge         REQUEST_TOO_LARGE       RESOURCE_EXHAUSTED
    ├── MemoryBudget            MEMORY_BUDGET           RESOURCE_EXHAUSTED    retryable
    ├── SlowReader              SLOW_READER             RESOURCE_EXHAUSTED
    ├── StorageUnavailable      STORAGE_UNAVAILABLE     UNAVAILABLE           retryable
    ├── ProvidersUnavailable    PROVIDERS_UNAVAILABLE   UNAVAILABLE           retryable
    ├── UploadBusy              UPLOAD_BUSY             ABORTED               retryable
    ├── RequestIdReused         REQUEST_ID_REUSED       ALREADY_EXISTS
    ├── CredentialsInvalid      CREDENTIALS_INVALID     UNAUTHENTICATED
    └── NotAllowed              NOT_ALLOWED             PERMISSION_DENIED

The classes are the table: each registers itself in `ERRORS` by its reason, which follows from its name. The reasons
are the names of `ErrorReason` in `error_reason.proto` without their prefix. A test compares classes, enum and docs.
`wire/status.py` converts errors to `google.rpc.Status` and back. A caller therefore catches the same class in the
server's process and behind a socket.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "ERRORS",
    "ArtifactDamaged",
    "ArtifactNotFound",
    "Attempt",
    "Cancelled",
    "CelesteError",
    "CredentialsInvalid",
    "DeadlineExceeded",
    "DigestMismatch",
    "EngineLost",
    "EngineMemory",
    "ImageRefused",
    "ImageTooLarge",
    "InternalError",
    "InvalidRequest",
    "MemoryBudget",
    "ModelNotFound",
    "ModelRetired",
    "NotAllowed",
    "NotAnImage",
    "OperationNotOffered",
    "OutcomeUnknown",
    "ProviderBilling",
    "ProviderCredentials",
    "ProviderFailed",
    "ProviderRateLimited",
    "ProviderUnavailable",
    "ProvidersUnavailable",
    "QueueFull",
    "RangeExceeded",
    "RequestIdReused",
    "RequestTooLarge",
    "SafetyBlocked",
    "ServerUnavailable",
    "SlowReader",
    "StorageFull",
    "StorageUnavailable",
    "UnknownField",
    "UploadBusy",
    "UriFailed",
    "UriRefused",
    "Violation",
    "WeightsMissing",
    "reason_of",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong field of a request.

    Attributes:
        field: Path in the contract's grammar: proto field names, dots, `[index]` and `["key"]`, for example
            `options.provider_options["local"].style`. Empty means the whole request.
        text: What is wrong, for people; continues the field's name ("must be ...").
        reason: What is wrong, for programs: the broken rule in upper case, `STRING_MAX_LEN`. Empty means the error's
            own reason.
    """

    field: str
    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One model that did not complete a request.

    Attributes:
        model: Id of the model.
        reason: Reason of the error.
        text: The error, for people.
        retry_after: Seconds before a retry makes sense; None when unknown.
    """

    model: str
    reason: str
    text: str = ""
    retry_after: float | None = None


ERRORS: "dict[str, type[CelesteError]]" = {}
"""Error classes by reason. `ERRORS[reason].code` is the gRPC code."""


class CelesteError(Exception):
    """A failure with a reason for programs.

    A subclass states its facts as class keywords: `class QueueFull(CelesteError, code="RESOURCE_EXHAUSTED",
    retryable=True)`. Its reason is its name, `QUEUE_FULL`, unless `reason` says otherwise.

    Attributes:
        message: The failure, for people: the given value and the allowed values. Holds neither secrets nor traces.
        metadata: Facts for programs, as strings: the limit and the value, similar ids.
        violations: All wrong fields; empty when the fields are right.
        resource: Name of the missing or damaged resource; empty when there is none.
        retry_after: Seconds before a retry makes sense; None when unknown.
        attempts: Models that were tried or skipped, in order, when the request allows more than one.
        request_id: Id of the request; empty until the server has read the request.
        retryable: Whether a retry of the same request may pass and, unless `may_be_owed`, pays nothing twice.
        elsewhere: Whether another model may do the request and nothing is paid twice.
        resource_type: Full name of the resource's message; empty for errors without a resource.
    """

    reason: ClassVar[str] = ""
    code: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = False
    resource_type: ClassVar[str] = ""

    def __init_subclass__(
        cls,
        *,
        reason: str = "",
        code: str = "",
        retryable: bool | None = None,
        elsewhere: bool | None = None,
        resource_type: str = "",
    ) -> None:
        """Sets the facts of a new class, which inherits the rest, and registers it."""
        cls.reason = reason or re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()
        cls.code = code or cls.code
        cls.retryable = cls.retryable if retryable is None else retryable
        cls.elsewhere = cls.elsewhere if elsewhere is None else elsewhere
        cls.resource_type = resource_type or cls.resource_type
        ERRORS[cls.reason] = cls

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        resource: str = "",
        retry_after: float | None = None,
        attempts: Sequence[Attempt] = (),
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.resource = resource
        self.retry_after = retry_after
        self.attempts = tuple(attempts)
        self.request_id = request_id

    @property
    def may_be_owed(self) -> bool:
        """Whether something was made that may have to be paid, so that making it again may be paid twice."""
        return self.metadata.get("owed") in ("true", "unknown")


class InvalidRequest(CelesteError, reason="INVALID_FIELD", code="INVALID_ARGUMENT", elsewhere=True):
    """The request is wrong for every server, or for the model that it names."""

    @classmethod
    def at(cls, field: str, text: str, **metadata: object) -> "InvalidRequest":
        """Returns the error for one field; `text` continues the field's name ("must be ...")."""
        return cls(
            f"{field}: {text}",
            metadata={key: str(value) for key, value in metadata.items()},
            violations=[Violation(field, text)],
        )

    @classmethod
    def of(cls, violations: Sequence[Violation]) -> "InvalidRequest":
        """Returns one error for all `violations`, which must not be empty."""
        text = "; ".join(f"{v.field}: {v.text}" if v.field else v.text for v in violations[:3])
        more = f" (and {len(violations) - 3} more)" if len(violations) > 3 else ""
        return cls(text + more, violations=violations)


class UnknownField(InvalidRequest):
    """The request has fields that this server does not know, and the call does not allow such fields."""


class NotAnImage(InvalidRequest):
    """The bytes are not an image of a supported format, or the image is damaged."""


class ImageTooLarge(InvalidRequest):
    """The image exceeds a limit: bytes, pixels, sides, frames or text. Metadata has `limit` and `value`."""


class ImageRefused(InvalidRequest):
    """The image crashed two decoder processes. The server knows its digest and does not try again."""


class UriRefused(InvalidRequest):
    """The operator does not allow the scheme, host or address of the URI."""


class DigestMismatch(InvalidRequest):
    """The bytes do not match the declared digest or size; the server discarded them."""


class ModelNotFound(CelesteError, code="NOT_FOUND", elsewhere=True, resource_type="celeste.image.v1.Model"):
    """No model has this id. Metadata `nearest` has up to five similar ids."""


class ArtifactNotFound(CelesteError, code="NOT_FOUND", resource_type="celeste.image.v1.Artifact"):
    """The caller has no artifact of this name."""


class OperationNotOffered(CelesteError, code="FAILED_PRECONDITION", elsewhere=True):
    """The model does not offer the operation. Metadata `models` names the models that do."""


class WeightsMissing(CelesteError, code="FAILED_PRECONDITION", elsewhere=True):
    """The machine lacks the model's weights. Metadata `command` installs them."""


class UriFailed(CelesteError, code="FAILED_PRECONDITION"):
    """The server could not fetch the URI. Metadata has `host` and, after a response, the HTTP `status`."""


class ModelRetired(CelesteError, code="FAILED_PRECONDITION", elsewhere=True, resource_type="celeste.image.v1.Model"):
    """The provider removed the model. Metadata `replacement` names the model to use instead, if there is one."""


class SafetyBlocked(CelesteError, code="FAILED_PRECONDITION"):
    """A safety system refused. Metadata `stage` is `prompt`, `input`, `output` or `unknown`.

    After a refusal by this server's policy, metadata has the fields of the SafetyVerdict.
    """


class ProviderCredentials(CelesteError, code="FAILED_PRECONDITION", elsewhere=True):
    """The operator's key for a provider is missing or refused. Metadata `provider` names the provider."""


class ProviderBilling(CelesteError, code="FAILED_PRECONDITION", elsewhere=True):
    """The operator's account lacks money or a plan. Metadata `provider` names the provider."""


class ProviderRateLimited(CelesteError, code="RESOURCE_EXHAUSTED", retryable=True, elsewhere=True):
    """The provider accepts no more calls for now and made nothing."""


class ProviderUnavailable(CelesteError, code="UNAVAILABLE", retryable=True, elsewhere=True):
    """The provider is down or overloaded and made nothing."""


class ProviderFailed(CelesteError, code="FAILED_PRECONDITION"):
    """The provider tried and failed, or sent an invalid response."""


class OutcomeUnknown(CelesteError, code="ABORTED"):
    """The server sent the request and does not know its outcome. The work may be owed, and is not sent again.

    Metadata `final` is `true` when the provider can't be asked.
    """


class QueueFull(CelesteError, code="RESOURCE_EXHAUSTED", retryable=True, elsewhere=True):
    """The queue is full: no more calls may wait."""


class EngineMemory(CelesteError, code="RESOURCE_EXHAUSTED", elsewhere=True):
    """The engine reached its memory limit. A smaller image or tile may pass."""


class StorageFull(CelesteError, code="RESOURCE_EXHAUSTED", retryable=True):
    """The artifact store is full."""


class RangeExceeded(CelesteError, code="OUT_OF_RANGE"):
    """The offset is beyond the end. Metadata has `limit` and `value`."""


class EngineLost(CelesteError, code="UNAVAILABLE", retryable=True, elsewhere=True):
    """The worker process ended, or took too long and was ended, before the work was done. The next one is new."""


class ServerUnavailable(CelesteError, code="UNAVAILABLE", retryable=True):
    """The server is unreachable or shutting down."""


class ArtifactDamaged(CelesteError, code="DATA_LOSS", resource_type="celeste.image.v1.Artifact"):
    """The stored bytes no longer match the digest in their name. The server never returns them."""


class DeadlineExceeded(CelesteError, code="DEADLINE_EXCEEDED"):
    """The deadline passed and the work was stopped. The server sets one for calls without."""


class Cancelled(CelesteError, code="CANCELLED"):
    """The caller cancelled and the work was stopped."""


class InternalError(CelesteError, reason="INTERNAL", code="INTERNAL"):
    """The server has a bug. Metadata `log_id` finds it in the log; the message has no internal details."""


class RequestTooLarge(CelesteError, code="RESOURCE_EXHAUSTED"):
    """The request has more bytes than the server accepts. gRPC refuses it before the server reads it."""


class MemoryBudget(CelesteError, code="RESOURCE_EXHAUSTED", retryable=True):
    """Running calls hold all the memory that calls may use."""


class SlowReader(CelesteError, code="RESOURCE_EXHAUSTED"):
    """The caller did not read its stream within the timeout."""


class StorageUnavailable(CelesteError, code="UNAVAILABLE", retryable=True):
    """The server cannot read or write the artifact store now."""


class ProvidersUnavailable(CelesteError, code="UNAVAILABLE", retryable=True):
    """The server tried or skipped all models that the request allows, and at least one may recover."""


class UploadBusy(CelesteError, code="ABORTED", retryable=True):
    """Another server with the same spool has the upload open; its bytes stay."""


class RequestIdReused(CelesteError, code="ALREADY_EXISTS"):
    """Another request had the same id. Metadata `started` has its time, if it is known."""


class CredentialsInvalid(CelesteError, code="UNAUTHENTICATED"):
    """The call has no valid API key and no client certificate of a known caller. The message never has the key."""


class NotAllowed(CelesteError, code="PERMISSION_DENIED"):
    """The caller may not call this method."""


def reason_of(error: BaseException) -> str:
    """Returns the reason of any failure: INTERNAL for a bug, CANCELLED for work that was stopped from outside."""
    if isinstance(error, CelesteError):
        return error.reason
    return InternalError.reason if isinstance(error, Exception) else Cancelled.reason
