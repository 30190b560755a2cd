"""Logging: structured lines on standard error, without secrets or prompts."""

import logging
import sys
import uuid
from typing import Any, Literal

import structlog

from celeste_image.core.errors import InternalError

__all__ = ["configure_logs", "log_bug"]

log = structlog.get_logger("celeste_image.bugs")


def configure_logs(level: str, form: Literal["console", "json"]) -> None:
    """Configures structlog for this process; our log lines never contain prompts, images or keys."""
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def log_bug(**facts: object) -> InternalError:
    """Logs the exception that is being handled, with its traceback, and returns the error that callers may see.

    The message has only an id that finds the line in the log. Outer handlers pass the error on, so a bug has one line.
    """
    log_id = uuid.uuid4().hex
    log.exception("bug", log_id=log_id, **facts)
    return InternalError(f"a bug of the server; its log has more under {log_id}", metadata={"log_id": log_id})
