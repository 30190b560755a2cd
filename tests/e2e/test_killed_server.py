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

from celeste_image.client import AsyncClient
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Saved
from celeste_image.core.request import Generate

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
    await killed.kill(signal.SIGTERM)
    assert len(set(killed.acknowledged)) >= KILLS
    assert not list((tmp_path / "store" / "quarantine").glob("*")), "damaged"
    assert "Traceback" not in (tmp_path / "log").read_text()


# The order of flushes and renames

AT = r"(?:AT_FDCWD(?:<[^>]*>)?, )?"
CALL = re.compile(
    r"(?:fsync|fdatasync)\(\d+<(?P<path>[^>]*)>\)\s*= 0|"
    rf'rename(?:at2?)?\({AT}"(?P<old>[^"]+)", {AT}"(?P<new>[^"]+)".*= 0'
)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.faults
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
async def test_each_file_is_flushed_before_it_is_renamed_and_its_folder_after(tmp_path: Path) -> None:
    """As the kernel sees it, for an upload, for saved images, and for entries that are renewed."""
    folder, trace = tmp_path, tmp_path / "trace"
    store, address = folder / "store", f"unix:{folder}/s"
    command = [*CELESTE, "serve", "--listen", address, "--store", store.as_uri()]
    traced = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fsync,fdatasync,rename,renameat,renameat2"]
    environment = os.environ | {"CELESTE_STORE__RESERVE_BYTES": "0"}
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*traced, *command, stdout=log, stderr=log, env=environment)
    try:
        async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(100):
            await channel.channel_ready()
        async with AsyncClient(address) as client:
            data = random.randbytes(3_000_000)
            names = [(await client.upload(data)).name]
            for _ in range(2):  # the same image again: its entry is renewed
                result = await client.generate("a red boat", model="local/compose", seed=7)
                names += [image.artifact for image in result.images]
    finally:
        for child in children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        await process.wait()
    flushed: list[str] = []
    renamed: list[tuple[int, str, str]] = []
    for line in joined(trace.read_text(errors="replace").splitlines()):
        if match := CALL.search(line):
            if match["path"]:
                flushed.append(match["path"])
            elif match["new"].startswith(str(store)):
                renamed.append((len(flushed), match["old"], match["new"]))
    for at, old, new in renamed:
        assert old in flushed[:at], f"{new} was renamed before it was flushed"
        assert str(Path(new).parent) in flushed[at:], f"the folder of {new} was not flushed"
    finals = {Path(new).name.removesuffix(".json") for _, _, new in renamed}
    assert {name.rpartition("-")[2] for name in names} <= finals
    assert len([new for _, _, new in renamed if new.endswith(".json")]) == 3


def joined(lines: list[str]) -> list[str]:
    """Returns the lines of a trace with calls in one piece, at their end: strace splits those of several threads."""
    begun: dict[str, str] = {}
    whole = []
    for line in lines:
        thread, _, rest = line.partition(" ")
        if "<unfinished ...>" in rest:
            begun[thread] = rest.partition("<unfinished ...>")[0]
        elif match := re.search(r"<\.\.\. \w+ resumed>(.*)", rest):
            whole.append(begun.pop(thread, "") + match[1])
        else:
            whole.append(rest)
    return whole
