"""Measures the guard on hostile images, or on a folder of ordinary ones: outcome, time and memory.

    python bench/corpus.py            each kind of tests/support/hostile_images.py: outcome, time, growth of memory
    python bench/corpus.py FOLDER     each file of a folder, through Analyze and Upscale: how many were read or refused

Growth is the peak memory of the server and all its workers during a call, minus the memory before it. Memory is read
every 3 ms, so a shorter peak is missed. The server runs in this process, which is also the client: twice the request's
size is the client's growth.
"""

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import structlog

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from PIL import Image  # noqa: E402
from tests.support.hostile_images import KINDS, Kind, scans, solid  # noqa: E402
from tests.support.pictures import bomb, encoded  # noqa: E402
from tests.support.servers import Running, running, workers  # noqa: E402

from celeste_image.v1 import (  # noqa: E402
    ANALYSIS_KIND_METADATA,
    ANALYSIS_KIND_QUALITY,
    AnalysisKind,
    AnalyzeRequest,
    ImageInput,
    ImageServiceStub,
    UpscaleRequest,
)

MIB = 1 << 20
LARGEST = [
    Kind("allowed: PNG of 39.7 Mpx, 1 bit", lambda: bomb(6300, 6300)),
    Kind("allowed: PNG of 39.7 Mpx, 16 bits of gray", lambda: encoded(Image.new("I;16", (6300, 6300)), "PNG")),
    Kind("allowed: PNG of 39.7 Mpx, RGBA", lambda: encoded(Image.new("RGBA", (6300, 6300)), "PNG")),
    Kind("allowed: JPEG of 39.7 Mpx, CMYK", lambda: encoded(Image.new("CMYK", (6300, 6300)), "JPEG")),
    Kind("allowed: JPEG of 36 Mpx, 40 scans", lambda: scans(40)),
    Kind("allowed: WebP of 39.7 Mpx", lambda: solid("WEBP", (6300, 6300))),
    Kind("allowed: AVIF of 39.7 Mpx", lambda: solid("AVIF", (6300, 6300))),
]
ENGINES = ("imaging.guard_engine", "imaging.pixels_engine", "engines.metadata", "engines.quality", "engines.lanczos")


class Memory(threading.Thread):
    """Records the peak memory of this process and its workers."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest = 0
        self.pids = [os.getpid()]
        self.over = False

    def now(self) -> int:
        total = 0
        for pid in self.pids:
            with suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
        return total

    def run(self) -> None:
        while not self.over:
            self.highest = max(self.highest, self.now())
            time.sleep(0.003)


def cpu_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def alive() -> list[int]:
    return sorted(pid for engine in ENGINES for pid in workers(engine))


def reason_of(error: grpc.aio.AioRpcError) -> str:
    status, info = status_pb2.Status(), error_details_pb2.ErrorInfo()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    for detail in status.details:
        detail.Unpack(info)
    return info.reason or error.code().name


async def outcome(call: Awaitable[Any]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return "read"


def analyze(images: ImageServiceStub, data: bytes, *kinds: AnalysisKind) -> Awaitable[Any]:
    return images.Analyze(AnalyzeRequest(kinds=kinds or [ANALYSIS_KIND_METADATA], image=ImageInput(data=data)))


def upscale(images: ImageServiceStub, data: bytes) -> Awaitable[Any]:
    return images.Upscale(UpscaleRequest(model="local/lanczos", image=ImageInput(data=data), factor=2))


async def kinds(images: ImageServiceStub) -> None:
    memory = Memory()
    memory.start()
    print(f"{'kind':58}{'kB':>8}{'outcome':>17}{'ms':>7}{'CPU ms':>8}{'MiB':>7}{'lost':>6}")
    lost = 0
    for kind in (*KINDS, *LARGEST):
        data = kind.make()
        before = alive()
        memory.pids = [os.getpid(), *before]
        await asyncio.sleep(0.02)
        base = memory.highest = memory.now()
        cpu, began = cpu_seconds(memory.pids), time.perf_counter()
        found = await outcome(analyze(images, data))
        seconds, cpu = time.perf_counter() - began, cpu_seconds(memory.pids) - cpu
        gone = len(set(before) - set(alive()))
        lost += gone
        growth = (memory.highest - base) / MIB
        right = "" if found == (kind.reason or "read") else f"  SHOULD BE {kind.reason or 'read'}"
        size, took = len(data) / 1000, seconds * 1000
        print(f"{kind.what:58}{size:8.1f}{found:>17}{took:7.0f}{cpu * 1000:8.0f}{growth:7.1f}{gone:6}{right}")
    memory.over = True
    print(f"{len(KINDS) + len(LARGEST)} kinds, workers lost: {lost}")


async def folder(images: ImageServiceStub, path: Path, files: list[Path]) -> None:
    found: Counter[tuple[str, str]] = Counter()
    slowest, lost = (0.0, "", Path()), 0
    began = time.perf_counter()
    for file in files:
        data = file.read_bytes()
        calls = {
            "Analyze": lambda data=data: analyze(images, data, ANALYSIS_KIND_METADATA, ANALYSIS_KIND_QUALITY),
            "Upscale": lambda data=data: upscale(images, data),
        }
        for name, call in calls.items():
            before, start = alive(), time.perf_counter()
            result = await outcome(call())
            slowest = max(slowest, (time.perf_counter() - start, name, file))
            gone = len(set(before) - set(alive()))
            lost += gone
            found[name, result] += 1
            if gone or result in ("INTERNAL", "ENGINE_LOST", "ENGINE_MEMORY", "IMAGE_REFUSED"):
                print(f"{name}: {result}, workers lost: {gone}: {file}")
    seconds, bugs = time.perf_counter() - began, sum(found[name, "INTERNAL"] for name in ("Analyze", "Upscale"))
    print(f"{len(files)} files in {seconds:.1f} s, workers lost: {lost}, INTERNAL: {bugs}")
    for (name, result), count in sorted(found.items()):
        print(f"{count:8} {name:8} {result}")
    print(f"slowest: {slowest[0]:.2f} s, {slowest[1]} of {slowest[2].relative_to(path)}")


async def main(path: Path | None, files: list[Path]) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    size = 256 * MIB
    server: Running
    async with running(
        images={"decoders": 1}, server={"request_bytes": size}, providers={"local": {"concurrency": 1}}
    ) as server:
        options = [("grpc.max_send_message_length", size), ("grpc.max_receive_message_length", size)]
        async with grpc.aio.insecure_channel(server.address, options=options) as channel:
            images = ImageServiceStub(channel)
            await outcome(analyze(images, KINDS[-1].make()))  # workers start with the first image
            if path:
                await folder(images, path, files)
            else:
                await kinds(images)


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    asyncio.run(main(given, sorted(file for file in given.rglob("*") if file.is_file()) if given else []))
