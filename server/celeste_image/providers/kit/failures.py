"""Failures that a vendor's answer tells in its body, of any status: one table of words for bodies, streams and items.

`failure_in` finds the failure in the forms that servers use; `error_of` makes it a CelesteError. See `kit/__init__.py`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from celeste_image.core.errors import CelesteError, ProviderFailed, ProviderUnavailable, SafetyBlocked
from celeste_image.outbound.exchange import ExchangeFailed, Reply
from celeste_image.providers.kit.answers import Pointer, at, duration_seconds, error_for_status, retry_after, value_in
from celeste_image.providers.kit.sse import Decoder

__all__ = ["Failure", "error_of", "failure_in", "is_refusal", "told_in", "word_of"]

Said = Callable[[Any], str]
"""Cleans a vendor's text for people: `Vendor.said`."""

REFUSALS: Final = re.compile(
    r"moderat|content_(policy|filter|safety|violation|block)|safety|nsfw|responsible_ai|prohibited_content|blocklist"
    r"|spii|recitation|policy_violation|image_generation_user_error|sensitive_content|sexual|violence|escalation"
    r"|model_armor|jailbreak|public_figure|refusal|flagged|explicit_content|inappropriate|^language$"
    r"|data_inspection|risk_detection|unsafe_(content|generation|image|prompt)"
)
"""What a code has in it if a safety system refused, in the form of `word_of`."""
PASSED: Final = re.compile(r"unspecified|_passed|_ok$|^not_|^no_|unmoderated|safe_output")
"""What a code has in it if it is no refusal although it names one."""
REFUSING_TEXT: Final = re.compile(
    r"safety system|content (management )?polic|content ?policy ?violation|content_policy_violation|moderation_blocked"
    r"|content (filter|moderation)|\bnsfw\b|(rejected|blocked|flagged) by (\w+ ){0,3}moderation|(was|been|were) flagged"
    r"|violat\w* (our|the|its) (\w+ )?(polic|guideline)|violat\w* (content|usage) (polic|guideline)"
    r"|safety filter[^.]{0,40}(prohibit|block|reject)|inappropriate content|sensitive (information|content|words)",
    re.I,
)
"""What a text says if a safety system refused. Relays and some vendors give it a code that says less, or none."""
BLOCKED_ACCOUNT: Final = re.compile(
    r"\b(resource|account|key|organization)\b.{0,20} (blocked|suspended|disabled)", re.I
)
"""What a text says if it is the account that is blocked, which is not the request's fault."""
MAY_REFUSE: Final = (None, 400, 403, 422, 451)
"""Statuses of codes beside which the text counts."""
LOOK_CHARACTERS: Final = 4096
"""How much of a text is looked at."""
BILLING: Final = re.compile(
    r"insufficient_(\w+_)?(quota|credit|fund|balance)|billing|payment_required|(out_of|no|not_enough)_credits?"
    r"|credits_exhausted|arrearage"
)
"""What a code has in it if credit is used up."""
STATUSES: Final = {
    **dict.fromkeys(("rate_limit", "rate_limited", "rate_limit_exceeded", "rate_limit_error"), 429),
    **dict.fromkeys(("too_many_requests", "resource_exhausted", "quota_exceeded", "throttled", "throttling"), 429),
    **dict.fromkeys(("unavailable", "service_unavailable", "overloaded", "engine_overloaded"), 503),
    **dict.fromkeys(("server_busy", "model_loading", "capacity_exceeded", "temporarily_unavailable"), 503),
    "overloaded_error": 529,
    **dict.fromkeys(("server_error", "internal", "internal_error", "internal_server_error", "api_error"), 500),
    **dict.fromkeys(("timeout", "timeout_error", "deadline_exceeded", "gateway_timeout"), 504),
    **dict.fromkeys(("invalid_api_key", "authentication_error", "unauthenticated", "unauthorized"), 401),
    **dict.fromkeys(("permission_denied", "permission_error", "forbidden"), 403),
    **dict.fromkeys(("model_not_found", "not_found", "not_found_error", "deployment_not_found"), 404),
    **dict.fromkeys(("invalid_request", "invalid_request_error", "invalid_argument", "bad_request"), 400),
    **dict.fromkeys(("invalid_value", "invalid_prompt", "invalid_image", "invalid_type", "missing_required"), 400),
    **dict.fromkeys(("value_error", "validation_error", "unprocessable_entity"), 422),
}
"""HTTP status for codes, in the form of `word_of`."""
CODES: Final = (
    *(("code",), ("type",), ("status",), ("reason",), ("error_code",), ("errorCode",), ("name",), ("status_code",)),
    *(("http_status",), ("finish_reason",), ("finishReason",), ("innererror", "code"), ("blockReason",)),
    *(("block_reason",), ("incomplete_details", "reason")),
)
"""Where an error object may have a code."""
TEXTS: Final[Sequence[Pointer]] = (("message",), ("msg",), ("detail",), ("description",), ("error",), ("text",))
"""Where an error object may have its words."""
FAILED: Final = {"error", "failed", "failure", "fail"}
"""Words for the state of a whole answer that failed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a vendor tells about a failure.

    Attributes:
        text: Its words, not cleaned; empty if it gives none.
        words: Its codes, in the form of `word_of`.
        status: The HTTP status that a code stands for; None if no code does.
        parameter: The vendor's name of the field that is wrong.
        after: Seconds to wait before the next try.
        stage: The part that a safety system refused, `input` or `output`; empty if it does not say.
    """

    text: str = ""
    words: tuple[str, ...] = ()
    status: int | None = None
    parameter: str = ""
    after: float | None = None
    stage: str = ""

    @property
    def is_refusal(self) -> bool:
        """Whether a safety system refused: a code says so, or the text of a failure that names no parameter."""
        if any(map(is_refusal, self.words)):
            return True
        if self.parameter or self.is_billing or self.status not in MAY_REFUSE:
            return False
        text = self.text[:LOOK_CHARACTERS]
        return bool(REFUSING_TEXT.search(text)) and not BLOCKED_ACCOUNT.search(text)

    @property
    def is_billing(self) -> bool:
        """Whether credit is used up."""
        return any(BILLING.search(word) for word in self.words)


