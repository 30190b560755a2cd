"""Errors of APIs like OpenAI's: maps `{"error": {"message", "type", "param", "code"}}` to CelesteError."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from celeste_image.core.errors import CelesteError, InvalidRequest, ProviderFailed, ProviderUnavailable, Violation
from celeste_image.outbound.exchange import Reply
from celeste_image.providers.kit.answers import at, error_for_status, retry_after, value_in

__all__ = ["openai_error"]

SAFETY = {
    *("moderation_blocked", "image_generation_user_error", "content_policy_violation"),
    *("content_filter", "contentFilter", "ResponsibleAIPolicyViolation"),
}
BILLING = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_limit_user_error"}
STATUSES = {"rate_limit_exceeded": 429, "server_error": 500}
"""HTTP status for the error codes that occur in a stream."""
FIELDS = {
    **{name: name for name in ("size", "quality", "background", "style", "seed", "negative_prompt")},
    **{"n": "count", "output_format": "output_media_type", "output_compression": "output_quality"},
    "mask": "inpaint.mask.image",
}
"""Field of the request for each of the API's parameters that has the same field in every operation."""


def openai_error(provider: str, reply: Reply, said: Callable[[Any], str], *, streamed: bool = False) -> CelesteError:
    """Returns the error for an answer with an error in its body.

    Args:
        provider: The provider that answered.
        reply: The answer.
        said: Cleans a vendor's text for people.
        streamed: Whether the error is an event of a stream, so that the status is not the error's.
    """
    body = value_in(reply)
    error = at(body, "error") or body
    named = (at(error, "code"), at(error, "type"), at(error, "innererror", "code"))
    words = [word for word in named if isinstance(word, str)]
    if streamed:
        reply = replace(reply, status=next((STATUSES[word] for word in words if word in STATUSES), reply.status))
    text = next(filter(None, map(said, (at(error, "message"), error, at(body, "detail")))), "")
    if reply.status == 401:
        text = "the key was refused"  # the vendor's text quotes parts of the key
    moderated, billing = not SAFETY.isdisjoint(words), not BILLING.isdisjoint(words)
    found = error_for_status(provider, reply, text, moderated=moderated, billing=billing)
    parameter = at(error, "param")
    if isinstance(found, InvalidRequest) and isinstance(parameter, str) and parameter in FIELDS:
        wrong = Violation(FIELDS[parameter], text or "was refused by the provider")
        return InvalidRequest(found.message, metadata=found.metadata, violations=[wrong])
    match reply.headers.get("x-should-retry"):
        case "false" if found.retryable:
            return ProviderFailed(found.message, metadata=found.metadata)
        case "true" if reply.status >= 500 and not found.retryable and not (moderated or billing):
            # The vendor says that the request was not processed.
            return ProviderUnavailable(found.message, metadata=found.metadata, retry_after=retry_after(reply.headers))
    return found
