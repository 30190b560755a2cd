"""The file of the log: rotated by size and by time, shared with nobody, and never torn."""

import errno
import gzip
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.waiting import until

from celeste_image.telemetry import log_file
from celeste_image.telemetry.log_file import LogFile, Rotation
from celeste_image.telemetry.log_writer import LogWriter

DAY = 86_400.0
NOON = 1_796_040_000.0 // DAY * DAY + DAY / 2


class Clock:
    """A time of day that stands still, or goes on by a step at each look."""

    def __init__(self, now: float = NOON, step: float = 0.0) -> None:
        self.now, self.step = now, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def old(path: Path) -> list[Path]:
    """The old files, the oldest first."""
    return sorted(path.parent.glob(f"{path.name}.*Z*"))


def text(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def everything(path: Path) -> list[bytes]:
    """All lines, the oldest first."""
    return b"".join(text(file) for file in [*old(path), path]).splitlines()


def lines(count: int, start: int = 0) -> list[bytes]:
    return [b"line %04d\n" % number for number in range(start, start + count)]  # 10 bytes each


def test_a_file_is_never_larger_than_it_may_be_and_no_line_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log"
    file = LogFile(path, Rotation(size_bytes=35, kept=100), clock=Clock())
    assert file.write(lines(10)) == 10
    assert file.write([b"x" * 99 + b"\n"]) == 1
    assert file.write(lines(3, 10)) == 3
    file.close()
    assert [part.stat().st_size for part in [*old(path), path]] == [30, 30, 30, 10, 100, 30]
    assert everything(path) == [line.strip() for line in [*lines(10), b"x" * 99, *lines(3, 10)]]


def test_a_new_file_is_begun_when_the_day_is_over_and_after_a_start_on_another_day(tmp_path: Path) -> None:
    path, clock = tmp_path / "log", Clock()
    file = LogFile(path, Rotation(seconds=DAY), clock=clock)
    file.write(lines(2))
    os.utime(path, (clock.now, clock.now))
    clock.now += DAY / 2 - 1
    file.write(lines(1, 2))
    assert old(path) == []
    clock.now += 1  # midnight
    file.write(lines(1, 3))
    (first,) = old(path)
    assert (text(first), path.read_bytes()) == (b"".join(lines(3)), b"".join(lines(1, 3)))
    file.close()
    os.utime(path, (clock.now, clock.now))
    clock.now += DAY
    file = LogFile(path, Rotation(seconds=DAY), clock=clock)
    file.write(lines(1, 4))
    file.close()
    assert len(old(path)) == 2
    assert everything(path) == [line.strip() for line in lines(5)]


def test_a_clock_that_stands_still_or_steps_back_overwrites_nothing(tmp_path: Path) -> None:
    path, clock = tmp_path / "log", Clock()
    file = LogFile(path, Rotation(size_bytes=10, kept=100), clock=clock)
    for number in range(20):
        file.write(lines(1, number))
    file.close()
    assert everything(path) == [line.strip() for line in lines(20)]


@pytest.mark.parametrize("compress", [False, True])
async def test_the_oldest_files_are_deleted_and_foreign_ones_stay(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "log"
    for name in ("log.1", "log.20261130T170000.000000Z.txt", "log2.20261130T170000.000000Z", "other"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "log.20200101T000000.000000Z.gz.part").write_text("of a process that was killed")
    file = LogFile(path, Rotation(size_bytes=10, kept=3, compress=compress), clock=Clock())
    file.write(lines(8))
    file.close()
    file = LogFile(path, Rotation(size_bytes=10, kept=3, compress=compress), clock=Clock())  # does what was left

    def kept() -> list[Path]:
        return [part for part in old(path) if part.suffix != ".txt"]

    await until(lambda: len(kept()) == 3 and {part.suffix == ".gz" for part in kept()} == {compress})
    file.close()
    assert b"".join(map(text, kept())) == b"".join(lines(3, 4))
    foreign = [name for name in os.listdir(tmp_path) if (tmp_path / name).read_bytes() == b"mine"]
    assert len(foreign) == 4
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]
    assert {part.stat().st_mode & 0o7 for part in kept()} == {0}


@pytest.mark.parametrize("how", ["moved", "deleted", "cut"])
def test_another_program_may_rotate_the_file_without_a_signal(tmp_path: Path, how: str) -> None:
    path, moved = tmp_path / "log", tmp_path / "log.1"
    file = LogFile(path, Rotation(size_bytes=1000), clock=Clock())
    file.write(lines(5))
    match how:
        case "moved":
            path.rename(moved)
        case "deleted":
            path.unlink()
        case _:
            os.truncate(path, 0)
    file.write(lines(5, 5))
    assert path.read_bytes() == b"".join(lines(5, 5))
    file.close()
    assert how != "moved" or moved.read_bytes() == b"".join(lines(5))


def test_half_a_line_of_a_killed_process_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"line 0000\nli")
    file = LogFile(path, Rotation(), clock=Clock())
    file.write(lines(1, 1))
    file.write(lines(1, 2))
    file.close()
    assert path.read_bytes() == b"line 0000\nli\nline 0001\nline 0002\n"


