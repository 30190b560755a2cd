"""Kills a server while it saves images, and looks whether an acknowledged image is lost or a half one can be read.

    .venv/bin/python bench/kill_saves.py [TIMES] [--strace]

Callers generate images of 30 KB and of 1.6 MB and upload bytes, until the server and its workers are killed at a random
moment; the store is a folder that stays. After each restart every image that was acknowledged must be there with its
digest, and everything that a list names must be whole. The exit code is 1 if a line has NOT GOOD.

The disk's cache outlives a killed process, so this does not show what a loss of power does. `--strace` traces one
caller's images instead, and shows whether each is acknowledged after the store's writes for it were synced.
"""

import argparse
import asyncio
import hashlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import grpc
from bench.serving import PROGRAM, Process, celeste
from bench.speed.machine import tree
from bench.speed.targets import provider
from tests.support.ports import free_port
from tests.support.traces import joined, strace

from celeste_image import v1

SEED = 12
CALLERS = 12
START_SECONDS = 120
TRACED = 20
ANSWER_BYTES = 20_000
LOG = "-wal"
"""End of the name of SQLite's log, whose sync is a commit."""
REBUILT = "-shm"
"""End of the name of SQLite's shared memory, which is made anew after a crash and so needs no sync."""
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
CONFIG = """
[providers.bench]
kind = "compatible"
base_url = "{origin}/v1"
allow_private = true
concurrency = 64
models = [{{ id = "image" }}]
"""
SYSCALLS = (
    "fsync,fdatasync,sync_file_range,msync,write,pwrite64,writev,pwritev,rename,renameat,renameat2,link,linkat,"
    "sendmsg,sendto"
)


async def call(channel: grpc.aio.Channel, chance: random.Random) -> tuple[str, str]:
    """Saves one image or upload; returns its name and its digest once the server has acknowledged it."""
    if chance.random() < 0.3:
        data = chance.randbytes(chance.choice((100, 300_000)))
        digest = hashlib.sha256(data).hexdigest()
        request = v1.WriteArtifactRequest(name=f"artifacts/sha256-{digest}", size_bytes=len(data))
        request.chunk.data = data
        await v1.ArtifactServiceStub(channel).WriteArtifact(iter([request]))
        return request.name, digest
    wish = chance.choice(("small-0", "small-0", "big-0"))
    asked = v1.GenerateRequest(prompt=f"{wish} a fox", model="bench/image")
    (image,) = (await v1.ImageServiceStub(channel).Generate(asked)).result.images
    return image.artifact, hashlib.sha256(image.data).hexdigest() if image.data else image.sha256


async def saving(address: str, chance: random.Random, known: dict[str, str], server: Process, seconds: float) -> int:
    """Calls until the server is killed, so many seconds after its first acknowledgement; notes what it acknowledged.

    Returns the number of calls that were under way.
    """
    under_way, first = 0, asyncio.Event()

    async def caller(channel: grpc.aio.Channel) -> None:
        nonlocal under_way
        with suppress(grpc.aio.AioRpcError):
            while True:
                under_way += 1
                name, digest = await call(channel, chance)
                known[name] = digest
                under_way -= 1
                first.set()

    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        await channel.channel_ready()
        callers = [asyncio.create_task(caller(channel)) for _ in range(CALLERS)]
        await asyncio.wait_for(first.wait(), START_SECONDS)
        await asyncio.sleep(seconds)
        for pid in tree(server.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*callers)
    return under_way


async def looked(address: str, known: dict[str, str]) -> Counter[str]:
    """Reads what was acknowledged and what the list names; returns what is wrong, by kind."""
    wrong: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        stub = v1.ArtifactServiceStub(channel)
        listed, token = set(), ""
        while True:
            page = await stub.ListArtifacts(v1.ListArtifactsRequest(page_size=1000, page_token=token))
            listed |= {each.name for each in page.artifacts}
            if not (token := page.next_page_token):
                break
        for name in sorted(listed | set(known)):
            digest = hashlib.sha256()
            try:
                async for part in stub.ReadArtifact(v1.ReadArtifactRequest(name=name)):
                    digest.update(part.chunk.data)
            except grpc.aio.AioRpcError as error:
                wrong["acknowledged and lost" if name in known else f"listed, not readable: {error.code().name}"] += 1
                continue
            if not name.endswith(digest.hexdigest()) or known.get(name, digest.hexdigest()) != digest.hexdigest():
                wrong["readable and not whole"] += 1
        wrong["acknowledged and not listed"] += len(set(known) - listed)
    return +wrong


