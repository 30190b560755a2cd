"""Google's answers: images, refusals and usage of `generateContent`, of interactions, and of errors.

Protobuf's JSON has two spellings of each field and several of each enum value: `plain` and `reason_in` read them all,
for every answer of the family. Sources: the types of google-genai 3.4.0, and the page "API errors" of the Gemini API
for the codes of interactions, 2026-11-30.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from celeste_image.core.errors import CelesteError, OutcomeUnknown, ProviderCredentials, ProviderFailed, SafetyBlocked
from celeste_image.core.money import quantities
from celeste_image.outbound.exchange import Reply
from celeste_image.providers.kit.answers import at, duration_seconds, error_for_status, value_in
from celeste_image.providers.kit.failures import Failure, Said, error_of, failure_in, is_refusal, told_in, word_of
from celeste_image.providers.kit.images import Answer, Found

__all__ = ["answer_in", "error_in", "interaction_in", "plain", "reason_in"]

FINISH_REASONS: Final = (
    *("", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"),
    *("MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY"),
)
"""Finish reasons by their numbers in protobuf, as far as the numbers are known."""
BLOCK_REASONS: Final = ("", "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY")
"""Block reasons by their numbers in protobuf."""
FINISHED: Final = frozenset({"", "stop", "max_tokens", "continuation"})
"""Finish reasons, as `word_of` has them, after which an image counts. An image with any other reason does not."""
BLOCKED: Final = frozenset({"image_other", "content_blocked", "pup_limited_disabled"})
"""Codes of refusals that do not look like one. For interactions `image_other` is among the blocked generations."""
ENDED: Final = frozenset({"", "completed", "incomplete", "requires_action", "requires_continuation", "budget_exceeded"})
"""States of an interaction, as `word_of` has them, in which its images count."""
GOES_ON: Final = frozenset({"in_progress", "queued"})
"""States of an interaction that has not ended."""
PREFIX: Final = re.compile(r"^(finish|block|blocked)_?reason_", re.I)


def plain(value: Any) -> Any:
    """Returns a JSON value with the names of its fields in snake case; of two spellings, one with a value counts."""
    match value:
        case dict():
            fields: dict[str, Any] = {}
            for name, item in value.items():
                snake = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f"_{found[1]}", name).lower()
                if fields.get(snake) in (None, "", [], {}):
                    fields[snake] = plain(item)
            return fields
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def reason_in(value: Any, numbers: Sequence[str]) -> str:
    """Returns an enum value as the vendor writes it, without a prefix; empty for one that is unspecified or missing.

    Args:
        value: A name in any case, or a number.
        numbers: The names by their numbers; an unknown number stands for itself.
    """
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return numbers[value] if 0 <= value < len(numbers) else str(value)
    name = PREFIX.sub("", value.strip()) if isinstance(value, str) else ""
    return "" if word_of(name).endswith("unspecified") else name


def answer_in(provider: str, reply: Reply, values: Sequence[Any], said: Said) -> Answer:
    """Returns what an answer to `generateContent` says: the images of all candidates, without drafts of its thoughts.

    Args:
        provider: The provider that answered.
        reply: The answer's status and headers.
        values: The answer's value, or those of a stream: objects, or lists of them as without `alt=sse`. Bytes are an
            image.
        said: Cleans a vendor's text for people.
    """
    listed = [each for value in values for each in (value if isinstance(value, list) else [value])]
    envelopes = [plain(each) for each in listed if isinstance(each, dict)]
    found = [Found((each,)) for each in listed if isinstance(each, bytes)]
    words: list[str] = []
    for candidate in _listed(envelopes, "candidates"):
        found += _candidate(provider, candidate, said, words)
    if len(values) > 1 and any(each.images for each in found):  # a chunk of a stream may have words alone
        found = [each for each in found if each.images or isinstance(each.error, SafetyBlocked)]
    error = next((each.error for each in found if each.error), None)
    for envelope in envelopes:
        if blocked := _blocked(provider, envelope, said):
            return Answer(error=blocked, billed=quantities(_usage(envelope)))
        if envelope.get("error"):
            error = _error(provider, reply, envelope, said)
    if not found and not error:
        error = _no_image(provider, "", "", "")
    counted: dict[str, float] = {}
    for envelope in envelopes:
        counted |= _usage(envelope)  # each chunk of a stream counts all so far
    return Answer(tuple(found), error, quantities(counted), words="; ".join(words))


def interaction_in(provider: str, reply: Reply, values: Sequence[Any], said: Said) -> Answer:
    """Returns what an answer to an interaction says: the images that the model put out, the last first.

    As the SDK does, the steps are read from the end up to the user's last input. Images of the user's input, which an
    answer may repeat, are no results. Of several values, as a stream has them, the last with an interaction counts.
    """
    read = [each if (inner := at(each, "interaction")) is None else inner for each in map(plain, values)]
    answer = next((each for each in reversed(read) if _is_interaction(each)), read[-1])
    state = word_of(at(answer, "status"))
    found: list[Found] = []
    words: list[str] = []
    error = _blocked(provider, answer, said)
    for step in _steps(answer):
        told = failure_in({"error": at(step, "error")})
        if told:
            error = error or _interaction_error(provider, reply, told, said)
        content = at(step, "content")
        for item in reversed(content if isinstance(content, list) else [content]):
            if at(item, "type") in ("image", None) and (images := _places(item)) and not told:
                found.append(Found(images))
            elif isinstance(text := at(item, "text"), str) and (clean := said(text)):
                words.insert(0, clean)
    for name in ("errors", "error"):
        if not error and (told := failure_in({"error": at(answer, name)})):
            error = _interaction_error(provider, reply, told, said)
    if found and (isinstance(error, SafetyBlocked) or state not in ENDED):
        error = error or _not_used(provider, f"the interaction ended as {said(at(answer, 'status'))}")
        found = []
    if not found and not error:
        error = _no_image(provider, state, said(at(answer, "status")), " ".join(words))
    return Answer(tuple(found), error, quantities(_usage(answer)))


def _is_interaction(value: Any) -> bool:
    return any(at(value, name) for name in ("steps", "outputs", "output_image", "error", "errors"))


def error_in(provider: str, reply: Reply, said: Said) -> CelesteError:
    """Returns the error for an answer of status 300 or above: a `google.rpc.Status`, or an interaction's code."""
    answer = plain(value_in(reply))
    answer = answer[0] if isinstance(answer, list) and answer else answer
    return _blocked(provider, answer, said) or _error(provider, reply, answer, said)


