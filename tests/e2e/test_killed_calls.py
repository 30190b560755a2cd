"""A server that is killed while vendors work for it: what it left open is uncertain, and nothing is repeated."""

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from tests.support.command import CELESTE
from tests.support.waiting import until

from celeste_image.core.errors import OutcomeUnknown
from celeste_image.database import SqliteRecords
from celeste_image.emulate import EMULATED, emulating
from celeste_image.emulate.server import Emulator
from celeste_image.ledger import CallState, Ended, FileOwner, Ledger, LedgerEntry
from celeste_image.store.open import open_backend
from celeste_image.v1 import GenerateRequest, ImageServiceStub, OperationResult
from celeste_image.wire.status import error_from_trailers

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

    async def generate(self, model: str, directive: str, request_id: str = "") -> str:
        """Returns the artifact of an image; empty if the call failed."""
        try:
            return (await self.result(model, directive, request_id)).images[0].artifact
        except grpc.aio.AioRpcError:
            return ""

    async def result(self, model: str, directive: str, request_id: str = "") -> OperationResult:
        async with grpc.aio.insecure_channel(self.address) as channel:
            request = GenerateRequest(model=model, prompt=f"a fox [emulate: {directive}]", request_id=request_id)
            return (await ImageServiceStub(channel).Generate(request)).result

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


async def at_vendor(server: Served, emulator: Emulator, vendor: str, stage: str) -> str:
    """Kills a server while a call of it is at a vendor, and starts it again. Returns the id of the request."""
    request_id = str(uuid.uuid4())
    call = asyncio.create_task(server.generate(MODELS[vendor], "latency=2", request_id))
    await until(lambda: emulator.ledger.of(vendor, stage))
    await server.kill()
    assert await call == ""
    await server.start()
    return request_id


async def test_a_job_of_a_killed_server_is_asked_for_after_its_next_start(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, emulator):
        request_id = await at_vendor(server, emulator, "bfl", "poll")
        for source in ("MADE", "REPLAYED"):
            result = await server.result(MODELS["bfl"], "latency=2", request_id)
            assert result.images, source
        (entry,) = await server.entries()
        assert (entry.outcome.state, entry.outcome.images) == (CallState.SETTLED, 1)
        assert len(emulator.ledger.of("bfl", "call")) == 1


async def test_a_repeat_of_what_nobody_can_ask_for_is_not_made_again(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, emulator):
        request_id = await at_vendor(server, emulator, "openai", "call")
        (entry,) = await server.entries()
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await server.result(MODELS["openai"], "latency=2", request_id)
            error = error_from_trailers(caught.value.code(), "", caught.value.trailing_metadata())
            assert isinstance(error, OutcomeUnknown)
            assert error.metadata == {"final": "true", "owed": "unknown", "ledger_entry": entry.id}
        assert len(emulator.ledger.of("openai", "call")) == 1
        assert await server.generate(MODELS["openai"], "latency=0", str(uuid.uuid4())), "a new id pays again"


@pytest.mark.parametrize("vendor", VENDORS)
async def test_what_a_killed_server_left_at_a_vendor_is_not_repeated(tmp_path: Path, vendor: str) -> None:
    """One call is done, and one is at the vendor: an answer that is awaited, or a job that is polled."""
    async with served(tmp_path) as (server, emulator):
        assert await server.generate(MODELS[vendor], "latency=0")
        call = asyncio.create_task(server.generate(MODELS[vendor], "latency=60", str(uuid.uuid4())))
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
        if vendor == "bfl":  # the new server asks for the job
            polls = len(emulator.ledger.of(vendor, "poll"))
            await until(lambda: len(emulator.ledger.of(vendor, "poll")) > polls)
        lost, before = await server.entries()
        assert lost.id == open_.id
        if vendor == "openai":
            assert replace(lost.outcome, cost=None) == Ended(CallState.UNCERTAIN, "SERVER_UNAVAILABLE")
        else:
            assert replace(lost.outcome, cost=None) == Ended(CallState.OPEN)
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
