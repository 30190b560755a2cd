"""The cache of results on real servers that share a folder store, at a fake vendor that counts its calls."""

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.support.command import CELESTE
from tests.support.waiting import until

from celeste_image.emulate import EMULATED, emulating
from celeste_image.emulate.server import Emulator
from celeste_image.v1 import GenerateRequest, ImageServiceStub
from celeste_image.v1.operation_pb2 import (
    CACHE_MODE_BYPASS,
    CACHE_MODE_REFRESH,
    RESULT_SOURCE_CACHED,
    RESULT_SOURCE_MADE,
    OperationResult,
)

MODEL = "openai/gpt-image-2"
FOX = "a fox [emulate: latency=0]"
SLOW = "a fox [emulate: latency=2]"
NEVER = "a fox [emulate: latency=60]"


class Served:
    """A server in a process of its own."""

    def __init__(self, folder: Path, number: int, environment: dict[str, str]) -> None:
        self.address = f"unix:{folder}/{number}"
        self._folder, self._number, self._environment = folder, number, environment
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = [*CELESTE, "serve", "--listen", self.address]
        with (self._folder / f"log-{self._number}").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=log, stderr=log, env=os.environ | self._environment, cwd=self._folder
            )
        async with grpc.aio.insecure_channel(self.address) as channel, asyncio.timeout(60):
            await channel.channel_ready()

    async def kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def generate(self, prompt: str = FOX, timeout: float | None = None, **options: Any) -> OperationResult:
        async with grpc.aio.insecure_channel(self.address) as channel:
            request = GenerateRequest(model=MODEL, prompt=prompt, count=1, options=options)  # type: ignore[arg-type]
            response = await ImageServiceStub(channel).Generate(request, timeout=timeout)
        return response.result


@contextlib.asynccontextmanager
async def served(folder: Path, count: int = 1) -> AsyncIterator[tuple[Sequence[Served], Emulator, dict[str, str]]]:
    async with emulating([EMULATED["openai"]]) as emulator:
        environment = {
            "CELESTE_PROVIDERS__OPENAI": json.dumps(emulator["openai"].table),
            "CELESTE_STORE__URL": (folder / "store").as_uri(),
            "CELESTE_STORE__RESERVE_BYTES": "0",
            "CELESTE_CACHE__ENABLED": "true",
        }
        servers = [Served(folder, number, environment) for number in range(count)]
        try:
            for server in servers:
                await server.start()
            yield servers, emulator, environment
        finally:
            for server in servers:
                await server.kill()


def paid(emulator: Emulator) -> int:
    return len(emulator.ledger.of("openai", "call"))


async def test_a_hundred_equal_requests_at_two_servers_are_paid_once(tmp_path: Path) -> None:
    async with served(tmp_path, 2) as (servers, emulator, _):
        results = await asyncio.gather(*(servers[number % 2].generate(SLOW) for number in range(100)))
        assert paid(emulator) == 1
        assert len({result.images[0].artifact for result in results}) == 1
        assert len({result.images[0].data for result in results}) == 1
        assert all(result.images[0].data for result in results)
        assert len({result.request_id for result in results}) == 100
        assert sorted(result.source for result in results) == [RESULT_SOURCE_MADE] + [RESULT_SOURCE_CACHED] * 99
        assert {(await server.generate(SLOW)).source for server in servers} == {RESULT_SOURCE_CACHED}


async def test_another_server_goes_on_when_the_one_that_made_a_result_is_killed(tmp_path: Path) -> None:
    async with served(tmp_path, 2) as ((first, second), emulator, _):
        lost = asyncio.create_task(first.generate(NEVER))
        await until(lambda: paid(emulator) == 1)
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await second.generate(NEVER, timeout=1)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert paid(emulator) == 1, "it waited for the first server"
        waiting = asyncio.create_task(second.generate(NEVER))
        await first.kill()
        with pytest.raises(grpc.aio.AioRpcError):
            await lost
        await until(lambda: paid(emulator) == 2)
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_modes_and_commands(tmp_path: Path) -> None:
    async with served(tmp_path) as ((server,), emulator, environment):

        def celeste(*arguments: str) -> str:
            done = subprocess.run(
                [*CELESTE, *arguments], env=os.environ | environment, cwd=tmp_path, capture_output=True, text=True
            )
            assert done.returncode == 0, done
            return done.stdout + done.stderr

        first = await server.generate(labels={"project": "fox"})
        assert (await server.generate()).images[0].artifact == first.images[0].artifact
        assert paid(emulator) == 1
        assert (await server.generate(cache_mode=CACHE_MODE_BYPASS)).source == RESULT_SOURCE_MADE
        assert (await server.generate(cache_mode=CACHE_MODE_REFRESH, labels={"project": "fox"})).source == (
            RESULT_SOURCE_MADE
        )
        assert paid(emulator) == 3
        generate = ("generate", FOX, "-m", MODEL, "--address", server.address)
        assert "cached: the result of an equal request" in await asyncio.to_thread(celeste, *generate)
        told = json.loads(await asyncio.to_thread(celeste, "cache", "stats", "--json"))
        assert [(each["tenant"], each["model"], each["results"]) for each in told["models"]] == [
            ("anonymous", MODEL, 1)
        ]
        assert "0 results" in await asyncio.to_thread(celeste, "cache", "clear", "--tag", "project=dog")
        tag = ("--tag", "project=fox")
        assert "1 result, " in await asyncio.to_thread(celeste, "cache", "clear", "--dry-run", *tag)
        assert (await server.generate()).source == RESULT_SOURCE_CACHED
        assert "cleared" in await asyncio.to_thread(celeste, "cache", "clear", *tag)
        assert (await server.generate()).source == RESULT_SOURCE_MADE
        assert "made" not in await asyncio.to_thread(celeste, *generate, "--json", "--cache", "bypass")
        assert paid(emulator) == 5
