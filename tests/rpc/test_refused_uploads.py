"""Uploads that end while their caller still sends: the caller gets our status, not INTERNAL from its own library."""

import asyncio
import collections
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from tests.support.callers import bearer, key_table, new_key
from tests.support.servers import running
from tests.support.stores import name_of

from celeste_image.core.errors import CelesteError
from celeste_image.v1 import (
    ArtifactChunk,
    ArtifactHttpServiceStub,
    ArtifactServiceStub,
    UploadArtifactRequest,
    WriteArtifactRequest,
)
from celeste_image.wire.status import error_from_trailers

STEP = 64 << 10


async def outcome(call: object) -> str:
    try:
        await call  # type: ignore[misc]
    except grpc.aio.AioRpcError as error:
        found: CelesteError = error_from_trailers(error.code(), error.details() or "", error.trailing_metadata())
        return f"{error.code().name} {found.reason}"
    return "OK"


async def upload(
    data: bytes, *, name: str = "", shift: int = 0, size: int = -1, step: int = STEP
) -> AsyncIterator[WriteArtifactRequest]:
    for offset in range(0, len(data), step):
        chunk = ArtifactChunk(offset=offset + shift, data=data[offset : offset + step])
        yield WriteArtifactRequest(name=name or name_of(data), size_bytes=len(data) if size < 0 else size, chunk=chunk)


async def body(data: bytes, name: str) -> AsyncIterator[UploadArtifactRequest]:
    for offset in range(0, len(data), STEP):
        request = UploadArtifactRequest(name=name)
        request.body.data = data[offset : offset + STEP]
        yield request


async def hundred(address: str, rounds: int, at_once: int = 1) -> collections.Counter[str]:
    """Uploads that are refused at their first message, at a later one, for their size, or are known."""
    seen: collections.Counter[str] = collections.Counter()
    known = random.randbytes(3_000_000)
    limit = asyncio.Semaphore(at_once)
    async with grpc.aio.insecure_channel(address) as channel:
        stub, http = ArtifactServiceStub(channel), ArtifactHttpServiceStub(channel)
        assert await outcome(stub.WriteArtifact(upload(known))) == "OK"

        async def one(kind: str) -> None:
            data = random.randbytes(3_000_000)
            calls = {
                "gap": lambda: stub.WriteArtifact(upload(data, shift=1 << 20)),
                "bad name": lambda: stub.WriteArtifact(upload(data, name="artifacts/x")),
                "too large": lambda: stub.WriteArtifact(upload(data, size=1 << 40)),
                "beyond the size": lambda: stub.WriteArtifact(upload(data, size=1_000_000)),
                "body with a bad name": lambda: http.UploadArtifact(body(data, "artifacts/x")),
                "known": lambda: stub.WriteArtifact(upload(known)),
            }
            async with limit:
                seen[f"{kind}: {await outcome(calls[kind]())}"] += 1

        kinds = ("gap", "bad name", "too large", "beyond the size", "body with a bad name", "known")
        await asyncio.gather(*(one(kind) for kind in kinds for _ in range(rounds)))
    return seen


EXPECTED = {
    "gap: INVALID_ARGUMENT INVALID_FIELD",
    "bad name: INVALID_ARGUMENT INVALID_FIELD",
    "too large: INVALID_ARGUMENT IMAGE_TOO_LARGE",
    "beyond the size: INVALID_ARGUMENT DIGEST_MISMATCH",
    "body with a bad name: INVALID_ARGUMENT INVALID_FIELD",
    "known: OK",
}


async def test_a_refused_upload_gets_our_status() -> None:
    async with running() as server:
        assert set(await hundred(server.address, 2, 12)) == EXPECTED


async def test_an_upload_with_a_wrong_key_gets_our_status() -> None:
    async with running(callers={"keys": {"a": key_table(new_key(), "acme")}}) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub, http = ArtifactServiceStub(channel), ArtifactHttpServiceStub(channel)
            data, wrong = random.randbytes(3_000_000), bearer(new_key())
            calls = [stub.WriteArtifact(upload(data), metadata=wrong) for _ in range(6)]
            bodies = [http.UploadArtifact(body(data, name_of(data)), metadata=wrong) for _ in range(6)]
            found = await asyncio.gather(*map(outcome, (*calls, *bodies)))
    assert set(found) == {"UNAUTHENTICATED CREDENTIALS_INVALID"}


@pytest.fixture
def load() -> Iterator[None]:
    """Keeps every CPU busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    yield
    for process in busy:
        process.kill()
        process.wait()


@pytest.mark.faults
@pytest.mark.parametrize("at_once", [1, 8])
async def test_refused_uploads_under_load_get_our_status(at_once: int, load: None) -> None:
    async with running() as server:
        assert set(await hundred(server.address, 15, at_once)) == EXPECTED


async def test_a_stream_without_an_end_is_read_on_only_for_a_moment() -> None:
    """It costs the server no more than an upload does."""
    sent = 0

    async def endless() -> AsyncIterator[WriteArtifactRequest]:
        nonlocal sent
        while True:
            sent += 1
            yield WriteArtifactRequest(name="artifacts/x", chunk=ArtifactChunk(data=bytes(1 << 20)))

    async def silent() -> AsyncIterator[WriteArtifactRequest]:
        yield WriteArtifactRequest(name="artifacts/x")
        await asyncio.sleep(60)

    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = ArtifactServiceStub(channel)
        began = time.monotonic()
        code = (await outcome(stub.WriteArtifact(endless()))).partition(" ")[0]
        assert code in ("INVALID_ARGUMENT", "INTERNAL")
        assert 60 < sent < 80
        assert await outcome(stub.WriteArtifact(silent())) == "INVALID_ARGUMENT INVALID_FIELD"
        assert time.monotonic() - began < 12


async def test_an_upload_that_finds_no_memory_gets_our_status() -> None:
    async with (
        running(server={"stream_budget_bytes": 4 << 20, "budget_wait_seconds": 0.05}) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = ArtifactServiceStub(channel)
        release = asyncio.Event()

        async def held(n: int) -> AsyncIterator[WriteArtifactRequest]:
            yield WriteArtifactRequest(name=name_of(os.urandom(9)), size_bytes=9)
            await release.wait()

        holding = [asyncio.ensure_future(outcome(stub.WriteArtifact(held(n)))) for n in range(2)]
        while server.app.chunks.held_bytes < 4 << 20:
            await asyncio.sleep(0.01)
        seen = await asyncio.gather(
            *(outcome(stub.WriteArtifact(upload(random.randbytes(2_000_000)))) for _ in range(12))
        )
        release.set()
        await asyncio.gather(*holding)
        assert set(seen) == {"RESOURCE_EXHAUSTED MEMORY_BUDGET"}
