"""Compares the outcome of a case with its expectations.

Expectations are data:

* An object expects its keys and allows others. An array expects the same length. Another value expects itself.
* A string that begins with `~` is a regular expression for the whole text.
* `{any: X}` expects an array with an element X. `{between: [LOW, HIGH]}` expects a number. `absent` in angle brackets,
  `<absent>`, expects that the key is missing.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["image_problems", "problems", "trace_problems"]


def problems(expect: Mapping[str, Any], outcome: Mapping[str, Any]) -> list[str]:
    """Returns what is wrong with an outcome, as lines for people. Empty means that the case passed.

    Fields of `expect`, all optional: `code` (OK if missing; one of several in a list), `message`, `response` (the only
    message), `first` and `last` (messages), `each` (every message), `kinds` (regular expression for the kinds of a
    stream's events, joined by spaces), `details` (by the last part of their type, `ErrorInfo`; others may stand beside
    them), `headers`, `trailers`, `download`, `sent_bytes`, `seconds`. `images_of` is for other outcomes, and `log`,
    `idle` and `trace` are for the server; see `run.py`.
    """
    found: list[str] = []
    code = expect.get("code", "OK")
    if outcome["code"] not in ([code] if isinstance(code, str) else code):
        found.append(f"code: expected {code}, got {outcome['code']}: {outcome.get('message', '')[:300]}")
        return found
    messages = outcome.get("messages", [])
    for key, value in expect.items():
        match key:
            case "response":
                if len(messages) != 1:
                    found.append(f"expected one message, got {len(messages)}")
                else:
                    found += _differences(value, messages[0], "response")
            case "first" | "last":
                found += _differences(value, messages[0 if key == "first" else -1] if messages else None, key)
            case "each":
                for number, message in enumerate(messages):
                    found += _differences(value, message, f"messages[{number}]")
            case "kinds":
                kinds = " ".join(_kind(message) for message in messages)
                if not re.fullmatch(value, kinds):
                    found.append(f"kinds: expected {value!r}, got {kinds!r}")
            case "details":
                found += _details(value, outcome.get("details", []))
            case "message" | "headers" | "trailers" | "download" | "sent_bytes" | "seconds":
                found += _differences(value, outcome.get(key), key)
            case "code" | "log" | "idle" | "trace" | "images_of":
                pass
            case _:
                raise ValueError(f"unknown expectation {key!r}")
    if messages and "event" in messages[0]:
        found += list(_stream_problems(messages))
    return found


def image_problems(first: Mapping[str, Any], outcome: Mapping[str, Any]) -> list[str]:
    """Returns how the images of an outcome differ from those of another one: artifacts, digests and seeds."""
    expected, images = _images(first), _images(outcome)
    if not expected:
        return ["images: the first outcome has none"]
    return [] if images == expected else [f"images: expected {_short(expected)}, got {_short(images)}"]


def _images(outcome: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Returns artifact, digest and seed of each image in a response or in the `completed` event of a stream."""
    results = (
        message.get("result") or message.get("event", {}).get("completed", {}).get("result", {})
        for message in outcome.get("messages", [])
    )
    fields = ("artifact", "sha256", "seed")
    return [tuple(map(image.get, fields)) for result in results for image in result.get("images", [])]


def trace_problems(expect: Mapping[str, Any], trace: Mapping[str, Any]) -> list[str]:
    """Returns what is wrong with the trace of a call.

    Args:
        expect: `spans`, names that must be there, or an empty list for a trace without spans; `parent`, the id of the
            caller's span above the call; `state`, its tracestate; `vendor`, the `traceparent` that the vendor got.
        trace: The same of the trace that arrived.
    """
    names = trace["spans"]
    found = [f"trace: no span {name!r} among {names}" for name in expect["spans"] if name not in names]
    if names and not expect["spans"]:
        found.append(f"trace: expected no span, got {names}")
    for key in ("parent", "state", "vendor"):
        if key in expect:
            found += _differences(expect[key], trace[key], f"trace.{key}")
    return found


def _details(expect: Mapping[str, Any], details: list[Mapping[str, Any]]) -> list[str]:
    by_type = {str(detail["@type"]).rpartition(".")[2]: detail for detail in details}
    found = []
    for name, value in expect.items():
        if name not in by_type:
            found.append(f"details: no {name} among {', '.join(by_type) or 'none'}")
        else:
            found += _differences(value, by_type[name], f"details.{name}")
    return found


def _stream_problems(messages: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yields what is wrong with any stream of events: numbers that are not 1, 2, 3 ..., or progress that falls."""
    known = [message["event"] for message in messages if _kind(message) != "unknown"]
    numbers = [int(event.get("sequence", 0)) for event in known]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"sequence: expected 1, 2, 3 ..., got {numbers}"
    fractions = [event["progress"].get("fraction", 0) for event in known if "progress" in event]
    if fractions != sorted(fractions):
        yield f"progress falls: {fractions}"
    if "requestId" not in messages[0]:
        yield "the first message has no requestId"


def _kind(message: Mapping[str, Any]) -> str:
    """Returns the kind of an event, `unknown` for a kind that the client does not know."""
    return next((key for key in message.get("event", {}) if key not in ("sequence", "time")), "unknown")


def _differences(expect: Any, value: Any, path: str) -> list[str]:
    """Returns where a value differs from what is expected, as lines with paths."""
    match expect:
        case "<absent>":
            return [] if value is None else [f"{path}: expected nothing, got {_short(value)}"]
        case {"any": each}:
            good = isinstance(value, list) and any(not _differences(each, one, path) for one in value)
            return [] if good else [f"{path}: expected an element {each!r}, got {_short(value)}"]
        case {"between": [low, high]}:
            good = isinstance(value, int | float) and low <= value <= high
            return [] if good else [f"{path}: expected {low} to {high}, got {_short(value)}"]
        case dict():
            if not isinstance(value, dict):
                return [f"{path}: expected an object, got {_short(value)}"]
            return [
                line for key, each in expect.items() for line in _differences(each, value.get(key), f"{path}.{key}")
            ]
        case list():
            if not isinstance(value, list) or len(value) != len(expect):
                return [f"{path}: expected {len(expect)} elements, got {_short(value)}"]
            pairs = enumerate(zip(expect, value, strict=True))
            return [line for at, (each, one) in pairs for line in _differences(each, one, f"{path}[{at}]")]
        case str() if expect.startswith("~"):
            good = isinstance(value, str) and bool(re.fullmatch(expect[1:], value, re.DOTALL))
            return [] if good else [f"{path}: expected /{expect[1:]}/, got {_short(value)}"]
    if _same_number(expect, value) or (expect == value and type(expect) is type(value)):
        return []
    return [f"{path}: expected {_short(expect)}, got {_short(value)}"]


def _same_number(expect: Any, value: Any) -> bool:
    """Returns whether two numbers are equal, since languages write 2 and 2.0 in JSON alike."""
    both = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (expect, value))
    return both and bool(expect == value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}..."
