"""SIGTERM during twenty running streams, by the clock; a second SIGTERM; SIGINT.

`tests/rpc/test_drain.py` has the order of the marks, without a clock.
"""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support.command import CELESTE
from tests.support.grpc_calls import reason

from celeste_image.emulate import EMULATED
from celeste_image.emulate.server import Emulator, emulating
from celeste_image.v1 import GenerateRequest, ImageServiceStub, Operation, StreamRequest

STOPPED = ("UNAVAILABLE", "SERVER_UNAVAILABLE", False)
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
STREAMS = 20


class Served:
    """A server in a process of its own, at a fake vendor.

    Attributes:
        process: The server.
        address: Where it listens.
        outcomes: Of the streams that are over: OK, or code, reason and whether there was a time to come back, with the
            seconds since `told`.
        told: When the server got its first signal.
    """

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self._folder, self._emulator = folder, emulator
        self.address = f"unix:{folder}/s"
        self.outcomes: list[tuple[object, float]] = []
        self.told = 0.0
        self.process: asyncio.subprocess.Process

    async def start(self, **settings: float) -> None:
        table = self._emulator["openai"].table | {"concurrency": STREAMS}
        environment = os.environ | {
            "CELESTE_PROVIDERS__OPENAI": json.dumps(table),
            "CELESTE_LOG__FORMAT": "json",
            **{f"CELESTE_SERVER__{name.upper()}": str(value) for name, value in settings.items()},
        }
        command = [*CELESTE, "serve", "--listen", self.address, "--store", "memory:///"]
        with (self._folder / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(*command, stderr=log, env=environment, cwd=self._folder)
        async with grpc.aio.insecure_channel(self.address) as channel, asyncio.timeout(60):
            await channel.channel_ready()

    async def stream(self, channel: grpc.aio.Channel, latency: float) -> None:
        generate = GenerateRequest(model="openai/gpt-image-2", prompt=f"a fox [emulate: latency={latency}]")
        try:
            async for _ in ImageServiceStub(channel).Stream(StreamRequest(operation=Operation(generate=generate))):
                pass
            outcome: object = "OK"
        except grpc.aio.AioRpcError as error:
            outcome = reason(error)
        self.outcomes.append((outcome, time.monotonic() - self.told))

    def tell(self, number: int = signal.SIGTERM) -> None:
        self.told = self.told or time.monotonic()
        self.process.send_signal(number)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self._folder / "log").read_text().splitlines()]

    @asynccontextmanager
    async def streaming(self, latencies: Sequence[float]) -> AsyncIterator[grpc.aio.Channel]:
        """Runs streams whose work the vendor ends after some seconds; returns when all of them are at the vendor."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
                for latency in latencies:
                    tasks.create_task(self.stream(channel, latency))
                while len(self._emulator.ledger.of("openai", "call")) < len(latencies):
                    await asyncio.sleep(0.01)
                yield channel


@asynccontextmanager
async def served(folder: Path, **settings: float) -> AsyncIterator[Served]:
    async with emulating([EMULATED["openai"]]) as emulator:
        made = Served(folder, emulator)
        await made.start(**settings)
        try:
            yield made
        finally:
            if made.process.returncode is None:
                made.process.kill()
            await made.process.wait()
    assert not [line for line in made.lines() if "exception" in line], "a bug"


@pytest.mark.faults
@pytest.mark.alone
@pytest.mark.parametrize(("notice", "drain", "short"), [(0.5, 6.0, 3.0), (5.0, 60.0, 40.0)], ids=["short", "full"])
async def test_twenty_streams_end_on_the_stated_timeline(
    tmp_path: Path, notice: float, drain: float, short: float
) -> None:
    """To the second: what is done within the drain succeeds; the rest fails at its end; then the process ends."""
    async with served(tmp_path, notice_seconds=notice, drain_seconds=drain) as server:
        async with server.streaming([short] * 10 + [300.0] * 10) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            await watch.read()
            server.tell()
            assert (await watch.read()).status == NOT_SERVING
            unready = time.monotonic() - server.told
            while True:
                try:
                    async with grpc.aio.insecure_channel(
                        server.address, options=[("grpc.use_local_subchannel_pool", 1)]
                    ) as other:
                        await health_pb2_grpc.HealthStub(other).Check(health_pb2.HealthCheckRequest())
                except grpc.aio.AioRpcError as error:
                    code = error.code()
                    break
                await asyncio.sleep(0.05)
            refused = time.monotonic() - server.told
            assert code is grpc.StatusCode.UNAVAILABLE
        assert await asyncio.wait_for(server.process.wait(), 30) == 0
        ended = time.monotonic() - server.told
        assert Counter(outcome for outcome, _ in server.outcomes) == {"OK": 10, STOPPED: 10}
        done = max(seconds for outcome, seconds in server.outcomes if outcome == "OK")
        cancelled = [seconds for outcome, seconds in server.outcomes if outcome == STOPPED]
        marks = {"unready": unready, "refused": refused, "done": done, "cancelled": max(cancelled), "ended": ended}
        print({name: round(seconds, 2) for name, seconds in marks.items()})
        assert [*marks.values()] == sorted(marks.values())
        assert unready < 1
        assert notice - 0.1 <= refused < notice + 1
        assert all(drain - 0.1 <= seconds < drain + 1 for seconds in cancelled)
        assert ended < drain + 5
        events = [line["event"] for line in server.lines()]
        assert [event for event in events if event in ("stopping", "calls cancelled", "stopped")] == [
            *("stopping", "calls cancelled", "stopped")
        ]


async def test_a_second_signal_ends_the_server_at_once_and_tells_its_callers(tmp_path: Path) -> None:
    async with served(tmp_path, notice_seconds=300, drain_seconds=600) as server:
        async with server.streaming([300.0] * 3) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            await watch.read()
            server.tell()
            assert (await watch.read()).status == NOT_SERVING
            server.tell()
        assert [outcome for outcome, _ in server.outcomes] == [STOPPED] * 3
        assert await asyncio.wait_for(server.process.wait(), 20) == 1


async def test_a_server_at_a_terminal_gives_no_notice(tmp_path: Path) -> None:
    async with served(tmp_path, notice_seconds=300, drain_seconds=600) as server:
        server.tell(signal.SIGINT)
        assert await asyncio.wait_for(server.process.wait(), 20) == 0
