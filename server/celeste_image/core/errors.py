"""Every failure that leaves the core, once: the tree, and for each leaf its reason and its gRPC code.

    CelesteError
    ├── InvalidRequest              INVALID_FIELD             INVALID_ARGUMENT
    │   ├── UnknownField            UNKNOWN_FIELD             INVALID_ARGUMENT
    │   ├── NotAnImage              NOT_AN_IMAGE              INVALID_ARGUMENT
    │   ├── ImageTooLarge           IMAGE_TOO_LARGE           INVALID_ARGUMENT
    │   ├── PictureRefused          PICTURE_REFUSED           INVALID_ARGUMENT
    │   ├── UriRefused              URI_REFUSED               INVALID_ARGUMENT
    │   └── DigestMismatch          DIGEST_MISMATCH           INVALID_ARGUMENT
    ├── ModelNotFound               MODEL_NOT_FOUND           NOT_FOUND
    ├── ArtifactNotFound            ARTIFACT_NOT_FOUND        NOT_FOUND
    ├── OperationNotOffered         OPERATION_NOT_OFFERED     FAILED_PRECONDITION
    ├── WeightsMissing              WEIGHTS_MISSING           FAILED_PRECONDITION
    ├── UriFailed                   URI_FAILED                FAILED_PRECONDITION
    ├── ModelRetired            MODEL_RETIRED             FAILED_PRECONDITION
    ├── SafetyBlocked           SAFETY_BLOCKED            FAILED_PRECONDITION
    ├── ProviderCredentials     PROVIDER_CREDENTIALS      FAILED_PRECONDITION
    ├── ProviderBilling         PROVIDER_BILLING          FAILED_PRECONDITION
    ├── ProviderRateLimited     PROVIDER_RATE_LIMITED     RESOURCE_EXHAUSTED   retryable
    ├── ProviderUnavailable     PROVIDER_UNAVAILABLE      UNAVAILABLE          retryable
    ├── ProviderFailed          PROVIDER_FAILED           FAILED_PRECONDITION
    ├── OutcomeUnknown          OUTCOME_UNKNOWN           ABORTED
    ├── QueueFull                   QUEUE_FULL                RESOURCE_EXHAUSTED   retryable
    ├── EngineMemory                ENGINE_MEMORY             RESOURCE_EXHAUSTED
    ├── StorageFull                 STORAGE_FULL              RESOURCE_EXHAUSTED   retryable
    ├── RangeExceeded               RANGE_EXCEEDED            OUT_OF_RANGE
    ├── EngineLost                  ENGINE_LOST               UNAVAILABLE          retryable
    ├── ServerUnavailable           SERVER_UNAVAILABLE        UNAVAILABLE          retryable
    ├── ArtifactDamaged             ARTIFACT_DAMAGED          DATA_LOSS
    ├── DeadlineExceeded            DEADLINE_EXCEEDED         DEADLINE_EXCEEDED
    ├── Cancelled                   CANCELLED                 CANCELLED
    ├── InternalError               INTERNAL                  INTERNAL
    ├── RequestTooLarge             REQUEST_TOO_LARGE         RESOURCE_EXHAUSTED
    ├── MemoryBudget                MEMORY_BUDGET             RESOURCE_EXHAUSTED   retryable
    ├── SlowReader                  SLOW_READER               RESOURCE_EXHAUSTED
    ├── StorageUnavailable          STORAGE_UNAVAILABLE       UNAVAILABLE          retryable
    └── ProvidersUnavailable    PROVIDERS_UNAVAILABLE     UNAVAILABLE          retryable

The reasons are the names of `ErrorReason` in `error_reason.proto` without their prefix; a test holds tree, table
and enum equal. `wire/status.py` makes a `google.rpc.Status` of an error and reads one back, so a caller catches
the same class whether the pipeline runs in its own process or behind a socket.
"""

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
    "DeadlineExceeded",
    "DigestMismatch",
    "EngineLost",
    "EngineMemory",
    "ImageTooLarge",
    "InternalError",
    "InvalidRequest",
    "MemoryBudget",
    "ModelNotFound",
    "ModelRetired",
    "NotAnImage",
    "OperationNotOffered",
    "OutcomeUnknown",
    "PictureRefused",
    "ProviderBilling",
    "ProviderCredentials",
    "ProviderFailed",
    "ProviderRateLimited",
    "ProviderUnavailable",
    "ProvidersUnavailable",
    "QueueFull",
    "RangeExceeded",
    "RequestTooLarge",
    "SafetyBlocked",
    "ServerUnavailable",
    "SlowReader",
    "StorageFull",
    "StorageUnavailable",
    "UnknownField",
    "UriFailed",
    "UriRefused",
    "Violation",
    "WeightsMissing",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with one field.

    `field` is a path in the contract's grammar: proto field names, dots, `[index]` and `["key"]`, for example
    `options.provider_options["local"].style`. Empty means the request as a whole.
    """

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One model that did not do a request: why, as a reason and for people, and when it may be back, if known."""

    model: str
    reason: str
    text: str = ""
    retry_after: float | None = None