def test_a_second_server_with_the_same_file_is_refused_also_by_another_name(tmp_path: Path) -> None:
    path = tmp_path / "log"
    (tmp_path / "link").symlink_to(path)
    first = LogFile(path, Rotation())
    for name in ("log", "link"):
        with pytest.raises(ValueError, match="another server writes to"):
            LogFile(tmp_path / name, Rotation())
    first.close()
    LogFile(path, Rotation()).close()


def test_only_a_file_can_be_a_log_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ValueError, match="is no file"):
        LogFile(tmp_path / "pipe", Rotation())
    os.close(reader)
    with pytest.raises(OSError, match="directory"):
        LogFile(tmp_path, Rotation())


class FullDisk:
    """Takes `room` more bytes of the log, and then none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 1 << 30
        self._write = os.write
        monkeypatch.setattr(log_file.os, "write", self)

    def __call__(self, file: int, data: Any) -> int:
        if threading.current_thread() is threading.main_thread() and self.room < len(data):
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            data = data[: self.room]
        written = self._write(file, data)
        self.room -= written
        return written


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, disk = tmp_path / "log", FullDisk(monkeypatch)
    file = LogFile(path, Rotation(size_bytes=25, kept=100), clock=Clock())
    disk.room = 27
    assert file.write(lines(5)) == 2
    disk.room = 5
    with pytest.raises(OSError, match="No space left"):
        file.write(lines(3, 2))
    assert everything(path) == [line.strip() for line in lines(2)]
    disk.room = 1000
    assert file.write(lines(3, 2)) == 3
    file.close()
    assert everything(path) == [line.strip() for line in lines(5)]


def test_lines_go_on_in_the_old_file_if_it_can_not_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "log", Clock()
    rename = os.rename
    tries = []

    def refused(*paths: Any) -> None:
        tries.append(paths)
        raise OSError(errno.EACCES, "Permission denied")

    file = LogFile(path, Rotation(size_bytes=25), clock=clock)
    monkeypatch.setattr(log_file.os, "rename", refused)
    assert file.write(lines(10)) == 10
    assert len(tries) == 1, "it is not tried for every line"
    assert path.read_bytes() == b"".join(lines(10))
    monkeypatch.setattr(log_file.os, "rename", rename)
    clock.now += 61
    file.write(lines(1, 10))
    file.close()
    assert [text(part) for part in old(path)] == [b"".join(lines(10))]


# Under load


class Counted(LogFile):
    """Counts its writes."""

    writes = 0

    def write(self, lines: Sequence[bytes]) -> int:
        done = super().write(lines)
        self.writes += 1
        return done


def loaded(
    path: Path, rotation: Rotation, threads: int, count: int, disturb: Callable[[], object] = lambda: None
) -> None:
    """Writes lines from several threads at once, and checks that all are there, in order, and whole.

    Every hundred lines, each thread calls `disturb` and waits for a write, so that there are many writes.
    """
    descriptors = len(os.listdir("/proc/self/fd"))
    file = Counted(path, rotation, clock=Clock(step=1.0))
    writer = LogWriter(file, pause_seconds=0.0)

    def write(thread: int) -> None:
        for number in range(count):
            writer.write(json.dumps({"thread": thread, "number": number, "text": "x" * (number % 50)}) + "\n")
            if number % 100 == 99:
                disturb()
                writes = file.writes
                writer.write(json.dumps({"thread": thread, "number": -1}) + "\n")
                while file.writes == writes:
                    time.sleep(0.0002)

    workers = [threading.Thread(target=write, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    writer.close(60)
    found: dict[int, list[int]] = {thread: [] for thread in range(threads)}
    parts = sorted(part for part in path.parent.iterdir() if part.name.startswith(f"{path.name}."))
    for part in [*parts, path]:
        content = text(part)
        assert content.endswith(b"\n") or not content, part
        assert len(content) <= (rotation.size_bytes or len(content))
        for line in content.splitlines():
            value = json.loads(line)
            if value["number"] >= 0:
                found[value["thread"]].append(value["number"])
    assert found == {thread: list(range(count)) for thread in range(threads)}
    assert len(parts) > 5
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize(
    "rotation",
    [Rotation(20_000, kept=1000), Rotation(0, 1.0, kept=1000), Rotation(20_000, 3.0, kept=1000, compress=True)],
    ids=["by size", "by time", "by both, compressed"],
)
def test_no_line_is_lost_or_torn_and_no_descriptor_left(tmp_path: Path, rotation: Rotation) -> None:
    loaded(tmp_path / "log", rotation, threads=3, count=1000)


@pytest.mark.faults
@pytest.mark.parametrize("compress", [False, True])
def test_no_line_is_lost_in_half_a_million(tmp_path: Path, compress: bool) -> None:
    loaded(tmp_path / "log", Rotation(1 << 20, 60.0, kept=100_000, compress=compress), threads=8, count=60_000)


@pytest.mark.faults
def test_no_line_is_lost_while_another_program_moves_the_file(tmp_path: Path) -> None:
    path, moves = tmp_path / "log", iter(range(10**6))

    def move() -> None:
        if path.exists():  # the next line makes it again
            path.rename(f"{path}.20200101T000000.{next(moves):06}Z")

    loaded(path, Rotation(kept=10_000), threads=1, count=10_000, disturb=move)
