"""Uploads and downloads 64 MiB with gRPC's default limits; each transfer is dropped at five places and resumed.

    .venv/bin/python bench/upload.py [disk | s3]

It prints where each transfer was dropped, whether the digest is right, the peak growth of the server's memory, and the
number of temporary files after a sweep. The exit code is 1 when any of these is wrong. The server runs in its own
process. A seed chooses the bytes on the wire at which the connection drops.
"""

import asyncio
import hashlib
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import grpc
from bench.serving import Process, celeste
from tests.support import s3
from tests.support.proxies import CuttingProxy

from celeste_image.v1 import ArtifactServiceStub, ReadArtifactRequest
from celeste_image.v1.artifact_service_pb2 import (
    ArtifactChunk,
    QueryWriteStatusRequest,
    WriteArtifactRequest,
)

MIB = 1 << 20
SIZE = 64 * MIB
DROPS = 5
GROWTH_LIMIT = 32 * MIB
SWEEP_SECONDS = 3
SEED = 15


def requests(name: str, data: memoryview, start: int) -> list[WriteArtifactRequest]:
    found = [WriteArtifactRequest(name=name, size_bytes=len(data))]
    for offset in range(start, len(data), MIB):
        chunk = ArtifactChunk(offset=offset, data=bytes(data[offset : offset + MIB]))
        found.append(WriteArtifactRequest(chunk=chunk))
    return found


def dropped(error: grpc.aio.AioRpcError) -> bool:
    """Returns whether an error is a lost connection, not an answer of the server."""
    sent = any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata())
    return error.code() is grpc.StatusCode.UNAVAILABLE and not sent


async def up(address: str, name: str, data: bytes) -> list[int]:
    """Uploads the data and returns the offsets at which it resumed."""
    resumed: list[int] = []
    while True:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = ArtifactServiceStub(channel)
            start = 0
            try:
                if resumed:
                    status = await stub.QueryWriteStatus(QueryWriteStatusRequest(name=name))
                    resumed[-1] = start = status.committed_size_bytes
                response = await stub.WriteArtifact(iter(requests(name, memoryview(data), start)))
                assert response.artifact.name == name
                return resumed
            except grpc.aio.AioRpcError as error:
                if not dropped(error):
                    raise
                resumed.append(start)


async def down(address: str, name: str) -> tuple[list[int], str]:
    """Downloads the data and returns the offsets at which it resumed, and the digest."""
    resumed: list[int] = []
    digest, size = hashlib.sha256(), 0
    while True:
        async with grpc.aio.insecure_channel(address) as channel:
            try:
                async for response in ArtifactServiceStub(channel).ReadArtifact(
                    ReadArtifactRequest(name=name, offset=size)
                ):
                    digest.update(response.chunk.data)
                    size += len(response.chunk.data)
                return resumed, digest.hexdigest()
            except grpc.aio.AioRpcError as error:
                if not dropped(error):
                    raise
                resumed.append(size)


def in_mib(offsets: list[int]) -> str:
    return ", ".join(f"{offset / MIB:.1f}" for offset in offsets) + " MiB"


async def run(server: Process, target: str) -> bool:
    chance = random.Random(SEED)
    data = chance.randbytes(SIZE)
    name = f"artifacts/sha256-{hashlib.sha256(data).hexdigest()}"
    good = True
    # Offsets within the remaining bytes, so that five drops fit; the proxy counts bytes on the wire.
    drops = [chance.randrange(4 * MIB, 11 * MIB) for _ in range(DROPS)]
    # First once without drops, so that lazy loading does not count as growth.
    warm = chance.randbytes(2 * MIB)
    await up(server.address, f"artifacts/sha256-{hashlib.sha256(warm).hexdigest()}", warm)
    await down(server.address, f"artifacts/sha256-{hashlib.sha256(warm).hexdigest()}")
    for way in ("up", "down"):
        idle = server.resident()
        server.reset()
        began = time.monotonic()
        cut_uploads, cut_downloads = (drops, []) if way == "up" else ([], drops)
        async with CuttingProxy(target, list(cut_downloads), list(cut_uploads)) as proxy:
            if way == "up":
                resumed, digest = await up(proxy.address, name, data), name[17:]
            else:
                resumed, digest = await down(proxy.address, name)
        seconds = time.monotonic() - began
        growth = server.resident("VmHWM") - idle
        drops_seen = proxy.connections - 1  # gRPC may retry a dead connection, so this is not len(resumed)
        ok = digest == name[17:] and drops_seen == DROPS and growth < GROWTH_LIMIT
        good = good and ok
        print(
            f"{way:4} 64 MiB: {drops_seen} drops, resumed at {in_mib(sorted(set(resumed)))}; {seconds:.1f} s;"
            f" digest {'ok' if digest == name[17:] else 'WRONG'};"
            f" server's memory {idle / MIB:.0f} MiB, at most +{growth / MIB:.1f} MiB {'' if ok else '  NOT GOOD'}"
        )
    return good


def main() -> int:
    kind = sys.argv[1] if len(sys.argv) > 1 else "disk"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        spool, store, port = folder / "spool", folder / "store", random.SystemRandom().randrange(20_000, 32_000)
        variables = {"STORE__URL": store.as_uri(), "STORE__SPOOL": str(spool)}
        if kind == "s3":
            (folder / "s3").mkdir()
            server = stack.enter_context(s3.serving(folder / "s3"))
            variables["STORE__URL"] = server.url("bench")
            for option, value in server.options().items():
                variables[f"STORE__OPTIONS__{option.upper()}"] = value
        variables |= {
            "STORE__RESERVE_BYTES": "0",
            "STORE__SWEEP_MINUTES": str(SWEEP_SECONDS / 60),
        }
        process = stack.enter_context(celeste(port, **variables))
        print(f"store: {kind}; client limits: gRPC's own; seed {SEED}")
        good = asyncio.run(run(process, process.address))
        time.sleep(SWEEP_SECONDS + 1)
        left = os.listdir(spool) + [str(path) for path in store.rglob("*#*")]
        print(f"temporary files left after a sweep: {len(left)} {left or ''}")
        return 0 if good and not left else 1


if __name__ == "__main__":
    sys.exit(main())
