"""Vendor errors: maps HTTP statuses, headers and failed exchanges to CelesteError. No other module does."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from celeste_image.core.errors import (
    CelesteError,
    InvalidRequest,
    ModelNotFound,
    OutcomeUnknown,
    ProviderBilling,
    ProviderCredentials,
    ProviderFailed,
    ProviderRateLimited,
    ProviderUnavailable,
    SafetyBlocked,
)
from celeste_image.outbound.exchange import ExchangeFailed, OriginRefused, Reply, Stage

__all__ = [
    "Pointer",
    "at",
    "duration_seconds",
    "error_for_failure",
    "error_for_status",
    "retry_after",
    "value_in",
    "vendor_text",
]

Pointer = tuple[str | int, ...]
"""Path of a value in a JSON answer: names and indexes, for `at`."""

UNKNOWN = {"final": "true", "owed": "unknown"}
"""Metadata of a paid request whose outcome can't be found out."""
MOST_SECONDS = 86_400.0
TEXT_CHARACTERS = 300
LOOK_CHARACTERS = 16 << 10
"""How much of a vendor's text is looked at."""
DURATION = re.compile(r"(\d+(?:\.\d+)?)s")


def error_for_status(
    provider: str,
    reply: Reply,
    text: str = "",
    *,
    moderated: bool = False,
    billing: bool = False,
    stage: str = "unknown",
    after: float | None = None,
    idempotent: bool = False,
) -> CelesteError:
    """Returns the error for an answer with an error status.

    Args:
        provider: The provider that answered.
        reply: The answer.
        text: The vendor's message, cleaned by `vendor_text`.
        moderated: Whether the body says that a safety system refused; then the status does not matter.
        billing: Whether the body says that credit is used up; then the status does not matter.
        stage: The part that the safety system refused: `prompt`, `input`, `output` or `unknown`.
        after: Seconds to wait, from the body; None means those of the headers.
        idempotent: Whether repeating the request costs nothing, as for a poll.
    """
    said = f"{provider}: {text}" if text else f"{provider} answered with HTTP status {reply.status}"
    metadata = {"provider": provider, "status": str(reply.status)}
    after = retry_after(reply.headers) if after is None else after
    if moderated:
        return SafetyBlocked(said, metadata=metadata | {"stage": stage})
    if billing or reply.status == 402:
        return ProviderBilling(said, metadata=metadata)
    match reply.status:
        case 401 | 403:
            return ProviderCredentials(said, metadata=metadata)
        case 404:
            return ModelNotFound(said, metadata=metadata)
        case 400 | 405 | 406 | 411 | 413 | 414 | 415 | 422:
            return InvalidRequest(said, metadata=metadata)
        case 429:
            return ProviderRateLimited(said, metadata=metadata, retry_after=after)
        case 408 | 503 | 529:
            return ProviderUnavailable(said, metadata=metadata, retry_after=after)
        case status if status >= 500 and idempotent:
            return ProviderUnavailable(said, metadata=metadata, retry_after=after)
        case status if status >= 500:
            # The vendor had the request and failed: the images may have been made and paid for.
            return OutcomeUnknown(said, metadata=metadata | UNKNOWN)
        case _:
            return ProviderFailed(said, metadata=metadata)


def error_for_failure(provider: str, failure: ExchangeFailed, *, idempotent: bool = False) -> CelesteError:
    """Returns the error for an exchange without a usable answer.

    Args:
        provider: The provider that was asked.
        failure: The failure.
        idempotent: Whether repeating the request costs nothing, as for a poll.
    """
    metadata = {"provider": provider}
    said = f"{provider}: {failure}"
    if isinstance(failure, OriginRefused):
        return ProviderFailed(said, metadata=metadata)
    if failure.stage is Stage.NOT_SENT or idempotent:
        return ProviderUnavailable(said, metadata=metadata)
    if failure.stage is Stage.ANSWERED and (status := failure.status or 0) >= 300 and status != 303:
        # The status is valid though the rest was lost. A 303, "see other", means that the request was processed.
        return error_for_status(provider, Reply(status, {}), str(failure))
    return OutcomeUnknown(said, metadata=metadata | UNKNOWN)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Returns the seconds to wait from `retry-after-ms` or `retry-after`; None if both are missing or invalid.

    `retry-after` is a number or a date (RFC 9110 section 10.2.3). The result is limited to 0 seconds up to one day.
    """
    milliseconds = headers.get("retry-after-ms", "")
    if re.fullmatch(r"\d{1,12}(\.\d+)?", milliseconds):
        return min(MOST_SECONDS, float(milliseconds) / 1000)
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"-?\d{1,12}(\.\d+)?", value):
        return min(MOST_SECONDS, max(0.0, float(value)))
    try:
        when = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(MOST_SECONDS, max(0.0, (when - (now or datetime.now(UTC))).total_seconds()))


def duration_seconds(value: Any) -> float | None:
    """Returns the seconds of a duration in protobuf's JSON form, `8s`; None for any other value."""
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    return min(MOST_SECONDS, float(found[1])) if found else None


def value_in(reply: Reply) -> Any:
    """Returns the JSON value of an answer; None if its body is not JSON."""
    try:
        return reply.json()
    except ExchangeFailed:
        return None


def at(value: Any, *path: str | int) -> Any:
    """Returns the value at a path of a JSON value; None if the path does not exist, whatever the types on the way."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def vendor_text(value: Any, secrets: Iterable[str] = ()) -> str:
    """Returns a vendor's message for people: one line, at most TEXT_CHARACTERS, with every key replaced by `[key]`."""
    if not isinstance(value, str):
        return ""
    text = "".join(character if character.isprintable() else " " for character in value[:LOOK_CHARACTERS])
    secrets = [secret for secret in secrets if secret]
    for secret in secrets:
        text = text.replace(secret, "[key]")
    if len(value) > LOOK_CHARACTERS and secrets:
        text = text[: -max(map(len, secrets))]  # a key that was cut off must not remain
    text = " ".join(text.split())
    return text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 3] + "..."
