"""The writer of the log: no call waits for a disk or a pipe, and what is lost is counted."""

import errno
import os
import threading
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs
from tests.support.waiting import until

from celeste_image.telemetry.log_writer import LogWriter, StandardError


class Disk:
    """A sink that works, fails or hangs."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.fails = self.is_closed = False
        self.tries = 0
        self.goes_on = threading.Event()
        self.goes_on.set()

    def write(self, lines: Sequence[bytes]) -> int:
        self.tries += 1
        self.goes_on.wait()
        if self.fails:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.lines += lines
        return len(lines)

    def close(self) -> None:
        self.is_closed = True


def test_lines_are_written_in_order_and_the_last_ones_by_close() -> None:
    disk = Disk()
    writer = LogWriter(disk, pause_seconds=100)
    for number in range(100):
        writer.write(f"{number}\n")
    writer.close()
    writer.close()
    writer.write("too late\n")
    assert disk.lines == [b"%d\n" % number for number in range(100)]
    assert disk.is_closed


async def test_a_sink_that_hangs_holds_nobody_up_and_what_is_lost_is_counted() -> None:
    disk = Disk()
    disk.goes_on.clear()
    writer = LogWriter(disk, pause_seconds=0, most_bytes=1000)
    writer.write("0\n")
    await until(lambda: disk.tries == 1)
    for number in range(1, 100):
        writer.write(f"{number}\n")  # would never return
    with capture_logs() as told:
        disk.goes_on.set()
        await until(lambda: bool(told))
    writer.close()
    kept = [int(line) for line in disk.lines]
    assert kept == list(range(len(kept)))
    assert [(line["event"], line["lines"]) for line in told] == [("lines lost", 100 - len(kept))]


async def test_lines_wait_while_the_disk_is_full(capfd: pytest.CaptureFixture[str]) -> None:
    disk = Disk()
    disk.fails = True
    writer = LogWriter(disk, pause_seconds=0, retry_seconds=0.001)
    writer.write("one\n")
    await until(lambda: disk.tries > 2)
    writer.write("two\n")
    disk.fails = False
    await until(lambda: len(disk.lines) == 2)
    writer.close()
    assert disk.lines == [b"one\n", b"two\n"]
    said = capfd.readouterr().err.splitlines()
    assert [line for line in said if "No space left" in line] == said
    assert len(said) == 1, "once, not at every try"


def test_the_thread_uses_no_time_while_there_is_nothing_to_write() -> None:
    disk = Disk()
    writer = LogWriter(disk, pause_seconds=0)
    before = disk.tries
    threading.Event().wait(0.05)
    assert disk.tries == before == 0
    writer.close()


def test_standard_error_that_nobody_reads_ends_nothing() -> None:
    reader, pipe = os.pipe()
    sink = StandardError(pipe)
    assert sink.write([b"one\n", b"two\n"]) == 2
    assert os.read(reader, 100) == b"one\ntwo\n"
    os.close(reader)
    assert sink.write([b"three\n"]) == 1
    os.close(pipe)


def test_a_line_that_was_written_in_part_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, pipe = os.pipe()
    room, write = 6, os.write

    def little(file: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(file, data[:room])
        room -= written
        return written

    sink = StandardError(pipe)
    monkeypatch.setattr(os, "write", little)
    lines = [b"one\n", b"two\n", b"three\n"]
    assert sink.write(lines) == 2
    with pytest.raises(OSError, match="No space left"):
        sink.write(lines[2:])
    room = 100
    assert sink.write(lines[2:]) == 1
    assert os.read(reader, 100) == b"one\ntwo\nthree\n"
    os.close(reader)
    os.close(pipe)
