"""Standard streams of the command: escapes each printed line, and bears closed, broken and full streams."""

import contextlib
import errno
import os
import sys
from typing import Any

import click

from celeste_image.core.text import escaped, json_text

__all__ = [
    "BROKEN_PIPE",
    "FULL",
    "OutputLost",
    "check_output",
    "drop_output",
    "is_unicode",
    "prepare_streams",
    "read_bytes",
    "read_text",
    "say",
    "say_json",
    "write_bytes",
]

BROKEN_PIPE = 141
"""Exit code when the reader of standard output has gone: 128 + SIGPIPE, as shells count."""
FULL = 6


class OutputLost(Exception):
    """Standard output did not take the bytes.

    `code` is the exit code. `text` is what the user should know: nothing when a reader such as `head` has had enough.
    """

    def __init__(self, error: OSError, lost: str = "") -> None:
        is_gone = error.errno in (errno.EPIPE, errno.ESHUTDOWN)
        self.code = FULL if lost or not is_gone else BROKEN_PIPE
        reason = str(error.strerror or error)
        self.text = f"{reason}; {lost}" if lost else "" if is_gone else reason
        super().__init__(self.text)


def prepare_streams() -> None:
    """Opens the null device for each standard stream that is closed, so that no other file gets its number.

    A character outside the encoding of standard output becomes an escape.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # takes the lowest number
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def say(line: str = "", *, err: bool = False) -> None:
    """Prints one line, escaped, to standard output or standard error.

    Raises:
        OutputLost: Standard output is broken. A broken standard error is ignored: the work goes on.
    """
    _write(escaped(line), err=err)


def say_json(value: Any) -> None:
    """Prints a value as JSON. Raises OutputLost."""
    _write(json_text(value, ascii_only=not is_unicode()))


def is_unicode() -> bool:
    """Returns whether standard output takes every character."""
    return sys.stdout is None or sys.stdout.encoding.lower().startswith("utf")


def _write(text: str, *, err: bool = False) -> None:
    stream = sys.stderr if err else sys.stdout
    if stream is None:
        return
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError as error:
        if not err:
            raise OutputLost(error) from error


def check_output() -> None:
    """Raises click.UsageError unless standard output can take the bytes of an image."""
    if sys.stdout is None:
        raise click.UsageError("-o - writes the image to standard output, which is closed")
    if sys.stdout.isatty():
        text = "-o - writes the bytes of an image, which are not for a terminal; use > FILE or | COMMAND"
        raise click.UsageError(text)


def write_bytes(data: bytes, lost: str) -> None:
    """Writes bytes to standard output. Raises OutputLost; `lost` tells what becomes of the bytes."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputLost(error, lost) from error


def drop_output() -> None:
    """Sends the rest of standard output nowhere, so that the interpreter's last flush does not fail."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def read_bytes(what: str) -> bytes:
    """Returns all bytes of standard input.

    Raises:
        click.UsageError: Standard input is closed, unreadable or empty.
    """
    if sys.stdin is None:
        raise click.UsageError(f"- reads {what} from standard input, which is closed")
    try:
        data = sys.stdin.buffer.read()
    except OSError as error:
        raise click.UsageError(f"- reads {what} from standard input: {error.strerror}") from error
    if not data:
        raise click.UsageError(f"- reads {what} from standard input, which is empty")
    return data


def read_text(what: str) -> str:
    """Returns the text of standard input, without a byte order mark and without white space around it.

    Raises:
        click.UsageError: Standard input is closed, unreadable, empty or not UTF-8.
    """
    data = read_bytes(what)
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        place = f"byte {error.start + 1} is 0x{data[error.start]:02x}"
        raise click.UsageError(f"- reads {what} from standard input, which is not UTF-8: {place}") from error
    if not text:
        raise click.UsageError(f"- reads {what} from standard input, which has only white space")
    return text
