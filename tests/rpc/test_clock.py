"""A clock that steps while the server runs: acknowledged uploads stay, and expiry goes on afterwards."""

import hashlib
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs
from tests.support.servers import running
from tests.support.stores import name_of
from tests.support.waiting import until

from celeste_image.store import ages
from celeste_image.store.open import DATABASE
from celeste_image.v1 import (
    ArtifactServiceStub,
    FindMissingArtifactsRequest,
    ListArtifactsRequest,
    ReadArtifactRequest,
    WriteArtifactChunkRequest,
)

DATAS = [hashlib.sha256(bytes([n])).digest() * 9 for n in range(20)]
NAMES = [name_of(data) for data in DATAS]
DAY = timedelta(days=1)


class Clocks:
    """The two clocks of a server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error = self.passed = timedelta()
        monkeypatch.setattr(ages, "utc_now", lambda: datetime.now(UTC) + self.error + self.passed)
        monkeypatch.setattr(ages, "uptime", lambda: time.monotonic() + self.passed.total_seconds())


async def missing(stub: ArtifactServiceStub) -> list[str]:
    return list((await stub.FindMissingArtifacts(FindMissingArtifactsRequest(names=NAMES))).missing)


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([8 * DAY], "memory"),
        ([400 * DAY], "folder"),
        ([n * DAY for n in (-2, 8, -2, 400, 0)], "folder"),
    ],
    ids=["8", "400", "to and fro"],
)
async def test_acknowledged_uploads_stay(
    errors: list[timedelta], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Clocks(monkeypatch)
    sweeps = 0
    sweep = ages.Ages.begin_sweep

    def counted(self: ages.Ages, apart_seconds: float) -> bool:
        nonlocal sweeps
        sweeps += 1
        return sweep(self, apart_seconds)

    async def sweeping(number: int) -> None:
        upto = sweeps + number
        await until(lambda: sweeps >= upto)

    monkeypatch.setattr(ages.Ages, "begin_sweep", counted)
    url = "memory:///" if kind == "memory" else (tmp_path / "store").as_uri()
    store = {"url": url, "spool": str(tmp_path / "spool"), "sweep_minutes": 0.0002}
    with capture_logs() as logs:
        async with running(store=store) as server, grpc.aio.insecure_channel(server.address) as channel:
            stub = ArtifactServiceStub(channel)
            for name, data in zip(NAMES, DATAS, strict=True):
                request = WriteArtifactChunkRequest(name=name, size_bytes=len(data))
                request.chunk.data = data
                assert (await stub.WriteArtifactChunk(request)).HasField("artifact")
            for error in errors:
                clocks.error = error
                await sweeping(4)
                assert await missing(stub) == []
                assert len((await stub.ListArtifacts(ListArtifactsRequest())).artifacts) == len(NAMES)
            for name, data in zip(NAMES, DATAS, strict=True):
                chunks = [r.chunk.data async for r in stub.ReadArtifact(ReadArtifactRequest(name=name))]
                assert b"".join(chunks) == data
            clocks.error = timedelta()
            await sweeping(4)
            clocks.passed = 6.9 * DAY
            await sweeping(4)
            assert await missing(stub) == []
            clocks.passed = 7.1 * DAY  # a week is the default; a correction may add one
            await sweeping(4)
            if min(errors) >= timedelta():
                assert await missing(stub) == NAMES
            clocks.passed = 14.1 * DAY
            await sweeping(4)
            assert await missing(stub) == NAMES
            if kind == "folder":
                with closing(sqlite3.connect(tmp_path / "store" / DATABASE)) as db:
                    await until(lambda: db.execute("SELECT count(*) FROM small_blobs").fetchone() == (0,))
    told = [line["seconds"] for line in logs if line["event"].startswith("the wall clock stepped")]
    assert told[0] == pytest.approx(errors[0].total_seconds(), abs=2)