class CelesteError(Exception):
    """A failure with a reason that programs can act on.

    Attributes:
        message: For people; names what was given and what is allowed. Holds no secret and no stack trace.
        metadata: Facts for programs, as strings: the limit and the value, the ids that come nearest.
        violations: The fields at fault, all of them; empty when no field is.
        resource: The name of the thing that is missing or damaged; empty when there is none.
        retry_after: Seconds after which another try makes sense; None when nobody knows.
        attempts: The models that were tried or passed over, in order, where a request allows more than one.
        retryable: Whether the same request may pass later, and nothing was done that would have to be paid twice.
        elsewhere: Whether another model may do the request, and nothing was done that would have to be paid twice.
    """

    reason: ClassVar[str] = ""
    code: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        resource: str = "",
        retry_after: float | None = None,
        attempts: Sequence[Attempt] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.resource = resource
        self.retry_after = retry_after
        self.attempts = tuple(attempts)


class InvalidRequest(CelesteError):
    """The request can't be right on any server, or isn't for the model it names."""

    reason = "INVALID_FIELD"
    code = "INVALID_ARGUMENT"
    elsewhere = True

    @classmethod
    def at(cls, field: str, text: str, **metadata: object) -> "InvalidRequest":
        """Returns the error for one field; `text` goes on from the field's name ("must be ...")."""
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
    """STRICT was asked for and the request has fields that this server does not know."""

    reason = "UNKNOWN_FIELD"


class NotAnImage(InvalidRequest):
    """The bytes are no picture in a format that is read here, or a damaged one."""

    reason = "NOT_AN_IMAGE"


class ImageTooLarge(InvalidRequest):
    """A picture beyond the limits: bytes, pixels, sides, frames or text; metadata has `limit` and `value`."""

    reason = "IMAGE_TOO_LARGE"


class PictureRefused(InvalidRequest):
    """A picture that ended two decoder processes; it is known by its digest and not tried again."""

    reason = "PICTURE_REFUSED"


class UriRefused(InvalidRequest):
    """A URI of a scheme, host or address that the operator does not allow."""

    reason = "URI_REFUSED"


class DigestMismatch(InvalidRequest):
    """Bytes that do not have the digest or the size that was declared; they were discarded."""

    reason = "DIGEST_MISMATCH"


class ModelNotFound(CelesteError):
    """No model has this id; metadata `nearest` has up to five ids that come near."""

    reason = "MODEL_NOT_FOUND"
    code = "NOT_FOUND"
    elsewhere = True


class ArtifactNotFound(CelesteError):
    """No artifact of the caller has this name."""

    reason = "ARTIFACT_NOT_FOUND"
    code = "NOT_FOUND"


class OperationNotOffered(CelesteError):
    """The model does not do this; metadata `models` names those that do."""

    reason = "OPERATION_NOT_OFFERED"
    code = "FAILED_PRECONDITION"
    elsewhere = True


class WeightsMissing(CelesteError):
    """The model's weights are not on this machine; metadata `command` says how to get them."""

    reason = "WEIGHTS_MISSING"
    code = "FAILED_PRECONDITION"
    elsewhere = True


class UriFailed(CelesteError):
    """A URI could not be fetched; metadata has `host` and, when there was an answer, its HTTP `status`."""

    reason = "URI_FAILED"
    code = "FAILED_PRECONDITION"


class ModelRetired(CelesteError):
    """The model is no more; metadata `replacement` names the one to use, if there is one."""

    reason = "MODEL_RETIRED"
    code = "FAILED_PRECONDITION"
    elsewhere = True


class SafetyBlocked(CelesteError):
    """A safety system refused; metadata `stage` says what: `prompt`, `input`, `output` or `unknown`.

    Where it was the policy of this server, metadata has the members of a SafetyVerdict.
    """

    reason = "SAFETY_BLOCKED"
    code = "FAILED_PRECONDITION"


class ProviderCredentials(CelesteError):
    """The operator's key for a provider is missing or refused; metadata `provider` names it."""

    reason = "PROVIDER_CREDENTIALS"
    code = "FAILED_PRECONDITION"
    elsewhere = True