def word_of(code: Any) -> str:
    """Returns a code in one form: `contentFilter`, `CONTENT_FILTER` and `content-filter` are `content_filter`."""
    if not isinstance(code, str) or len(code) > 100:
        return ""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", code).lower()).strip("_")


def is_refusal(code: Any) -> bool:
    """Returns whether a code means that a safety system refused; one that is "unspecified" means nothing."""
    word = word_of(code)
    return bool(REFUSALS.search(word) and not PASSED.search(word))


def failure_in(value: Any) -> Failure | None:
    """Returns the failure that a JSON value tells; None if it tells none. Images in the value are not looked at.

    Read are `error` as an object, a text, a list or JSON in a text, nested or not; `errors`; `detail`, as FastAPI has
    it; `message` with a code, or with no other field that could be a result; and a list of one such object.
    """
    if isinstance(value, list):
        return failure_in(value[0]) if value else None
    if not isinstance(value, dict):
        return None
    for name in ("error", "errors", "detail", "fault"):
        if found := _told(value.get(name)):
            return _joined(found, _codes(value))
    state = word_of(value.get("status") or value.get("state"))
    code = _status_of(value.get("code")) or _status_of(value.get("status")) or _status_of(value.get("status_code"))
    if state in FAILED or code or value.get("success") is False or value.get("ok") is False or _is_bare(value):
        return _object(value)
    return None


def told_in(reply: Reply) -> Failure:
    """Returns the failure that an answer with an error status tells, also in an event of a stream or in plain text."""
    if told := failure_in(value_in(reply)):
        return told
    decoder = Decoder()
    for event in (*decoder.feed(reply.body[:LOOK_CHARACTERS] + b"\n\n"), *decoder.end()):
        if told := failure_in(value_in(Reply(reply.status, {}, event.data))):
            return told
    text = reply.body[:LOOK_CHARACTERS].decode(errors="replace").strip()
    return Failure(text if reply.media_type in ("", "text/plain") and text[:1] not in ("<", "{", "[") else "")


def error_of(
    provider: str,
    reply: Reply,
    failure: Failure,
    said: Said,
    *,
    stage: str = "unknown",
    after: float | None = None,
    idempotent: bool = False,
) -> CelesteError:
    """Returns the error for a failure that an answer tells.

    The status of the answer counts first, except that a code may say more than a status of 200 or of a relay's 502.

    Args:
        provider: The provider that answered.
        reply: The answer, of any status.
        failure: The failure in its body, an event or an item.
        said: Cleans a vendor's text for people.
        stage: The part that a safety system refused, if it did: `prompt`, `input`, `output` or `unknown`.
        after: Seconds to wait, if the failure does not say.
        idempotent: Whether repeating the request costs nothing, as for a poll.
    """
    status = reply.status
    if failure.status and (status < 400 or (status >= 500 and failure.status < 500)):
        status = failure.status
    text = said(failure.text) or " ".join(failure.words)
    if status == 401:
        text = "the key was refused"  # vendors quote parts of the key
    error = error_for_status(
        provider,
        replace(reply, status=status),
        text or "the vendor reports an error without a reason" if status < 400 else text,
        moderated=failure.is_refusal,
        billing=failure.is_billing,
        stage=failure.stage or stage,
        after=after if failure.after is None else failure.after,
        idempotent=idempotent,
    )
    if error.metadata.get("stage") == "output":
        error.metadata.setdefault("owed", "unknown")  # the image was made; vendors do not say who pays for it
    match reply.headers.get("x-should-retry"):
        case "false" if error.retryable:
            return ProviderFailed(error.message, metadata=error.metadata)
        case "true" if status >= 500 and not error.retryable and not isinstance(error, SafetyBlocked):
            if not failure.is_billing:  # the vendor says that the request was not processed
                metadata = {name: text for name, text in error.metadata.items() if name not in ("owed", "final")}
                return ProviderUnavailable(error.message, metadata=metadata, retry_after=retry_after(reply.headers))
    return error


