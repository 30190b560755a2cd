"""The log lines of worker processes: their standard error, bounded in length and number."""

import asyncio
import contextlib
import re
from collections.abc import Callable

import structlog

__all__ = ["pass_on_lines"]

log = structlog.get_logger("celeste_image.engines")

CHUNK_BYTES = 64 << 10
LINE_BYTES = 4 << 10
"""Longest line that is passed on; the rest of a longer one is left out."""
LINES_PER_SECOND = 50
"""Most lines of one process that are passed on in a second; further ones are only counted."""
PAUSE_SECONDS = 0.004
"""Pause after a full chunk. A process that floods its log is read at 16 MiB a second, and waits for the rest."""
ENDS = re.compile(rb"[\r\n]+")


async def pass_on_lines(stream: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
    """Reads a process's standard error to its end and passes its lines on; a failing `on_line` does not end it."""
    lines, rest = _Lines(on_line), b""
    with contextlib.suppress(OSError):
        while chunk := await stream.read(CHUNK_BYTES):
            rest = lines.add(rest + chunk)[: LINE_BYTES + 1]  # one byte more tells that the line is longer
            if len(chunk) == CHUNK_BYTES:
                await asyncio.sleep(PAUSE_SECONDS)
    lines.add(rest + b"\n" if rest else b"")
    lines.tell_left_out()


class _Lines:
    """Passes lines on, up to LINES_PER_SECOND."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._clock = asyncio.get_running_loop().time
        self._until = 0.0
        self._room = 0
        self._left_out = 0

    def add(self, data: bytes) -> bytes:
        """Passes on the whole lines and returns the bytes behind them."""
        if self._clock() >= self._until:
            self.tell_left_out()
            self._until, self._room = self._clock() + 1, LINES_PER_SECOND
        while self._room and (end := ENDS.search(data)):
            line, data = data[: end.start()], data[end.end() :]
            if line.strip():
                text = line[:LINE_BYTES].decode(errors="replace").rstrip()
                self._pass_on(text if len(line) <= LINE_BYTES else f"{text} ... (cut)")
                self._room -= 1
        if not self._room:  # counted without a look at each: a flood costs little
            self._left_out += data.count(b"\n")
            data = data[data.rfind(b"\n") + 1 :]
        return data

    def tell_left_out(self) -> None:
        """Passes on how many lines were left out, if any."""
        if self._left_out:
            self._pass_on(f"{self._left_out:,} more lines were left out")
            self._left_out = 0

    def _pass_on(self, text: str) -> None:
        try:
            self._on_line(text)
        except (Exception, asyncio.CancelledError) as error:
            with contextlib.suppress(Exception):  # the log itself may be closed
                log.warning("engine", line=text, unheard=f"{type(error).__name__}: {error}")