def killed(folder: Path, config: Path, times: int) -> bool:
    """Kills a server so many times; prints a line for each tenth, and returns whether all was good."""
    chance = random.Random(SEED)
    known: dict[str, str] = {}
    fresh: dict[str, str] = {}
    found: Counter[str] = Counter()
    under_way = 0
    settings = {"CONFIG": str(config), "STORE__URL": (folder / "store").as_uri(), "STORE__SWEEP_MINUTES": "0.05"}
    for number in range(times + 1):
        with celeste(free_port(), **settings) as server:
            is_full = number % 10 == 0 or number == times  # else what was acknowledged before the last kill
            wrong = asyncio.run(looked(server.address, known if is_full else fresh))
            found += wrong
            if number and (wrong or is_full):
                said = ", ".join(f"{count} {what}" for what, count in wrong.items()) or "none lost, none half"
                print(f"{number:3} kills, {len(known)} acknowledged, {under_way} under way: {said}", flush=True)
            if number < times:
                fresh = {}
                under_way += asyncio.run(saving(server.address, chance, fresh, server, chance.uniform(0.1, 1.5)))
                known |= fresh
    good = not found and len(known) >= times
    print(f"{times} kills: {'good' if good else f'NOT GOOD {dict(found)}'}; seed {SEED}")
    return good


def traced(folder: Path, config: Path) -> bool:
    """Traces the system calls of a server for one caller; prints the order of syncs and answers, and judges it."""
    if not shutil.which("strace"):
        print("strace is not installed: the order of syncs was not looked at")
        return True
    trace, store = folder / "trace", folder / "traced"
    # -D: the tracer is no parent of the server, which so gets its signals.
    program = [*strace(str(trace), SYSCALLS, "-D", "-s", "300"), *PROGRAM]
    settings = {"CONFIG": str(config), "STORE__URL": store.as_uri()}
    with celeste(free_port(), program=program, **settings) as server:
        started = len(trace.read_text(errors="replace").splitlines())
        asyncio.run(one_by_one(server.address))
    good, answers = judged(joined(trace.read_text(errors="replace").splitlines()[started:]), str(store))
    print(f"{answers} acknowledgements traced: {'each after the sync of its writes' if good else 'NOT GOOD'}")
    return good


async def one_by_one(address: str) -> None:
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        for _ in range(TRACED):
            request = v1.GenerateRequest(prompt="small-0 a fox", model="bench/image")
            await v1.ImageServiceStub(channel).Generate(request)


def judged(calls: list[str], store: str) -> tuple[bool, int]:
    """Returns whether each answer left after a commit of its own with nothing unsynced, and the number of answers.

    A file that was written must be synced, and so must the folder that got a new name by a rename or a link. The calls
    of the client are one by one, so the third answer needs three commits. An answer is a message of `ANSWER_BYTES` or
    more, which holds the image.
    """
    unsynced: set[str] = set()
    good, answers, commits = True, 0, 0
    for call in calls:
        if found := re.match(r"(?:fsync|fdatasync|msync|sync_file_range)\(\d+<([^>]+)>.*= 0$", call):
            commits += found[1] in unsynced and found[1].endswith(LOG)
            unsynced.discard(found[1])
        elif found := re.match(r"(?:write|pwrite64|writev|pwritev)\(\d+<([^>]+)>", call):
            if found[1].startswith(store) and not found[1].endswith(REBUILT):
                unsynced.add(found[1])
        elif found := re.match(r'(?:rename|renameat2?|link|linkat)\(.*"([^"]+)"[^"]*\) = 0$', call):
            if found[1].startswith(store):
                unsynced.add(os.path.dirname(found[1]))
        elif re.match(r"send(?:msg|to)\(\d+<(?:TCP|socket)", call):
            if sum(map(int, re.findall(r"iov_len=(\d+)", call))) < ANSWER_BYTES:
                continue
            answers += 1
            if unsynced or commits < answers:
                good = False
                print(f"  answer {answers} after {commits} commits, not synced: {sorted(unsynced)}")
    return good and answers == TRACED, answers


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("times", nargs="?", type=int, default=50)
    arguments.add_argument("--strace", action="store_true")
    chosen = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends, too
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, provider() as upstream:
        folder, config = Path(name), Path(name, "celeste.toml")
        config.write_text(CONFIG.format(origin=upstream.base))
        good = killed(folder, config, chosen.times)
        if chosen.strace:
            good = traced(folder, config) and good
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
