"""A server that is killed while vendors work for it: what it left open is uncertain, and nothing is repeated."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from tests.support.command import CELESTE
from tests.support.waiting import until

from celeste_image.database import SqliteRecords
from celeste_image.emulate import EMULATED, emulating
from celeste_image.emulate.server import Emulator
from celeste_image.ledger import CallState, FileOwner, Ledger, LedgerEntry
from celeste_image.store.open import open_backend
from celeste_image.v1 import GenerateRequest, ImageServiceStub

VENDORS = ("openai", "bfl")
MODELS = {"openai": "openai/gpt-image-2", "bfl": "bfl/flux-2-pro"}


class Served:
    """A server in a process of its own, at fake vendors, on a store that outlives it."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.store = folder / "store"
        self.address = f"unix:{folder}/s"
        self._folder, self._emulator = folder, emulator
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environment = os.environ | {
            f"CELESTE_PROVIDERS__{name.upper()}": json.dumps(self._emulator[name].table) for name in VENDORS
        }
        environment["CELESTE_STORE__RESERVE_BYTES"] = "0"
        command = [*CELESTE, "serve", "--listen", self.address, "--store", self.store.as_uri()]
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=log, stderr=log, env=environment, cwd=self._folder
            )
        async with grpc.aio.insecure_channel(self.address) as channel, asyncio.timeout(60):
            await channel.channel_ready()

    async def kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def generate(self, model: str, directive: str) -> str:
        """Returns the artifact of an image; empty if the call failed."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            request = GenerateRequest(model=model, prompt=f"a fox [emulate: {directive}]")
            try:
                response = await ImageServiceStub(channel).Generate(request)
            except grpc.aio.AioRpcError:
                return ""
        return response.result.images[0].artifact

    async def entries(self) -> list[LedgerEntry]:
        """Returns the rows, as another process reads them."""
        backend = open_backend(self.store.as_uri(), {})
        ledger = Ledger(SqliteRecords(backend), FileOwner(self.store / "servers"))
        try:
            return await ledger.entries("anonymous")
        finally:
            await ledger.close()
            await backend.close()


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Served, Emulator]]:
    async with emulating([EMULATED[name] for name in VENDORS]) as emulator:
        made = Served(folder, emulator)
        await made.start()
        try:
            yield made, emulator
        finally:
            await made.kill()


@pytest.mark.parametrize("vendor", VENDORS)
async def test_what_a_killed_server_left_at_a_vendor_is_uncertain_and_not_repeated(tmp_path: Path, vendor: str) -> None:
    """One call is done, and one is at the vendor: an answer that is awaited, or a job that is polled."""
    async with served(tmp_path) as (server, emulator):
        assert await server.generate(MODELS[vendor], "latency=0")
        call = asyncio.create_task(server.generate(MODELS[vendor], "latency=60"))
        stages = {"openai": ("call", 2), "bfl": ("poll", 2)}
        stage, count = stages[vendor]
        await until(lambda: len(emulator.ledger.of(vendor, stage)) >= count)
        open_, done = await server.entries()
        assert (open_.outcome.state, done.outcome.state) == (CallState.OPEN, CallState.SETTLED)
        assert done.outcome.images == 1
        assert bool(open_.call.ticket) == (vendor == "bfl"), "a job that is polled has its name on the disk"
        await server.kill()
        assert await call == ""
        await server.start()
        lost, before = await server.entries()
        assert (lost.id, lost.outcome.state) == (open_.id, CallState.UNCERTAIN)
        assert (lost.outcome.reason, lost.outcome.owed) == ("SERVER_UNAVAILABLE", None)
        assert lost.call == open_.call
        assert before == done
        assert len(emulator.ledger.of(vendor, "call")) == 2, "nothing was repeated"
        assert await server.generate(MODELS[vendor], "latency=0"), "it works on"
        newest, *_ = await server.entries()
        assert newest.outcome.state is CallState.SETTLED


async def test_a_server_beside_it_takes_nothing_from_one_that_runs(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, emulator):
        call = asyncio.create_task(server.generate(MODELS["openai"], "latency=3"))
        await until(lambda: emulator.ledger.of("openai", "call"))
        folder = tmp_path / "beside"
        folder.mkdir()
        other = Served(folder, emulator)
        other.store = server.store
        await other.start()
        try:
            (entry,) = await server.entries()
            assert entry.outcome.state is CallState.OPEN
            assert await call
            (entry,) = await server.entries()
            assert (entry.outcome.state, entry.outcome.images) == (CallState.SETTLED, 1)
        finally:
            await other.kill()