class ProviderBilling(CelesteError):
    """The operator's account has no money or no plan for it; metadata `provider` names the provider."""

    reason = "PROVIDER_BILLING"
    code = "FAILED_PRECONDITION"
    elsewhere = True


class ProviderRateLimited(CelesteError):
    """The provider takes no more calls for now; nothing was made."""

    reason = "PROVIDER_RATE_LIMITED"
    code = "RESOURCE_EXHAUSTED"
    retryable = True
    elsewhere = True


class ProviderUnavailable(CelesteError):
    """The provider is down or overloaded, and nothing was made."""

    reason = "PROVIDER_UNAVAILABLE"
    code = "UNAVAILABLE"
    retryable = True
    elsewhere = True


class ProviderFailed(CelesteError):
    """The provider tried and could not make it, or answered what is no answer."""

    reason = "PROVIDER_FAILED"
    code = "FAILED_PRECONDITION"


class OutcomeUnknown(CelesteError):
    """It was sent and is not known to have been done or not: it may have to be paid, and is not sent again.

    Metadata `final` is `true` when the provider can't be asked.
    """

    reason = "OUTCOME_UNKNOWN"
    code = "ABORTED"


class QueueFull(CelesteError):
    """As many calls wait as are allowed to."""

    reason = "QUEUE_FULL"
    code = "RESOURCE_EXHAUSTED"
    retryable = True
    elsewhere = True


class EngineMemory(CelesteError):
    """The engine needed more memory than it may have; a smaller picture or tile would pass."""

    reason = "ENGINE_MEMORY"
    code = "RESOURCE_EXHAUSTED"
    elsewhere = True


class StorageFull(CelesteError):
    """The artifact store has no room left."""

    reason = "STORAGE_FULL"
    code = "RESOURCE_EXHAUSTED"
    retryable = True


class RangeExceeded(CelesteError):
    """An offset beyond the end; metadata has `limit` and `value`."""

    reason = "RANGE_EXCEEDED"
    code = "OUT_OF_RANGE"


class EngineLost(CelesteError):
    """The process that did the work ended before it was done. The next call gets a new one."""

    reason = "ENGINE_LOST"
    code = "UNAVAILABLE"
    retryable = True
    elsewhere = True


class ServerUnavailable(CelesteError):
    """The server can't be reached, or takes no more calls because it is ending."""

    reason = "SERVER_UNAVAILABLE"
    code = "UNAVAILABLE"
    retryable = True


class ArtifactDamaged(CelesteError):
    """The stored bytes no longer have the digest in their name; they are never handed out."""

    reason = "ARTIFACT_DAMAGED"
    code = "DATA_LOSS"


class DeadlineExceeded(CelesteError):
    """The caller's deadline passed; the work was stopped."""

    reason = "DEADLINE_EXCEEDED"
    code = "DEADLINE_EXCEEDED"


class Cancelled(CelesteError):
    """The caller went away; the work was stopped."""

    reason = "CANCELLED"
    code = "CANCELLED"


class InternalError(CelesteError):
    """A bug of ours; metadata `log_id` finds it in the log. Nothing from inside is in the message."""

    reason = "INTERNAL"
    code = "INTERNAL"


class RequestTooLarge(CelesteError):
    """The request has more bytes than the server takes; gRPC refuses it before we see it."""

    reason = "REQUEST_TOO_LARGE"
    code = "RESOURCE_EXHAUSTED"


class MemoryBudget(CelesteError):
    """The bytes that calls may hold at a time are used up."""

    reason = "MEMORY_BUDGET"
    code = "RESOURCE_EXHAUSTED"
    retryable = True


class SlowReader(CelesteError):
    """The caller did not read its stream for longer than is allowed."""

    reason = "SLOW_READER"
    code = "RESOURCE_EXHAUSTED"


class StorageUnavailable(CelesteError):
    """The artifact store can't be written or read at the moment."""

    reason = "STORAGE_UNAVAILABLE"
    code = "UNAVAILABLE"
    retryable = True


class ProvidersUnavailable(CelesteError):
    """All models that the request allows were tried or passed over, and for one at least that may pass."""

    reason = "PROVIDERS_UNAVAILABLE"
    code = "UNAVAILABLE"
    retryable = True


def leaves(cls: type[CelesteError]) -> list[type[CelesteError]]:
    """Returns a class and all below it that have a reason, in the order of the tree."""
    found = [cls] if cls.reason else []
    for below in cls.__subclasses__():
        found.extend(leaves(below))
    return found


ERRORS: dict[str, type[CelesteError]] = {cls.reason: cls for cls in leaves(CelesteError)}
"""The table: reason to class, and by `ERRORS[reason].code` to the gRPC code."""
