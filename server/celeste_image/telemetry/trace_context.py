"""W3C trace context: reads and writes the headers `traceparent` and `tracestate` (https://www.w3.org/TR/trace-context/).

Baggage, the third header of its family, is neither read nor sent: it holds what callers choose.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["SAMPLED", "TRACEPARENT", "TRACESTATE", "TraceContext", "read_context"]

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
SAMPLED = 1
"""The flag of a trace that its callers record."""

PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
MEMBER = re.compile(rf"({KEY})=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]")
MOST_MEMBERS, MOST_CHARACTERS = 32, 512
"""Most members of a tracestate by its standard, and the characters that a service must be able to pass on."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The span of a caller.

    Attributes:
        trace_id: 16 bytes, not all zero.
        span_id: 8 bytes, not all zero.
        is_sampled: Whether the caller records the trace.
        state: The `tracestate`, which is passed on as it came; empty without one.
    """

    trace_id: bytes
    span_id: bytes
    is_sampled: bool
    state: str = ""


def read_context(headers: Iterable[tuple[str, str | bytes]]) -> TraceContext | None:
    """Returns the context in some headers with names in lower case; None without a valid `traceparent`.

    An invalid `tracestate` counts as none, as the standard asks for.
    """
    parents, states = [], []
    for name, value in headers:
        if name == TRACEPARENT:
            parents.append(value)
        elif name == TRACESTATE:
            states.append(value)
    if len(parents) != 1 or not isinstance(parents[0], str):
        return None
    found = PARENT.fullmatch(parents[0])
    if found is None:
        return None
    version, trace, span, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest) or not trace.strip("0") or not span.strip("0"):
        return None
    state = _state(",".join(each for each in states if isinstance(each, str))) if states else ""
    return TraceContext(bytes.fromhex(trace), bytes.fromhex(span), bool(int(flags, 16) & SAMPLED), state)


def _state(text: str) -> str:
    """Returns a valid tracestate without spaces around its members; empty for an invalid one."""
    members = [member.strip(" \t") for member in text.split(",")]
    members = [member for member in members if member]
    keys = [found[1] for member in members if (found := MEMBER.fullmatch(member))]
    state = ",".join(members)
    is_valid = len(keys) == len(set(keys)) == len(members) <= MOST_MEMBERS and len(state) <= MOST_CHARACTERS
    return state if is_valid else ""
