"""Logging: structured lines on standard error or in a file, without secrets or prompts.

This package logs by structlog, and its libraries by the standard library; both write the same lines. Each line is made
in one pass, since a call has two of them.
"""

import contextlib
import logging
import sys
import uuid
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import structlog

from celeste_image.core.errors import InternalError
from celeste_image.core.secret import without_secrets
from celeste_image.telemetry.lines import ColoredLines, json_line, plain_line
from celeste_image.telemetry.tracing import current

__all__ = ["Output", "change_logs", "configure_logs", "log_bug"]

log = structlog.get_logger("celeste_image.bugs")

Output = Callable[[str], None]
"""Takes a line with its line feed. It raises nothing."""
Line = Callable[[str, str, str, dict[str, Any]], str]
"""Makes a line from time, level, event and facts."""

OWN = "celeste_image"
LIBRARY_LEVEL = logging.WARNING
"""Least level of libraries that have no level of their own. Some of their lines below it quote URLs and headers."""


def configure_logs(
    level: str,
    form: Literal["console", "json"],
    levels: Mapping[str, str] | None = None,
    output: Output | None = None,
    *,
    colors: bool = False,
) -> None:
    """Configures the log of this process. A second call takes the place of the first.

    Args:
        level: Least level of a line.
        form: Format of the lines.
        levels: Least levels by the name of a logger, which stands for all names below it.
        output: Takes the lines; None means standard error, at once.
        colors: Whether `output` is a terminal.
    """
    if output is None:
        output, colors = _output_to(sys.stderr), sys.stderr.isatty()
    _in_use[:] = [(output, colors)]
    line: Line = json_line if form == "json" else ColoredLines() if colors else plain_line
    least = {name: _number(word) for name, word in (levels or {}).items()}
    loggers: dict[str, _Named] = {}

    def named(name: str = "", *_: object) -> "_Named":
        found = loggers.get(name)
        if found is None:
            found = loggers[name] = _Named(output, _least_of(name, least, _number(level)))
        return found

    structlog.configure(
        processors=[_Rendering(line)],
        wrapper_class=_with_level_of_logger,  # type: ignore[arg-type]  # structlog only calls it
        logger_factory=named,
        cache_logger_on_first_use=False,
    )
    _configure_libraries(line, output, max(_number(level), LIBRARY_LEVEL), least)


_in_use: list[tuple[Output, bool]] = []
"""Where the lines go, and whether that is a terminal."""


def change_logs(level: str, form: Literal["console", "json"], levels: Mapping[str, str]) -> None:
    """Changes levels and format of a log that is configured. Its lines go where they went before."""
    output, colors = _in_use[0] if _in_use else (None, False)
    configure_logs(level, form, levels, output, colors=colors)


def _number(level: str) -> int:
    return int(getattr(logging, level.upper()))


def _least_of(name: str, least: Mapping[str, int], otherwise: int) -> int:
    """Returns the level of the nearest name above."""
    while name:
        if name in least:
            return least[name]
        name = name.rpartition(".")[0]
    return otherwise


class _Named:
    """A logger of structlog: it passes lines on, whatever their level."""

    def __init__(self, output: Output, least: int) -> None:
        self.least = least
        self.debug = self.info = self.warning = self.error = self.critical = output


def _with_level_of_logger(logger: _Named, processors: Any, context: Any) -> Any:
    """Returns a bound logger that drops what is below the level of its logger."""
    kind: Any = structlog.make_filtering_bound_logger(logger.least)
    return kind(logger, processors, context)


class _Rendering:
    """Makes an event a line: the only processor."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        facts: dict[str, Any] = event  # type: ignore[assignment]  # structlog makes a new one for each line
        name = str(facts.pop("event"))
        if span := current():
            facts["trace_id"] = span.trace_id
        return without_secrets(self._line(_now(), method, name, facts) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _output_to(stream: TextIO) -> Output:
    """Returns an output that writes to a stream at once."""

    def write(line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
            stream.write(line)
            stream.flush()

    return write


class _Libraries(logging.Handler):
    """Takes what libraries tell the standard library's logging."""

    def __init__(self, line: Line, output: Output, least: Mapping[str, int], otherwise: int) -> None:
        super().__init__()
        self._line, self._output = line, output
        self._least, self._otherwise = least, otherwise

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the line of a record."""
        if record.levelno < _least_of(record.name, self._least, self._otherwise):
            return
        try:
            event = record.getMessage()
        except Exception:  # a library's mistake; the logging module would print a traceback
            event = str(record.msg)
        facts: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            facts["exc_info"] = record.exc_info
        self._output(without_secrets(self._line(_now(), record.levelname.lower(), event, facts) + "\n"))


_named_levels: list[str] = []


def _configure_libraries(line: Line, output: Output, level: int, least: Mapping[str, int]) -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Libraries)]:
        root.removeHandler(handler)
    root.addHandler(_Libraries(line, output, least, level))
    for name in _named_levels:
        logging.getLogger(name).setLevel(logging.NOTSET)
    _named_levels[:] = [name for name in least if not f"{name}.".startswith(f"{OWN}.")]
    for name in _named_levels:
        logging.getLogger(name).setLevel(least[name])


def log_bug(**facts: object) -> InternalError:
    """Logs the exception that is being handled, with its traceback, and returns the error that callers may see.

    The message has only an id that finds the line in the log. Outer handlers pass the error on, so a bug has one line.
    """
    log_id = uuid.uuid4().hex
    log.exception("bug", log_id=log_id, **facts)
    return InternalError(f"a bug of the server; its log has more under {log_id}", metadata={"log_id": log_id})
