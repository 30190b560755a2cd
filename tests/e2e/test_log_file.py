"""The log of `celeste serve`: a file that is rotated under load, a full disk, and a reader that stops."""

import asyncio
import gzip
import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import grpc
import pytest
from tests.support.command import CELESTE
from tests.support.waiting import until

from celeste_image import v1

CALLS, AT_A_TIME = 3000, 20


def serve(folder: Path, stderr: int = subprocess.DEVNULL, **settings: object) -> "subprocess.Popen[bytes]":
    """Starts a server with some settings of `[log]`, on a socket in the folder."""
    variables = {f"CELESTE_LOG__{name.upper()}": str(value) for name, value in settings.items()}
    command = [*CELESTE, "serve", "--listen", f"unix:{folder}/s.sock", "--store", "memory:///"]
    return subprocess.Popen(command, stderr=stderr, env=os.environ | variables, cwd=folder)


async def called(folder: Path, count: int) -> int:
    """Calls the server so often, and once more, and returns how often."""
    async with grpc.aio.insecure_channel(f"unix:{folder}/s.sock") as channel:
        stub = v1.ModelServiceStub(channel)
        await stub.GetServerInfo(v1.GetServerInfoRequest(), wait_for_ready=True, timeout=30)
        rounds = count // AT_A_TIME
        for _ in range(rounds):
            some = (stub.GetServerInfo(v1.GetServerInfoRequest(), timeout=30) for _ in range(AT_A_TIME))
            await asyncio.gather(*some)
    return 1 + rounds * AT_A_TIME


def files(server: "subprocess.Popen[bytes]") -> int:
    """The number of files that a process has open."""
    return len(os.listdir(f"/proc/{server.pid}/fd"))


@pytest.mark.faults
@pytest.mark.parametrize("compress", ["true", "false"])
async def test_a_server_under_load_loses_and_tears_no_line_and_keeps_no_file_open(
    tmp_path: Path, compress: str
) -> None:
    log = tmp_path / "log" / "celeste.log"
    server = serve(
        tmp_path,
        **{"file": log, "format": "json", "rotate_bytes": 20_000, "rotate_hours": 0.0002, "keep_files": 5000},
        compress=compress,
    )
    calls = await called(tmp_path, 1)
    before = files(server)
    calls += await called(tmp_path, CALLS)
    await until(lambda: files(server) <= before)
    server.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.wait, 20) == 0
    parts = sorted(log.parent.glob("celeste.log*"))
    assert len(parts) > 20
    events: Counter[str] = Counter()
    for part in parts:
        content = gzip.decompress(part.read_bytes()) if part.suffix == ".gz" else part.read_bytes()
        assert len(content) <= 20_000
        events.update(json.loads(line)["event"] for line in content.splitlines())
    assert (events["rpc"], events["stopped"], events["lines lost"]) == (calls, 1, 0)


@pytest.mark.faults
async def test_a_second_server_with_the_same_file_does_not_start(tmp_path: Path) -> None:
    log, other = tmp_path / "celeste.log", tmp_path / "other"
    other.mkdir()
    first = serve(tmp_path, file=log)
    await called(tmp_path, 1)
    second = serve(other, subprocess.PIPE, file=log)
    _, said = await asyncio.to_thread(second.communicate, timeout=30)
    assert (second.returncode, b"another server writes to" in said, b"log.file" in said) == (2, True, True)
    first.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 20) == 0


@pytest.mark.faults
async def test_a_reader_of_standard_error_that_stops_holds_no_call_up(tmp_path: Path) -> None:
    """Nobody reads the pipe, which takes 64 KiB; the lines of these calls are ten times as many."""
    server = serve(tmp_path, subprocess.PIPE)
    calls = await called(tmp_path, CALLS)
    reading = asyncio.create_task(asyncio.to_thread(server.communicate, timeout=30))
    server.send_signal(signal.SIGTERM)
    _, said = await reading
    lines = said.decode().splitlines()
    assert server.returncode == 0
    assert sum(" rpc " in line for line in lines) == calls
    assert " stopped" in lines[-1]


@pytest.mark.faults
async def test_a_full_disk_of_the_log_ends_no_call(tmp_path: Path) -> None:
    """`/dev/full` fails each write, as a full disk does."""
    command = [*CELESTE, "serve", "--listen", f"unix:{tmp_path}/s.sock", "--store", "memory:///"]
    full = os.open("/dev/full", os.O_WRONLY)
    server = subprocess.Popen(command, stderr=full, cwd=tmp_path)  # noqa: ASYNC220
    os.close(full)
    await called(tmp_path, 100)
    server.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.wait, 20) == 0
