"""A server that is killed in the middle of uploads, saves and streams, and the order of its flushes and renames."""

import asyncio
import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
from pathlib import Path

import grpc
import pytest
from tests.support.command import CELESTE
from tests.support.stores import name_of
from tests.support.traces import joined, strace

from celeste_image.client import AsyncClient
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Saved
from celeste_image.core.request import Generate
from celeste_image.store.open import DATABASE
from celeste_image.v1 import ArtifactServiceStub, ListArtifactsRequest

KILLS = 60
SMALL = 30_000


class Killed:
    """A server on one store that is started and killed again and again.

    Attributes:
        acknowledged: Names of artifacts that a caller was told of.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix:{folder}/s"
        self.acknowledged: list[str] = []
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = [*CELESTE, "serve", "--listen", self.address, "--store", (self.folder / "store").as_uri()]
        environment = os.environ | {"CELESTE_STORE__RESERVE_BYTES": "0", "CELESTE_STORE__SWEEP_MINUTES": "0.005"}
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=log, stderr=log, cwd=self.folder, env=environment
            )
        async with grpc.aio.insecure_channel(self.address) as channel:
            async with asyncio.timeout(60):
                await channel.channel_ready()

    async def kill(self, number: int = signal.SIGKILL) -> None:
        assert self._process
        self._process.send_signal(number)
        await self._process.wait()

    async def upload(self, client: AsyncClient) -> None:
        data = random.randbytes(random.choice([SMALL, 3_000_000]))
        artifact = await client.upload(data)
        assert artifact.sha256 == hashlib.sha256(data).hexdigest()
        self.acknowledged.append(artifact.name)

    async def upload_again(self, client: AsyncClient) -> None:
        """Stores known bytes again, which renews an acknowledged entry."""
        if self.acknowledged:
            name = random.choice(self.acknowledged)
            assert (await client.upload(await client.read(name))).name == name

    async def stream(self, client: AsyncClient) -> None:
        async for event in client.stream(Generate(prompt="a red boat", model="local/compose", count=2)):
            if isinstance(event, Saved):
                self.acknowledged.append(event.image.artifact)

    async def work(self) -> None:
        async with AsyncClient(self.address) as client:
            while True:
                await random.choice([self.upload, self.upload, self.upload_again, self.stream])(client)


@pytest.mark.faults
async def test_sixty_kills_lose_and_damage_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    killed = Killed(tmp_path)
    for _ in range(KILLS):
        await killed.start()
        before = len(killed.acknowledged)
        workers = [asyncio.create_task(killed.work()) for _ in range(6)]
        async with asyncio.timeout(30):
            while len(killed.acknowledged) < before + random.randint(1, 12):
                await asyncio.sleep(0.005)
        await asyncio.sleep(random.random() * 0.05)
        await killed.kill()
        for worker in workers:
            worker.cancel()
        for outcome in await asyncio.gather(*workers, return_exceptions=True):
            assert isinstance(outcome, CelesteError | grpc.RpcError | asyncio.CancelledError), repr(outcome)
    await killed.start()
    async with AsyncClient(killed.address) as client:
        for name in set(killed.acknowledged):
            assert name_of(await client.read(name)) == name
    async with grpc.aio.insecure_channel(killed.address) as channel:
        listed = await all_names(ArtifactServiceStub(channel))
    assert set(killed.acknowledged) <= set(listed)
    async with AsyncClient(killed.address) as client:
        for name in set(listed) - set(killed.acknowledged):  # saved, and killed before its caller was told
            assert name_of(await client.read(name)) == name, "a half one can be read"
    await killed.kill(signal.SIGTERM)
    assert len(set(killed.acknowledged)) >= KILLS
    assert not list((tmp_path / "store" / "quarantine").glob("*")), "damaged"
    assert "Traceback" not in (tmp_path / "log").read_text()


async def all_names(stub: ArtifactServiceStub) -> list[str]:
    names: list[str] = []
    token = ""
    while True:
        page = await stub.ListArtifacts(ListArtifactsRequest(page_size=1000, page_token=token))
        names += [artifact.name for artifact in page.artifacts]
        token = page.next_page_token
        if not token:
            return names


# The order of flushes and renames

AT = r"(?:AT_FDCWD(?:<[^>]*>)?, )?"
CALL = re.compile(
    r"(?:fsync|fdatasync)\(\d+<(?P<path>[^>]*)>\)\s*= 0|"
    rf'rename(?:at2?)?\({AT}"(?P<old>[^"]+)", {AT}"(?P<new>[^"]+)".*= 0|'
    r"pwrite64\(\d+<(?P<written>[^>]*)>|"
    r"(?:sendmsg|sendto|write|writev)\(\d+<(?:UNIX|socket|unix)[^>]*>(?P<sent>.*)"
)
SENT = re.compile(r"artifacts/sha256-([0-9a-f]{64})")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.faults
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
async def test_each_acknowledgement_comes_after_its_flushes(tmp_path: Path) -> None:
    """As the kernel sees it, for uploads in files and in the database, for saved images, and for renewed entries."""
    folder, trace = tmp_path, tmp_path / "trace"
    store, address = folder / "store", f"unix:{folder}/s"
    command = [*CELESTE, "serve", "--listen", address, "--store", store.as_uri()]
    calls = "fsync,fdatasync,rename,renameat,renameat2,pwrite64,sendmsg,sendto,write,writev"
    traced = strace(str(trace), calls, "-s", "20000")
    environment = os.environ | {"CELESTE_STORE__RESERVE_BYTES": "0"}
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*traced, *command, stdout=log, stderr=log, env=environment)
    try:
        async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(100):
            await channel.channel_ready()
        started = len(trace.read_text(errors="replace").splitlines())
        async with AsyncClient(address) as client:
            data = random.randbytes(3_000_000)
            names = [(await client.upload(data)).name, (await client.upload(data[:SMALL])).name]
            for _ in range(2):  # the same image again: its entry is renewed
                result = await client.generate("a red boat", model="local/compose", seed=7)
                names += [image.artifact for image in result.images]
    finally:
        for child in children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        await process.wait()
    log = str(store / f"{DATABASE}-wal")
    flushed: list[str] = []
    renamed: list[tuple[int, str, str]] = []
    commits = 0
    is_flushed = True  # whether all that was written to the database's log is on the disk
    told: dict[str, int] = {}
    for line in joined(trace.read_text(errors="replace").splitlines()[started:]):
        match = CALL.search(line)
        if match is None:
            continue
        if match["path"]:
            flushed.append(match["path"])
            if match["path"] == log and not is_flushed:
                commits, is_flushed = commits + 1, True
        elif match["written"] == log:
            is_flushed = False
        elif match["sent"]:
            for digest in SENT.findall(match["sent"]):
                if f"artifacts/sha256-{digest}" in names and digest not in told:
                    assert is_flushed, "it was acknowledged before its entry was on the disk"
                    assert commits > len(told), "it was acknowledged before its entry was written"
                    told[digest] = commits
        elif match["new"] and match["new"].startswith(str(store)):
            renamed.append((len(flushed), match["old"], match["new"]))
    for at, old, new in renamed:
        assert old in flushed[:at], f"{new} was renamed before it was flushed"
        after = flushed[at:]
        assert str(Path(new).parent) in after, f"the folder of {new} was not flushed"
        assert log in after[after.index(str(Path(new).parent)) :], "its entry is written after that"
    assert set(told) == {name.rpartition("-")[2] for name in names}, "every acknowledgement was seen"
    assert len(set(told.values())) == len(told), "each after a commit of its own"
    assert commits >= len(names), "a renewed entry is a commit too"
    large = {Path(new).name for _, _, new in renamed}
    assert names[0].rpartition("-")[2] in large
    assert names[1].rpartition("-")[2] not in large
