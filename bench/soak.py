"""Loads a server with mixed calls for an hour, and shows what grows.

    .venv/bin/python bench/soak.py [SECONDS]

Ten calls a second, drawn at random: images by an emulated vendor, by `local/compose` and `local/lanczos`, analyses,
uploads, downloads, lists and streams. Of the calls 1 % are cancelled, 1 % have a deadline of 50 ms, and about 15 % end
with an error: of the vendor, of a damaged image, of a wrong size, of a name that does not exist. A worker process is
killed every 20 s. Artifacts expire after three minutes, so that the store reaches its size within the first ten.

It writes `bench/soak.csv`, a line every 10 s, and prints the slopes after the first ten minutes (a sixth of a shorter
run). The exit code is 1 when one is over its limit: 1 MiB of the server's memory, half a thread, half a file
descriptor or half a task per ten minutes. `bench/soak_curve.py` draws the file. Nothing else should run on the machine.
"""

import asyncio
import collections
import csv
import gc
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from typing import Any

import grpc
from bench.serving import PROGRAM, Process, celeste
from PIL import Image
from tests.support.ports import free_port

from celeste_image import v1

RATE = 10
IN_FLIGHT = 60
SAMPLE_SECONDS = 10
KILL_SECONDS = 20
SEED = 11
FIELDS = ("seconds", "server MiB", "workers MiB", "workers", "threads", "descriptors", "tasks", "objects")
LIMITS = {"server MiB": 1.0, "threads": 0.5, "descriptors": 0.5, "tasks": 0.5}
"""Most growth per ten minutes."""
CONFIG = """
[log]
level = "error"
[store]
retention_hours = 0.05
sweep_minutes = 1
[providers.dead]
kind = "compatible"
base_url = "http://127.0.0.1:9/v1"
allow_private = true
models = [{ id = "m" }]
tries = 1
"""


def counting(file: Path) -> None:
    """Runs `celeste serve` in this process, and writes the number of its tasks and objects to a file."""
    from celeste_image.cli.main import main

    def count() -> None:
        while True:
            found = gc.get_objects()
            tasks = sum(isinstance(each, asyncio.Task) and not each.done() for each in found)
            fresh = file.with_suffix(".new")
            fresh.write_text(f"{tasks} {len(found)}")
            fresh.rename(file)
            del found
            time.sleep(SAMPLE_SECONDS)

    threading.Thread(target=count, daemon=True).start()
    main()


def workers_of(pid: int) -> list[int]:
    """Returns the worker processes of a server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"PPid:\t{pid}\n" in (folder / "status").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def memory_of(pid: int) -> float:
    """Returns a process's resident memory in MiB; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


def sample(server: Process, counts: Path, began: float) -> list[float]:
    here = Path(f"/proc/{server.pid}")
    workers = workers_of(server.pid)
    tasks, objects = (int(each) for each in counts.read_text().split()) if counts.exists() else (0, 0)
    return [
        *(round(time.monotonic() - began), round(memory_of(server.pid), 1), round(sum(map(memory_of, workers)), 1)),
        *(len(workers), len(os.listdir(here / "task")), len(os.listdir(here / "fd")), tasks, objects),
    ]


