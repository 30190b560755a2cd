"""Logging: structured lines on standard error, without secrets or prompts."""

import io
import logging
import sys
import uuid
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

from celeste_image.core.errors import InternalError
from celeste_image.core.text import escaped, escaped_json
from celeste_image.telemetry.lines import plain_line

__all__ = ["configure_logs", "log_bug"]

log = structlog.get_logger("celeste_image.bugs")

TRACEBACK = frozenset(("exc_info", "exception", "stack"))
"""Names of an event's values that are no text of their own."""


def configure_logs(level: str, form: Literal["console", "json"]) -> None:
    """Configures structlog for this process; our log lines never contain prompts, images or keys."""
    renderers: list[Any] = [structlog.processors.JSONRenderer(), _escape_line]
    if form == "console":
        renderers = [_escape_values, _Console(colors=sys.stderr.isatty())]
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


class _Console:
    """Writes an event for people. structlog's renderer writes those with colors or with an exception."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors
        self._full = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_escaped_traceback)

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        if self._colors or not TRACEBACK.isdisjoint(event):
            return self._full(logger, method, event)
        return plain_line(event)


def _escape_line(logger: object, method: str, line: str) -> str:
    """Escapes a line of JSON, which stays valid JSON."""
    return escaped_json(line)


def _escape_values(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escapes the values of an event, which may be of any origin."""
    for key, value in event.items():
        if key not in TRACEBACK:
            plain = value if isinstance(value, str) else repr(value)
            if (shown := escaped(plain)) != plain:
                event[key] = shown
    return event


def _escaped_traceback(stream: TextIO, exc_info: Any) -> None:
    """Writes a traceback with a bar before each line, so that no text inside it looks like a line of the log."""
    plain = io.StringIO()
    structlog.dev.plain_traceback(plain, exc_info)
    stream.write("\n".join(f"| {escaped(line)}" for line in plain.getvalue().rstrip("\n").split("\n")))


def log_bug(**facts: object) -> InternalError:
    """Logs the exception that is being handled, with its traceback, and returns the error that callers may see.

    The message has only an id that finds the line in the log. Outer handlers pass the error on, so a bug has one line.
    """
    log_id = uuid.uuid4().hex
    log.exception("bug", log_id=log_id, **facts)
    return InternalError(f"a bug of the server; its log has more under {log_id}", metadata={"log_id": log_id})
