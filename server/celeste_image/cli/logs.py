"""The log of a server: opens it as `[log]` says."""

import sys

from celeste_image.config import LogSettings
from celeste_image.telemetry.log_writer import LogWriter, Sink, StandardError
from celeste_image.telemetry.logs import configure_logs

__all__ = ["open_logs"]


def open_logs(settings: LogSettings) -> LogWriter:
    """Configures the log of this process and returns its writer, to be closed at the end.

    Raises:
        ValueError: The file can't be used; the text says why.
    """
    colors = settings.file is None and sys.stderr is not None and sys.stderr.isatty()
    writer = LogWriter(_file(settings) or StandardError())
    configure_logs(settings.level, settings.format, settings.levels, writer.write, colors=colors)
    return writer


def _file(settings: LogSettings) -> Sink | None:
    if settings.file is None:
        return None
    from celeste_image.telemetry.log_file import LogFile, Rotation  # late: few servers have a file

    rotation = Rotation(
        settings.rotate_bytes, settings.rotate_hours * 3600, settings.keep_files, compress=settings.compress
    )
    try:
        return LogFile(settings.file, rotation)
    except OSError as error:
        raise ValueError(f"log.file: {error.filename or settings.file}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"log.file: {error}") from error
