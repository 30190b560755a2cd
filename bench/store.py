"""Measures the store: writes of several designs, writes of the real one, and pages of a list of 50,000 artifacts.

    .venv/bin/python bench/store.py designs            # where an image and its entry could go on a disk
    .venv/bin/python bench/store.py writes             # ArtifactStore in a folder and in memory
    .venv/bin/python bench/store.py pages [COUNT]      # a page of 1 and of 100, in a folder, in memory and on S3

The folder is in the working folder, since /tmp may be in memory. Each line has the load of the machine before it.
"""

import argparse
import asyncio
import hashlib
import json
import os
import queue
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from celeste_image.store import ArtifactStore, open_store

SIZES = {"30 KB": 30_000, "250 KB": 250_000, "1.6 MB": 1_600_000}
CALLERS = (1, 64)
SECONDS = 4.0
MOST_BYTES = 700_000_000
"""Bytes after which a run ends, for disks and memory that are small."""

Put = Callable[[bytes], Awaitable[object]]


@contextmanager
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir=".", prefix="bench-store-")).resolve()
    try:
        yield path
    finally:
        shutil.rmtree(path)


# Designs


def flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def staged(path: Path, data: bytes, *, is_flushed: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + "#")
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        if is_flushed:
            os.fsync(file.fileno())
    return temporary


def put_file(root: Path, path: Path, data: bytes, *, upwards: bool) -> None:
    staged(path, data).rename(path)
    flush(path.parent)
    for parent in path.parent.parents if upwards else ():
        if parent.is_relative_to(root):
            flush(parent)


def entry_of(sha256: str, data: bytes) -> bytes:
    lineage = {"request_id": "r" * 36, "operation": "generate", "model": "vendor/model", "seed": 1, "parents": []}
    return json.dumps({"sha256": sha256, "size_bytes": len(data), "lineages": [lineage]}).encode() + b"\n"


