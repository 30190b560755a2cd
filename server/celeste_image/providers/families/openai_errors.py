"""Errors of the OpenAI-like family: `{"error": {"message", "type", "param", "code"}}`, and what becomes of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from celeste_image.core.errors import CelesteError, ProviderFailed, ProviderUnavailable
from celeste_image.outbound.exchange import Reply
from celeste_image.providers.kit.answers import at, error_for_status, retry_after, value_in

__all__ = ["openai_error"]

SAFETY = {
    *("moderation_blocked", "image_generation_user_error", "content_policy_violation"),
    *("content_filter", "contentFilter", "ResponsibleAIPolicyViolation"),
}
BILLING = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_limit_user_error"}
STATUSES = {"rate_limit_exceeded": 429, "server_error": 500}
"""What an error inside of a stream would have been as an answer; for others there is none."""


def openai_error(provider: str, reply: Reply, said: Callable[[Any], str], *, streamed: bool = False) -> CelesteError:
    """Returns the error that an answer is.

    Args:
        provider: Who answered.
        reply: The answer.
        said: Makes a vendor's text fit to be shown.
        streamed: Whether it is an event of a stream, the status of which says nothing.
    """
    body = value_in(reply)
    error = at(body, "error") or body
    named = (at(error, "code"), at(error, "type"), at(error, "innererror", "code"))
    words = [word for word in named if isinstance(word, str)]
    if streamed:
        reply = replace(reply, status=next((STATUSES[word] for word in words if word in STATUSES), reply.status))
    text = next(filter(None, map(said, (at(error, "message"), error, at(body, "detail")))), "")
    if reply.status == 401:
        text = "the key was refused"  # the vendor's own words have parts of the key in them
    moderated, billing = not SAFETY.isdisjoint(words), not BILLING.isdisjoint(words)
    found = error_for_status(provider, reply, text, moderated=moderated, billing=billing)
    match reply.headers.get("x-should-retry"):
        case "false" if found.retryable:
            return ProviderFailed(found.message, metadata=found.metadata)
        case "true" if reply.status >= 500 and not found.retryable and not (moderated or billing):
            # The vendor says that nothing came of it.
            return ProviderUnavailable(found.message, metadata=found.metadata, retry_after=retry_after(reply.headers))
    return found