def _error(provider: str, reply: Reply, answer: Any, said: Said) -> CelesteError:
    """Returns the error that an answer of any status tells."""
    told = failure_in(answer) or told_in(reply)
    status, text = told.status or reply.status, said(told.text)
    metadata = {"provider": provider, "status": str(status)}
    if _is_blocked(told.words):
        return _interaction_error(provider, reply, told, said)
    if "api_key_invalid" in told.words:
        # The status is 400, which elsewhere means an invalid request.
        return ProviderCredentials(f"{provider}: {text or 'the key is not valid'}", metadata=metadata)
    if status == 400 and "failed_precondition" in told.words:
        # "The free tier is not available in your country, please enable billing" is about money. "User location is not
        # supported for the API use" is not: the account can't be used from here.
        if re.search(r"location|country|region", text, re.I) and not re.search(r"billing|paid|prepa", text, re.I):
            return ProviderCredentials(f"{provider}: {text}", metadata=metadata)
        return error_for_status(provider, replace(reply, status=status), text, billing=True)
    delays = [duration_seconds(at(detail, "retry_delay")) for detail in _list(at(answer, "error", "details"))]
    after = next((delay for delay in delays if delay is not None), told.after)
    return error_of(provider, reply, replace(told, after=after), said)


def _candidate(provider: str, candidate: Any, said: Said, words: list[str]) -> Iterator[Found]:
    """Yields the images of one candidate, or why it has none; adds its texts to `words`."""
    reason = reason_in(at(candidate, "finish_reason"), FINISH_REASONS)
    message = said(at(candidate, "finish_message"))
    parts = at(candidate, "content", "parts")
    parts = [part for part in parts if not at(part, "thought")] if isinstance(parts, list) else []
    images = [found for part in parts if (found := _places(part))]
    text = message or said(" ".join(text for part in parts if isinstance(text := at(part, "text"), str)))
    if not reason and _is_rated(candidate):
        reason = "SAFETY"
    if is_refusal(reason) or word_of(reason) == "pup_limited_disabled":
        yield Found(error=_refused(provider, f"the image was refused ({said(reason)})", text, "output"))
    elif not images:
        why = "the model made no image" + ("" if word_of(reason) in ("", "stop") else f" ({said(reason)})")
        yield Found(error=ProviderFailed(f"{provider}: {_joined(why, text)}", metadata={"provider": provider}))
    elif word_of(reason) not in FINISHED:
        yield Found(error=_not_used(provider, _joined(f"the model ended with {said(reason)}", text)))
    else:
        if text:
            words.append(text)
        yield from (Found(found) for found in images)


def _steps(answer: Any) -> Iterator[Any]:
    """Yields the model's steps of an interaction, the last first, up to the user's last input.

    Older forms have the content in `outputs`, beside the steps or in their place, and the image in `output_image`.
    """
    listed = at(answer, "steps")
    steps = listed if isinstance(listed, list) else []
    read = []
    for step in reversed(steps):
        kind, role = word_of(at(step, "type")), word_of(at(step, "role"))
        if kind == "user_input" or role == "user":
            break
        if kind in ("", "model_output"):
            read.append(step)
    yield from read
    has_image = any(_places(item) for step in read for item in _list(at(step, "content")))
    outputs = _list(at(answer, "outputs"))
    if not has_image and outputs:
        yield {"content": [item for item in outputs if word_of(at(item, "type")) not in ("thought", "user_input")]}
        has_image = any(_places(item) for item in outputs)
    if not has_image and (alone := at(answer, "output_image")):
        yield {"content": [alone]}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _listed(envelopes: Sequence[Mapping[str, Any]], name: str) -> Iterator[Any]:
    for envelope in envelopes:
        yield from _list(envelope.get(name))


