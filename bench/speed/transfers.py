"""Transfers: 64 MiB up and down beside bare grpc.aio chunks, and pages of a list among many artifacts.

The client sends and reads serialized messages of 1 MiB without parsing them, so that its own work is small and alike
for all. `minimal` keeps the chunks in memory and neither checks nor stores anything. It answers a download with chunks
as large as those that it got. `storing` adds to it what an upload to a disk can't do without: the digest, the file and
its flush. Each upload has bytes that the server has not seen.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import grpc
from bench.speed.machine import cpu_seconds
from bench.speed.results import Figure, Results
from bench.speed.targets import Running, side_by_side, turns

from celeste_image import v1

__all__ = ["lists", "measure"]

MIB = 1 << 20
CHUNK = MIB
FIGURES = (Figure("MiB/s", 0, ratio=True, better="more"), Figure("CPU s/GiB", 2, ratio=True))
LIST_FIGURES = (Figure("ms", 2),)
SERVICE = "/celeste.image.v1.ArtifactService/"
AT_ONCE = 64
PAGES = 20


def measure(*, targets: Sequence[str], mib: int, rounds: int) -> Results:
    """Uploads and downloads at each target in turn.

    Args:
        targets: `minimal`, `storing`, `celeste`, `celeste-file`; the first is the reference.
        mib: Size of the artifact in MiB.
        rounds: How often.
    """
    settings = {"mib": mib, "rounds": rounds, "chunk_bytes": CHUNK}
    with side_by_side(targets, 1) as (_, started, without):
        results = Results("transfers", "Transfers", started[0].name, FIGURES, settings, without)
        for target in started:  # lazy imports and the first growth of memory are not the transfer's
            asyncio.run(_transfer(target, os.urandom(4 * MIB)))
        for order in turns(started, rounds):
            for target in order:
                for way, (seconds, cpu) in asyncio.run(_transfer(target, os.urandom(mib * MIB))).items():
                    figures = {"MiB/s": mib / seconds, "CPU s/GiB": cpu * 1024 / mib}
                    results.add(f"{mib} MiB {way}", target.name, figures)
    return results.close()


async def _transfer(target: Running, data: bytes) -> dict[str, tuple[float, float]]:
    """Uploads the data, then downloads it; returns the seconds and the server's CPU seconds of each.

    Raises:
        ValueError: Other bytes came back.
    """
    name = f"artifacts/sha256-{hashlib.sha256(data).hexdigest()}"
    requests = [v1.WriteArtifactRequest(name=name, size_bytes=len(data)).SerializeToString()]
    for offset in range(0, len(data), CHUNK):
        chunk = v1.ArtifactChunk(offset=offset, data=data[offset : offset + CHUNK])
        requests.append(v1.WriteArtifactRequest(chunk=chunk).SerializeToString())
    asked = v1.ReadArtifactRequest(name=name).SerializeToString()
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(urlsplit(target.base).netloc, options=options) as channel:
        await channel.channel_ready()
        clocks = [(time.perf_counter(), cpu_seconds(target.pid))]
        answer = await channel.stream_unary(f"{SERVICE}WriteArtifact")(iter(requests))
        clocks.append((time.perf_counter(), cpu_seconds(target.pid)))
        parts = [part async for part in channel.unary_stream(f"{SERVICE}ReadArtifact")(asked)]
        clocks.append((time.perf_counter(), cpu_seconds(target.pid)))
    committed, digest = v1.WriteArtifactResponse.FromString(answer).committed_size_bytes, hashlib.sha256()
    for part in parts:
        digest.update(v1.ReadArtifactResponse.FromString(part).chunk.data)
    if committed != len(data) or not name.endswith(digest.hexdigest()):
        raise ValueError(f"{target.name}: {committed} of {len(data)} bytes were committed, or other bytes came back")
    (start, start_cpu), (between, between_cpu), (end, end_cpu) = clocks
    return {"up": (between - start, between_cpu - start_cpu), "down": (end - between, end_cpu - between_cpu)}


def lists(*, targets: Sequence[str], artifacts: int, sizes: Sequence[int]) -> Results:
    """Stores so many artifacts of 32 bytes, and measures pages of some sizes: the first, and one in the middle.

    Args:
        targets: `celeste`, `celeste-file`.
        artifacts: How many.
        sizes: Artifacts on a page.
    """
    settings = {"artifacts": artifacts, "sizes": list(sizes), "pages": PAGES}
    title = f"Pages of a list of {artifacts:,} artifacts"
    with side_by_side(targets, 1) as (_, started, without):
        results = Results("lists", title, "", LIST_FIGURES, settings, without)
        for target in started:
            for load, milliseconds in asyncio.run(_listed(target.base, artifacts, sizes)):
                results.add(load, target.name, {"ms": milliseconds})
    return results.close()


async def _listed(base: str, artifacts: int, sizes: Sequence[int]) -> list[tuple[str, float]]:
    found = []
    async with grpc.aio.insecure_channel(urlsplit(base).netloc) as channel:
        stub = v1.ArtifactServiceStub(channel)
        left = iter(range(artifacts))

        async def store() -> None:
            for number in left:
                data = b"%032d" % number
                name = f"artifacts/sha256-{hashlib.sha256(data).hexdigest()}"
                chunk = v1.ArtifactChunk(offset=0, data=data)
                await stub.WriteArtifact(iter([v1.WriteArtifactRequest(name=name, size_bytes=32, chunk=chunk)]))

        began = time.perf_counter()
        await asyncio.gather(*(store() for _ in range(AT_ONCE)))
        found.append(("an upload of 32 bytes", 1000 * (time.perf_counter() - began) / artifacts))
        for size in sizes:
            token = ""
            for number in range(PAGES):
                began = time.perf_counter()
                page = await stub.ListArtifacts(v1.ListArtifactsRequest(page_size=size, page_token=token))
                took = 1000 * (time.perf_counter() - began)
                if len(page.artifacts) != size:
                    raise ValueError(f"a page of {size} has {len(page.artifacts)} artifacts")
                token = page.next_page_token
                found.append((f"the first page of {size}" if not number else f"a later page of {size}", took))
    return found