def _told(value: Any, depth: int = 0) -> Failure | None:
    """Returns the failure in the value of a field for errors."""
    if depth > 4 or not value or value is True:
        return Failure() if value is True else None
    match value:
        case str():
            inner = value.strip()
            if inner.startswith(("{", "[")):
                try:
                    parsed = Reply(200, {}, inner.encode()).json()
                except ExchangeFailed:
                    return Failure(value)
                return _told(parsed.get("error", parsed) if isinstance(parsed, dict) else parsed, depth + 1)
            word = word_of(inner) if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", inner) else ""
            return Failure(value, (word,) if word else (), STATUSES.get(word))
        case list():
            found = [each for item in value if (each := _told(item, depth + 1))]
            if not found:
                return None
            texts = "; ".join(each.text for each in found if each.text)
            return replace(_joined(found[0], *found[1:]), text=texts)
        case dict():
            inner_error = value.get("error")
            if isinstance(inner_error, dict | list) and (inside := _told(inner_error, depth + 1)):
                return _joined(inside, _object(value, depth))
            return _object(value, depth)
        case int() if status := _status_of(value):
            return Failure("", (), status)
        case _:
            return None


def _object(value: dict[str, Any], depth: int = 0) -> Failure:
    """Returns the failure of an error object, with the codes of the error of another server that it passes on."""
    texts = (at(value, *path) for path in TEXTS)
    text = next((text for text in texts if isinstance(text, str) and text.strip()), "")
    if not text and isinstance(listed := value.get("detail"), list):
        text = "; ".join(words for item in listed if isinstance(words := at(item, "msg"), str))
    codes = _codes(value)
    inside = _inside(value, text, depth)
    found = value.get("param")
    parameter = found if isinstance(found, str) else ""
    details = value.get("details")
    delays = (duration_seconds(at(detail, "retryDelay")) for detail in details) if isinstance(details, list) else ()
    after = next((delay for delay in delays if delay is not None), None)
    number = value.get("retry_after")
    if after is None and isinstance(number, int | float) and not isinstance(number, bool) and number >= 0:
        after = retry_after({"retry-after": str(number)})
    stage = at(value, "moderation_details", "moderation_stage")
    stage = stage if stage in ("input", "output") else ""
    told = Failure(text, codes.words, codes.status, parameter, after, stage)
    return told if inside is None else replace(_joined(told, inside), text=inside.text or text)


def _inside(value: dict[str, Any], text: str, depth: int) -> Failure | None:
    """Returns the failure that a relay passes on as JSON, in its own text or in `metadata.raw` as OpenRouter does."""
    for passed in (at(value, "metadata", "raw"), text):
        if isinstance(passed, str) and passed.lstrip().startswith("{") and (inside := _told(passed, depth + 1)):
            return inside
    return None


def _codes(value: dict[str, Any]) -> Failure:
    """Returns the codes of an object, as a failure without words."""
    found = [at(value, *path) for path in CODES]
    if isinstance(details := value.get("details"), list):
        found += [at(detail, "reason") for detail in details]
    if isinstance(reasons := at(value, "metadata", "reasons"), list):  # as OpenRouter tells what was flagged
        found += ["flagged", *reasons] if reasons else []
    words = tuple(dict.fromkeys(word for code in found if (word := word_of(code)) and not word.isdigit()))
    numbers: Iterator[int | None] = (_status_of(code) for code in found)
    status = next((number for number in numbers if number), None)
    return Failure("", words, status or next((STATUSES[word] for word in words if word in STATUSES), None))


def _joined(first: Failure, *others: Failure) -> Failure:
    """Returns one failure with all codes; the first that has a text, a status or a parameter counts."""
    every = (first, *others)
    return Failure(
        next((each.text for each in every if each.text), ""),
        tuple(dict.fromkeys(word for each in every for word in each.words if word not in FAILED)),
        next((each.status for each in every if each.status), None),
        next((each.parameter for each in every if each.parameter), ""),
        next((each.after for each in every if each.after is not None), None),
        next((each.stage for each in every if each.stage), ""),
    )


def _status_of(code: Any) -> int | None:
    """Returns the HTTP status of a numeric code from 400 to 599."""
    if isinstance(code, str) and re.fullmatch(r"\s*[45]\d\d\s*", code):
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code <= 599 else None


def _is_bare(value: dict[str, Any]) -> bool:
    """Returns whether an object has nothing but a message and codes."""
    known = {"message", "msg", "code", "type", "status", "reason", "param", "request_id", "requestId", "id", "object"}
    return isinstance(value.get("message") or value.get("msg"), str) and value.keys() <= known
