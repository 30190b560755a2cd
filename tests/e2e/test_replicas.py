"""Servers that share a ledger on PostgreSQL: a killed one is noticed by the others, one that stands still is not."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from tests.support.command import CELESTE
from tests.support.postgres import PASSWORD, Postgres
from tests.support.waiting import until

from celeste_image.core.caller import ANONYMOUS
from celeste_image.database import PostgresRecords
from celeste_image.emulate import EMULATED, emulating
from celeste_image.emulate.server import Emulator
from celeste_image.ledger import CallState, Ledger, LockOwner, PaidCall
from celeste_image.v1 import GenerateRequest, ImageServiceStub

pytestmark = pytest.mark.faults


class Replicas:
    """Servers in processes of their own, at a fake vendor, with one ledger."""

    def __init__(self, folder: Path, postgres: Postgres, name: str, emulator: Emulator) -> None:
        self._folder, self._postgres, self._name, self.emulator = folder, postgres, name, emulator
        self._closing = AsyncExitStack()
        self._access = postgres.access(name)
        self._records = PostgresRecords(self._access)
        self.ledger = Ledger(self._records, LockOwner(self._access))

    async def start(self, number: int) -> asyncio.subprocess.Process:
        """Starts a server, and returns its process."""
        environment = os.environ | {
            "CELESTE_PROVIDERS__OPENAI": json.dumps(self.emulator["openai"].table),
            "CELESTE_STORE__RESERVE_BYTES": "0",
            "CELESTE_DATABASE__URL": self._postgres.url(self._name),
            "CELESTE_DATABASE__PASSWORD": PASSWORD,
        }
        store = (self._folder / f"store{number}").as_uri()
        command = [*CELESTE, "serve", "--listen", self.address(number), "--store", store]
        with (self._folder / f"log{number}").open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=environment)

        async def end() -> None:
            if process.returncode is None:
                process.kill()
                await process.wait()

        self._closing.push_async_callback(end)
        async with grpc.aio.insecure_channel(self.address(number)) as channel, asyncio.timeout(60):
            await channel.channel_ready()
        return process

    def address(self, number: int) -> str:
        return f"unix:{self._folder}/s{number}"

    async def generate(self, number: int, directive: str) -> str:
        """Returns the artifact of an image; the name of the status if the call failed."""
        async with grpc.aio.insecure_channel(self.address(number)) as channel:
            request = GenerateRequest(model="openai/gpt-image-2", prompt=f"a fox [emulate: {directive}]")
            try:
                response = await ImageServiceStub(channel).Generate(request)
            except grpc.aio.AioRpcError as error:
                return error.code().name
        return response.result.images[0].artifact

    async def die_with_a_call(self) -> None:
        """Leaves a call open, as a third server that died. Once it is uncertain, another server has looked."""
        dead = Ledger(self._records, LockOwner(self._access))
        await dead.begin()
        await dead.open(PaidCall(ANONYMOUS, "", "openai", "openai/gpt-image-2", "generate"))
        await dead.close()

    async def states(self) -> list[CallState]:
        """Returns the states of all calls, the latest first."""
        return [entry.outcome.state for entry in await self.ledger.entries("anonymous")]

    def calls(self) -> int:
        return len(self.emulator.ledger.of("openai", "call"))

    async def close(self) -> None:
        await self._closing.aclose()
        await self._records.close()


@pytest.fixture
async def replicas(tmp_path: Path, postgres: Postgres) -> AsyncGenerator[Replicas, None]:
    async with emulating([EMULATED["openai"]]) as emulator, postgres.database() as name:
        made = Replicas(tmp_path, postgres, name, emulator)
        yield made
        await made.close()


async def test_a_killed_server_is_noticed_by_another_within_seconds(replicas: Replicas) -> None:
    one = await replicas.start(1)
    await replicas.start(2)
    call = asyncio.create_task(replicas.generate(1, "latency=60"))
    await until(lambda: replicas.calls() == 1)
    assert await replicas.states() == [CallState.OPEN]
    one.kill()
    await one.wait()
    await call
    async with asyncio.timeout(40):  # 10 s longer than usual if the database has just started
        while await replicas.states() != [CallState.UNCERTAIN]:
            await asyncio.sleep(0.1)
    assert (await replicas.generate(2, "latency=0")).startswith("artifacts/")
    assert await replicas.states() == [CallState.SETTLED, CallState.UNCERTAIN]
    assert replicas.calls() == 2, "nothing was repeated"


async def test_a_server_that_stands_still_keeps_its_calls(replicas: Replicas) -> None:
    one = await replicas.start(1)
    await replicas.start(2)
    call = asyncio.create_task(replicas.generate(1, "latency=1"))
    await until(lambda: replicas.calls() == 1)
    one.send_signal(signal.SIGSTOP)
    await replicas.die_with_a_call()
    async with asyncio.timeout(40):
        while await replicas.states() != [CallState.UNCERTAIN, CallState.OPEN]:
            await asyncio.sleep(0.1)
    one.send_signal(signal.SIGCONT)
    assert (await call).startswith("artifacts/")
    assert await replicas.states() == [CallState.UNCERTAIN, CallState.SETTLED]


async def test_while_the_database_is_away_no_call_is_sent_and_what_runs_goes_on(
    replicas: Replicas, postgres: Postgres
) -> None:
    await replicas.start(1)
    assert (await replicas.generate(1, "latency=0")).startswith("artifacts/")
    running = asyncio.create_task(replicas.generate(1, "latency=3"))
    await until(lambda: replicas.calls() == 2)
    await asyncio.to_thread(postgres.kill)
    try:
        assert await replicas.generate(1, "latency=0") == "UNAVAILABLE"
        assert (await running).startswith("artifacts/"), "the images are the caller's, though the end can't be written"
        assert replicas.calls() == 2, "nothing was sent without a row"
    finally:
        await asyncio.to_thread(postgres.start)
    async with asyncio.timeout(20):
        while not (await replicas.generate(1, "latency=0")).startswith("artifacts/"):
            await asyncio.sleep(0.1)
    assert await replicas.states() == [CallState.SETTLED, CallState.OPEN, CallState.SETTLED]
