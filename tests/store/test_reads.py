"""Reads in pieces: the next piece is read while the consumer has the one before, and no file stays open."""

import asyncio
import hashlib
import os
import random
import threading
from contextlib import aclosing

import pytest
from tests.support.stores import OWNER, StoreSetup
from tests.support.waiting import until

DATA = random.Random(4).randbytes(4 << 20)
PIECE = 512 << 10


async def test_one_piece_is_read_ahead_and_no_more(on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = await on_disk.store.put(OWNER, DATA)
    pread, reads = os.pread, list[int]()

    def noted(file: int, size: int, offset: int) -> bytes:
        reads.append(offset)
        return pread(file, size, offset)

    monkeypatch.setattr(os, "pread", noted)
    received = b""
    async with aclosing(on_disk.store.read(artifact)) as pieces:
        async for offset, piece in pieces:
            assert offset == len(received)
            received += piece
            last = len(received) == len(DATA)
            await until(lambda: reads[-1] == len(received) - (PIECE if last else 0))  # noqa: B023
    assert received == DATA
    assert reads == list(range(0, len(DATA), PIECE)), "each piece once"


@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_a_read_that_is_given_up_leaves_no_file_open(on_disk: StoreSetup, taken: int) -> None:
    artifact = await on_disk.store.put(OWNER, DATA)
    before = os.listdir("/proc/self/fd")
    async with aclosing(on_disk.store.read(artifact)) as pieces:
        for _ in range(taken):
            await anext(pieces)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("at", [0, PIECE], ids=["the piece", "the piece ahead"])
async def test_a_read_that_is_cancelled_ends_after_its_thread(
    on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Else the thread would read a file that is closed, or the next one with its number."""
    artifact = await on_disk.store.put(OWNER, DATA)
    pread, open_at = os.pread, list[bool]()
    begun, release = threading.Event(), threading.Event()

    def noted(file: int, size: int, offset: int) -> bytes:
        if offset == at:
            begun.set()
            assert release.wait(10)
        open_at.append(os.path.exists(f"/proc/self/fd/{file}"))
        return pread(file, size, offset)

    monkeypatch.setattr(os, "pread", noted)

    async def read() -> None:
        async with aclosing(on_disk.store.read(artifact)) as pieces:
            async for _ in pieces:
                await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    await asyncio.to_thread(begun.wait, 10)
    reading.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not reading.done()
    release.set()
    await asyncio.gather(reading, return_exceptions=True)
    assert open_at
    assert all(open_at)


async def test_many_read_at_once(setup: StoreSetup) -> None:
    artifact = await setup.store.put(OWNER, DATA)

    async def read() -> str:
        digest = hashlib.sha256()
        async for _, piece in setup.store.read(artifact):
            digest.update(piece)
        return digest.hexdigest()

    assert set(await asyncio.gather(*(read() for _ in range(8)))) == {artifact.sha256}


async def test_a_file_that_is_deleted_in_the_middle_is_read_to_its_end(on_disk: StoreSetup) -> None:
    artifact = await on_disk.store.put(OWNER, DATA)
    folder = on_disk.backend.folder
    assert folder
    received = b""
    async with aclosing(on_disk.store.read(artifact)) as pieces:
        async for _, piece in pieces:
            (folder / "sha256" / artifact.sha256[:2] / artifact.sha256).unlink(missing_ok=True)
            received += piece
    assert received == DATA