class Load:
    """Calls drawn at random; `outcomes` counts how they ended, by kind and status."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.random = random.Random(SEED)
        self.images = v1.ImageServiceStub(channel)
        self.artifacts = v1.ArtifactServiceStub(channel)
        self.models = v1.ModelServiceStub(channel)
        self.outcomes: collections.Counter[tuple[str, str]] = collections.Counter()
        self.names: collections.deque[str] = collections.deque(maxlen=50)
        data = io.BytesIO()
        Image.radial_gradient("L").convert("RGB").resize((96, 80)).save(data, "JPEG")
        self.photo = data.getvalue()

    async def one(self) -> None:
        """Makes one call and notes how it ended."""
        draw = self.random
        kinds = (self.vendor, self.vendor, self.dead, self.compose, self.upscale, self.analyze, self.upload)
        kind = draw.choice((*kinds, self.upload, self.read, self.list, self.catalog, self.stream, self.stream))
        deadline = 0.05 if draw.random() < 0.01 else 60
        task = asyncio.ensure_future(kind(deadline))
        if draw.random() < 0.01:
            await asyncio.sleep(draw.random() * 0.1)
            task.cancel()
        try:
            await task
            how = "OK"
        except grpc.aio.AioRpcError as error:
            how = error.code().name
        except asyncio.CancelledError:
            how = "CANCELLED"
        self.outcomes[kind.__name__, how] += 1

    def _prompt(self) -> str:
        fault = self.random.choice(("status=500", "moderate=output", "answer=cut", "image=garbage"))
        return "a red boat" + (f" [emulate: {fault}]" if self.random.random() < 0.1 else "")

    async def vendor(self, deadline: float) -> None:
        request = v1.GenerateRequest(prompt=self._prompt(), model="openai/gpt-image-1-mini")
        await self._keep(self.images.Generate(request, timeout=deadline))

    async def dead(self, deadline: float) -> None:
        await self.images.Generate(v1.GenerateRequest(prompt="x", model="dead/m"), timeout=deadline)

    async def compose(self, deadline: float) -> None:
        request = v1.GenerateRequest(prompt="a red fox in the snow", model="local/compose")
        request.size.width = request.size.height = 256
        request.seed = self.random.randrange(1000)
        await self._keep(self.images.Generate(request, timeout=deadline))

    async def upscale(self, deadline: float) -> None:
        request = v1.UpscaleRequest(model="local/lanczos", factor=2)
        request.image.data = self.photo
        await self._keep(self.images.Upscale(request, timeout=deadline))

    async def analyze(self, deadline: float) -> None:
        request = v1.AnalyzeRequest()
        request.image.data = self.photo[: self.random.choice((20, 500, len(self.photo), len(self.photo)))]
        await self.images.Analyze(request, timeout=deadline)

    async def upload(self, deadline: float) -> None:
        data = self.random.randbytes(self.random.choice((10, 300_000)))
        name = f"artifacts/sha256-{hashlib.sha256(data).hexdigest()}"
        wrong = self.random.random() < 0.2
        chunk = v1.ArtifactChunk(offset=0, data=data)
        request = v1.WriteArtifactRequest(name=name, size_bytes=len(data) + wrong, chunk=chunk)
        await self.artifacts.WriteArtifact(iter([request]), timeout=deadline)
        self.names.append(name)

    async def read(self, deadline: float) -> None:
        name = self.random.choice((*self.names, f"artifacts/sha256-{'0' * 64}"))
        async for _ in self.artifacts.ReadArtifact(v1.ReadArtifactRequest(name=name), timeout=deadline):
            pass

    async def list(self, deadline: float) -> None:
        request = v1.ListArtifactsRequest(page_size=self.random.choice((1, 1000)))
        await self.artifacts.ListArtifacts(request, timeout=deadline)

    async def catalog(self, deadline: float) -> None:
        await self.models.ListModels(v1.ListModelsRequest(), timeout=deadline)

    async def stream(self, deadline: float) -> None:
        request = v1.StreamRequest()
        generate = request.operation.generate
        generate.prompt = self._prompt()
        generate.model = self.random.choice(("openai/gpt-image-1-mini", "local/compose", "bfl/flux-pro-1.1"))
        async for _ in self.images.Stream(request, timeout=deadline):
            pass

    async def _keep(self, call: Awaitable[Any]) -> None:
        for made in (await call).result.images:
            self.names.append(made.artifact)


async def loaded(server: Process, counts: Path, seconds: float) -> list[list[float]]:
    """Loads the server for that long and returns the samples."""
    began = time.monotonic()
    samples: list[list[float]] = []
    running: set[asyncio.Task[None]] = set()
    killed = skipped = 0
    async with grpc.aio.insecure_channel(server.address) as channel:
        load = Load(channel)
        next_kill = KILL_SECONDS
        for tick in range(int(seconds * RATE)):
            passed = time.monotonic() - began
            await asyncio.sleep(max(0, tick / RATE - passed))
            if len(running) < IN_FLIGHT:
                task = asyncio.create_task(load.one())
                running.add(task)
                task.add_done_callback(running.discard)
            else:
                skipped += 1
            if passed > next_kill and (workers := workers_of(server.pid)):
                next_kill += KILL_SECONDS
                os.kill(load.random.choice(workers), signal.SIGKILL)
                killed += 1
            if passed > len(samples) * SAMPLE_SECONDS:
                samples.append(sample(server, counts, began))
                if len(samples) % 6 == 1:
                    print(dict(zip(FIELDS, samples[-1], strict=True)), flush=True)
        await asyncio.gather(*running)
    await asyncio.sleep(2 * SAMPLE_SECONDS)
    print("at rest", dict(zip(FIELDS, sample(server, counts, began), strict=True)))
    print(f"{sum(load.outcomes.values())} calls, {skipped} left out at {IN_FLIGHT} in flight, {killed} workers killed")
    for (kind, how), number in sorted(load.outcomes.items()):
        print(f"  {kind:10} {how:20} {number}")
    return samples


def slope(samples: list[list[float]], column: int) -> float:
    """Returns the growth per ten minutes, by least squares."""
    times, values = [each[0] for each in samples], [each[column] for each in samples]
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    over = sum((t - middle) * (v - mean) for t, v in zip(times, values, strict=True))
    return over / sum((t - middle) ** 2 for t in times) * 600


def main(seconds: float) -> int:
    """Runs the soak and returns the exit code."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        emulate = [*PROGRAM, "emulate", "openai", "bfl", "--port", "0", "--usual", "latency=0.05"]
        with open(folder / "ledger", "wb") as log:
            vendors = subprocess.Popen([*emulate, "--write", folder / "vendors.toml"], stdout=log, stderr=log)
        while not (folder / "vendors.toml").exists():
            time.sleep(0.1)
        config = folder / "celeste.toml"
        config.write_text((folder / "vendors.toml").read_text() + CONFIG)
        counts = folder / "counts"
        program = (sys.executable, str(Path(__file__).resolve()), "--counts", str(counts))
        store = f"file://{folder}/artifacts"
        try:
            with celeste(free_port(), program=program, CONFIG=str(config), STORE__URL=store) as server:
                samples = asyncio.run(loaded(server, counts, seconds))
        finally:
            vendors.terminate()
            vendors.wait()
    with open(Path(__file__).with_suffix(".csv"), "w", newline="") as file:
        csv.writer(file).writerows([FIELDS, *samples])
    flat = [each for each in samples if each[0] >= seconds / 6]
    over = 0
    for column, field in enumerate(FIELDS[1:], 1):
        grown = slope(flat, column)
        over += grown > LIMITS.get(field, float("inf"))
        values = [each[column] for each in flat]
        print(f"{field:12} {min(values):9.1f} to {max(values):9.1f}, {grown:+8.2f} per ten minutes")
    return int(over > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--counts"]:
        counts_file = Path(sys.argv[2])
        del sys.argv[1:3]
        counting(counts_file)
    else:
        sys.exit(main(float(sys.argv[1]) if sys.argv[1:] else 3600))