class Together:
    """A thread that does what waits for it together."""

    def __init__(self, work: Callable[[list[tuple[Path, bytes]]], None]) -> None:
        self._work = work
        self._queue: queue.SimpleQueue[tuple[Path, bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def put(self, path: Path, data: bytes) -> None:
        future = asyncio.get_running_loop().create_future()
        self._queue.put((path, data, future))
        await future

    def _run(self) -> None:
        while True:
            items = [self._queue.get()]
            while not self._queue.empty() and len(items) < 64:
                items.append(self._queue.get())
            self._work([(path, data) for path, data, _ in items])
            futures = [future for _, _, future in items]
            futures[0].get_loop().call_soon_threadsafe(settle, futures)


def settle(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


def designs(root: Path) -> dict[str, Put]:
    """Returns the ways to put an image and its entry on a disk: the plain ones, and our own with two thresholds."""
    log = (root / "log").open("ab")

    def blob(sha256: str) -> Path:
        return root / "sha256" / sha256[:2] / sha256

    async def two_files(data: bytes) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        await asyncio.to_thread(put_file, root, blob(sha256), data, upwards=True)
        record = root / "records" / "anonymous" / f"{sha256}.json"
        await asyncio.to_thread(put_file, root, record, entry_of(sha256, data), upwards=True)

    def files_and_log(items: list[tuple[Path, bytes]]) -> None:
        temporaries = [staged(path, data, is_flushed=False) for path, data in items]
        for temporary in temporaries:
            flush(temporary)
        for temporary, (path, _) in zip(temporaries, items, strict=True):
            temporary.rename(path)
        for parent in {path.parent for path, _ in items}:
            flush(parent)
        log_only([(path, entry_of(path.name, data)) for path, data in items])

    def log_only(items: list[tuple[Path, bytes]]) -> None:
        log.writelines(data for _, data in items)
        log.flush()
        os.fdatasync(log.fileno())

    grouped, logged = Together(files_and_log), Together(log_only)

    async def in_groups(data: bytes) -> None:
        await grouped.put(blob(hashlib.sha256(data).hexdigest()), data)

    async def file_then_log(data: bytes) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        await asyncio.to_thread(put_file, root, blob(sha256), data, upwards=False)
        await logged.put(root, entry_of(sha256, data))

    def ours(name: str, small_bytes: int) -> Put:
        store = open_store((root / name).as_uri(), root / f"{name}-spool")
        store._index.small_bytes = small_bytes
        return lambda data: store.put("anonymous", data)

    return {
        "two files, 8 flushes": two_files,
        "files and a log, in groups": in_groups,
        "a file each, then a log": file_then_log,
        "a file each, then SQLite": ours("rows", 0),
        "all in SQLite": ours("all", 1 << 30),
    }


# Writes


async def measure(put: Put, size: int, callers: int) -> str:
    """Puts different images for a while; returns a line of figures."""
    base = random.randbytes(size)
    times: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()

    async def caller(number: int) -> None:
        turn = 0
        while time.perf_counter() - began < SECONDS and len(times) * size < MOST_BYTES:
            turn += 1
            data = b"%d %d " % (number, turn) + base
            at = time.perf_counter()
            await put(data)
            times.append(time.perf_counter() - at)

    await asyncio.gather(*(caller(number) for number in range(callers)))
    seconds = time.perf_counter() - began
    times.sort()
    p50, p99 = statistics.median(times) * 1000, times[int(len(times) * 0.99)] * 1000
    cpu_ms = (time.process_time() - cpu) / len(times) * 1000
    return f"{len(times) / seconds:7.0f} images/s  {cpu_ms:6.2f} ms CPU each  p50 {p50:7.1f}  p99 {p99:7.1f} ms"


async def show_designs(sizes: dict[str, int]) -> None:
    for size_name, size in sizes.items():
        for callers in CALLERS:
            with folder() as root:
                for name, put in designs(root).items():
                    line = await measure(put, size, callers)
                    print(f"{size_name:7} c={callers:<3} {name:28} {line}  load {os.getloadavg()[0]:.1f}", flush=True)


async def show_writes(sizes: dict[str, int]) -> None:
    for size_name, size in sizes.items():
        for callers in CALLERS:
            for kind in ("folder", "memory"):
                with folder() as root:
                    url = "memory:///" if kind == "memory" else (root / "store").as_uri()
                    store = open_store(url, root / "spool")
                    line = await measure(partial(store.put, "anonymous"), size, callers)
                    print(f"{size_name:7} c={callers:<3} {kind:28} {line}  load {os.getloadavg()[0]:.1f}", flush=True)


# Pages


async def page(store: ArtifactStore, size: int) -> float:
    """Reads a page in the middle, as ListArtifacts does; returns its seconds."""
    began = time.perf_counter()
    found = 0
    async with aclosing(store.owned("anonymous", f"artifacts/sha256-{'7' * 64}")) as artifacts:
        async for _ in artifacts:
            found += 1
            if found > size:
                break
    return time.perf_counter() - began


async def show_pages(count: int) -> None:
    from tests.support.s3 import serving

    with folder() as root, folder() as weed, serving(weed) as s3:
        places: dict[str, tuple[str, dict[str, str]]] = {
            "folder": ((root / "store").as_uri(), {}),
            "memory": ("memory:///", {}),
            "S3": (s3.url("bench"), s3.options()),
        }
        for kind, (url, options) in places.items():
            store = open_store(url, root / "spool", options=options)
            numbers = iter(range(count))

            async def caller(store: ArtifactStore = store, numbers: Iterator[int] = numbers) -> None:
                for number in numbers:
                    await store.put("anonymous", b"%d" % number)

            began = time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(64)))
            print(f"{kind:8} {count} artifacts stored in {time.perf_counter() - began:.0f} s", flush=True)
            for size in (1, 100):
                cpu, seconds = time.process_time(), [await page(store, size) for _ in range(5)]
                cpu_ms = (time.process_time() - cpu) / len(seconds) * 1000
                wall_ms = statistics.median(seconds) * 1000
                print(f"{kind:8} page of {size:3}: {wall_ms:8.1f} ms, {cpu_ms:8.1f} ms CPU", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["designs", "writes", "pages"])
    parser.add_argument("count", nargs="?", type=int, default=50_000)
    parser.add_argument("--size", choices=SIZES, action="append")
    arguments = parser.parse_args()
    sizes = {name: size for name, size in SIZES.items() if not arguments.size or name in arguments.size}
    if arguments.what == "pages":
        asyncio.run(show_pages(arguments.count))
    else:
        asyncio.run(show_designs(sizes) if arguments.what == "designs" else show_writes(sizes))


if __name__ == "__main__":
    main()
