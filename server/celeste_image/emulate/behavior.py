"""Behavior: how an emulated vendor treats one call, said by the call itself or by whoever tests with it."""

import re
import shlex
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["Behavior", "BehaviorUnknown", "behavior_in"]

DIRECTIVE = re.compile(r"\[emulate:([^\]]{0,500})\]")


class BehaviorUnknown(ValueError):
    """A directive that says what no emulator knows; the text is for people."""


class Behavior(BaseModel):
    """What is different about a call.

    Written `key=value` with white space or commas between; in quotes a value may have them too. In a text of the
    request, such as the prompt, it stands in brackets: `a boat [emulate: status=429 times=2]`.

    Attributes:
        status: Answers with this status, in the vendor's own form; nothing is made.
        retry_after: Of such an answer: the header as it stands, seconds or a date; `1500ms` is sent as
            `retry-after-ms`.
        moderate: The safety system refuses the prompt, or what was made.
        answer: What is wrong with the answer, after the work was done and charged for: `html` and `list` are of
            another kind, `truncated` and `bad-base64` are damaged, `oversized` has no end, `slow` drips, `hang` never
            begins, `reset` and `cut` end the connection before and within it, `redirect` names a private address.
        on: Of which exchange `status` and `answer` are: the paid call, a poll, the fetch of a result, or the
            connection, which can only be `reset`.
        result: A result's URL that has expired, or that names a private address.
        picture: Misbehavior: another size than asked, a mask that is ignored, nothing changed, one image too few,
            bytes that are no picture.
        latency: Seconds before the answer begins; for a job, until it is done.
        charged: Whether a call that `status` ends is charged for all the same.
        times: For so many calls with this very directive; 0 is for all.
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
    picture: Literal["", "other-size", "mask-ignored", "unchanged", "fewer", "garbage"] = ""
    latency: Annotated[float, Field(ge=0, le=600)] = 0.0
    charged: bool = False
    times: Annotated[int, Field(ge=0)] = 0

    @classmethod
    def parse(cls, text: str) -> "Behavior":
        """Returns what a text says. Raises BehaviorUnknown."""
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
            place = ".".join(map(str, wrong["loc"]))
            known = ", ".join(cls.model_fields)
            text = f"there is no such key; they are {known}" if wrong["type"] == "extra_forbidden" else wrong["msg"]
            raise BehaviorUnknown(f"emulate: {place}: {text}") from error


def behavior_in(value: Any) -> tuple[str, Behavior] | None:
    """Returns the first directive in the texts of a body and what it says. Raises BehaviorUnknown."""
    for text in _texts(value):
        if found := DIRECTIVE.search(text):
            return found[1], Behavior.parse(found[1])
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
