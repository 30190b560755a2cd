"""Behavior: the faults and delays of a fake vendor's answer, from a directive in the request or from a test."""

import re
import shlex
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["Behavior", "BehaviorUnknown", "behavior_in"]

DIRECTIVE = re.compile(r"\[emulate:([^\]]{0,500})\]")


class BehaviorUnknown(ValueError):
    """A directive with an unknown key or value; the text explains it to a person."""


class Behavior(BaseModel):
    """How a call is treated.

    A directive is `key=value` pairs, separated by white space or commas; a quoted value may contain both. It stands in
    brackets in any text of the request, such as the prompt: `a boat [emulate: status=429 times=2]`.

    Attributes:
        status: Answer with this HTTP status, in the vendor's own format, without making an image.
        retry_after: Header of that answer: seconds or a date. `1500ms` is sent as `retry-after-ms`.
        moderate: The safety system refuses the `prompt` or the `output`.
        answer: Fault of the answer, after the image was made and charged for. `html` and `list` have another type,
            `truncated` and `bad-base64` are damaged, `oversized` is endless, `slow` drips, `hang` never begins, `reset`
            and `cut` end the connection before and during the answer, `redirect` leads to a private address.
        on: The request with the fault: the paid `call`, a `poll`, the `fetch` of a result, or the `connection`, whose
            only fault is `reset`.
        result: The result's URL has `expired` or leads to a `private` address.
        image: Fault of the image: another size, the mask ignored, the source unchanged, one image missing, or bytes
            that are not an image.
        latency: Seconds before the answer begins; for a job, until it is done.
        charged: Whether a call that `status` ends is charged for.
        times: How many calls with this directive it affects; 0 means all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    retry_after: str = ""
    moderate: Literal["", "prompt", "output"] = ""
    answer: Literal[
        "", "html", "list", "truncated", "bad-base64", "oversized", "slow", "hang", "reset", "cut", "redirect"
    ] = ""
    on: Literal["call", "poll", "fetch", "connection"] = "call"
    result: Literal["", "expired", "private"] = ""
    image: Literal["", "other-size", "mask-ignored", "unchanged", "fewer", "garbage"] = ""
    latency: Annotated[float, Field(ge=0, le=600)] = 0.0
    charged: bool = False
    times: Annotated[int, Field(ge=0)] = 0

    @classmethod
    def parse(cls, text: str) -> "Behavior":
        """Returns the behavior of a directive. Raises BehaviorUnknown."""
        words = shlex.shlex(text, posix=True, punctuation_chars="")
        words.whitespace, words.whitespace_split, words.commenters = " \t\r\n,", True, ""
        try:
            pairs = [word.partition("=") for word in words]
        except ValueError as error:
            raise BehaviorUnknown(f"emulate: {error}") from error
        try:
            return cls.model_validate({name.replace("-", "_"): value for name, _, value in pairs})
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False)[0]
            key = ".".join(map(str, wrong["loc"]))
            known = ", ".join(cls.model_fields)
            text = f"unknown key; the keys are {known}" if wrong["type"] == "extra_forbidden" else wrong["msg"]
            raise BehaviorUnknown(f"emulate: {key}: {text}") from error


def behavior_in(value: Any) -> tuple[str, Behavior] | None:
    """Returns the first directive in a body's texts and its behavior; None without one. Raises BehaviorUnknown."""
    for text in _texts(value):
        if found := DIRECTIVE.search(text):
            return found[1], Behavior.parse(found[1])
    return None


def _texts(value: Any) -> Iterator[str]:
    """Yields the texts in a value, in order; a body may be nested more deeply than Python may recurse."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as fields:
                left.extend(reversed(fields.values()))
            case list() as items:
                left.extend(reversed(items))