def _places(part: Any) -> tuple[str | bytes, ...]:
    """Returns where the image of a part may be: base64, bytes or a URL. Files of another type are no image."""
    for holder in (at(part, "inline_data"), at(part, "file_data"), part):
        kind = at(holder, "mime_type")
        if isinstance(kind, str) and kind and not kind.lower().startswith("image/"):
            continue
        values = (at(holder, name) for name in ("data", "file_uri", "uri"))
        if places := tuple(value for value in values if isinstance(value, str | bytes) and value.strip()):
            return places
    return ()


def _blocked(provider: str, answer: Any, said: Said) -> CelesteError | None:
    """Returns the refusal of the prompt; None if it was not refused. An unspecified reason does not count."""
    feedback = at(answer, "prompt_feedback")
    reason = reason_in(at(feedback, "block_reason"), BLOCK_REASONS)
    if not reason and _is_rated(feedback) and not at(answer, "candidates"):
        reason = "SAFETY"
    if not reason:
        return None
    message = said(at(feedback, "block_reason_message"))
    return _refused(provider, f"the prompt was refused ({said(reason)})", message, "prompt")


def _is_rated(value: Any) -> bool:
    """Returns whether a safety rating says that the content was blocked."""
    return any(at(rating, "blocked") is True for rating in _list(at(value, "safety_ratings")))


def _is_blocked(words: Sequence[str]) -> bool:
    return any(word in BLOCKED or is_refusal(word) for word in words)


def _refused(provider: str, why: str, more: str, stage: str) -> SafetyBlocked:
    metadata = {"provider": provider, "stage": stage}
    if stage == "output":  # something was made, and nobody says whether it is billed
        metadata["owed"] = "unknown"
    return SafetyBlocked(f"{provider}: {_joined(why, more)}", metadata=metadata)


def _interaction_error(provider: str, reply: Reply, told: Failure, said: Said) -> CelesteError:
    """Returns the error for a code of interactions: those of blocked generations are refusals, at any status."""
    if not _is_blocked(told.words):
        return error_of(provider, reply, told, said)
    word = next(word for word in told.words if word in BLOCKED or is_refusal(word))
    stage = "output" if word.startswith("image_") else "unknown"
    return _refused(provider, f"a safety system refused ({word})", said(told.text), stage)


def _not_used(provider: str, why: str) -> ProviderFailed:
    """Returns the error for an image that is not used, because the answer does not say that it is finished."""
    metadata = {"provider": provider, "owed": "unknown"}
    return ProviderFailed(f"{provider}: the image is not used: {why}", metadata=metadata)


def _no_image(provider: str, state: str, status: str, words: str) -> CelesteError:
    if state in GOES_ON:
        text = f"{provider}: the answer came before the interaction ended ({status})"
        return OutcomeUnknown(text, metadata={"provider": provider, "final": "true", "owed": "unknown"})
    why = "the model made no image" if state in ("", "completed") else f"the model made no image ({status})"
    return ProviderFailed(f"{provider}: {_joined(why, words)}", metadata={"provider": provider})


def _usage(answer: Any) -> Mapping[str, float]:
    """Returns the tokens of `usageMetadata`, or of an interaction's `usage`, by unit. Thoughts count as text put out.

    Tokens whose kind is not said are `input_token` and `output_token`.
    """
    metadata, usage = at(answer, "usage_metadata"), at(answer, "usage")
    sides = {
        "input": (
            (at(metadata, "prompt_token_count"), at(metadata, "tool_use_prompt_token_count")),
            at(metadata, "prompt_tokens_details"),
            (at(usage, "total_input_tokens"), at(usage, "total_tool_use_tokens")),
            at(usage, "input_tokens_by_modality"),
        ),
        "output": (
            (at(metadata, "candidates_token_count"),),
            at(metadata, "candidates_tokens_details"),
            (at(usage, "total_output_tokens"),),
            at(usage, "output_tokens_by_modality"),
        ),
    }
    counted: dict[str, float] = {}
    for side, (totals, details, totals_too, details_too) in sides.items():
        total = sum(map(_count, totals)) or sum(map(_count, totals_too))
        for detail in _list(details) or _list(details_too):
            kind, count = (
                word_of(at(detail, "modality")),
                _count(at(detail, "token_count")) or _count(at(detail, "tokens")),
            )
            if kind in ("text", "image") and count:
                unit = f"{side}_{kind}_token"
                counted[unit] = counted.get(unit, 0.0) + count
                total -= count
        if total > 0:
            counted[f"{side}_token"] = total
    thoughts = _count(at(metadata, "thoughts_token_count")) or _count(at(usage, "total_thought_tokens"))
    if thoughts:
        counted["output_text_token"] = counted.get("output_text_token", 0.0) + thoughts
    return counted


def _count(value: Any) -> float:
    """Returns a count; 0 for anything else. Protobuf's JSON has 64-bit integers as texts."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}", value):
        value = int(value)
    is_count = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e15
    return float(value) if is_count else 0.0


def _joined(text: str, more: str) -> str:
    return f"{text}: {more}" if more else text
