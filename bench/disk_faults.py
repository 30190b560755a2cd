"""Shows what callers see when disks are full, read-only or damaged, and that the server recovers without a restart.

    .venv/bin/python bench/disk_faults.py

Needs root to mount two disks of 8 MiB (tmpfs): one for the store, one for the uploads. A single server in its own
process serves all calls. The exit code is 1 when a line has NOT GOOD.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import grpc
from bench.serving import celeste
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support import pictures

from celeste_image.v1 import (
    ArtifactServiceStub,
    GenerateRequest,
    ImageServiceStub,
    ReadArtifactRequest,
    Size,
)
from celeste_image.v1.artifact_service_pb2 import (
    ArtifactChunk,
    DeleteArtifactRequest,
    FindMissingArtifactsRequest,
    QueryWriteStatusRequest,
    WriteArtifactRequest,
)
from celeste_image.wire.status import error_from_trailers

MIB = 1 << 20
RESERVE = MIB // 2


def name_of(data: bytes) -> str:
    return f"artifacts/sha256-{hashlib.sha256(data).hexdigest()}"


class Disk:
    """A small disk that is mounted for the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, leave: int) -> None:
        """Fills the disk until `leave` bytes are free."""
        disk = os.statvfs(self.folder)
        self._filler.write_bytes(bytes(disk.f_bavail * disk.f_frsize - leave))

    def free(self) -> None:
        self._filler.unlink()

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Makes the folder read-only, by a second mount: the kernel refuses the first one while files are open."""
        subprocess.run(["mount", "--bind", str(self.folder), str(self.folder)], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(self.folder)], check=True)
            yield
        finally:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "celeste-bench", str(folder)], check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class Caller:
    """Makes calls, prints their outcomes and compares these with the expected ones."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.artifacts = ArtifactServiceStub(channel)
        self.images = ImageServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)
        self.good = True
        self._seed = 0

    async def see(self, what: str, call: Awaitable[str], expected: str) -> None:
        began = time.monotonic()
        try:
            said = seen = await call
        except grpc.aio.AioRpcError as error:
            ours = error_from_trailers(error.code(), error.details() or "", error.trailing_metadata())
            seen = f"{error.code().name} {ours.reason}"
            said = seen + (f", retry in {ours.retry_after:.0f} s" if ours.retry_after else "")
        milliseconds = (time.monotonic() - began) * 1000
        good = seen == expected
        self.good = self.good and good
        print(f"  {what:34} {said}  [{milliseconds:.0f} ms]{'' if good else f'  NOT GOOD, wanted {expected}'}")

    async def generate(self) -> str:
        self._seed += 1
        request = GenerateRequest(prompt="a fox", seed=self._seed, size=Size(width=256, height=256))
        result = (await self.images.Generate(request)).result
        data = await self._bytes(result.images[0].artifact)
        return "ok" if name_of(data) == result.images[0].artifact else "other bytes"

    async def write(self, data: bytes, start: int = 0) -> str:
        requests = [WriteArtifactRequest(name=name_of(data), size_bytes=len(data))]
        for offset in range(start, len(data), MIB):
            chunk = ArtifactChunk(offset=offset, data=data[offset : offset + MIB])
            requests.append(WriteArtifactRequest(chunk=chunk))
        await self.artifacts.WriteArtifact(iter(requests))
        return "ok"

    async def resume(self, data: bytes) -> str:
        status = await self.artifacts.QueryWriteStatus(QueryWriteStatusRequest(name=name_of(data)))
        await self.write(data, status.committed_size_bytes)
        return f"ok, from {status.committed_size_bytes / MIB:g} MiB"

    async def read(self, data: bytes) -> str:
        return "ok" if await self._bytes(name_of(data)) == data else "other bytes"

    async def delete(self, data: bytes) -> str:
        await self.artifacts.DeleteArtifact(DeleteArtifactRequest(name=name_of(data)))
        return "ok"

    async def missing(self, data: bytes) -> str:
        request = FindMissingArtifactsRequest(names=[name_of(data)])
        return "missing" if (await self.artifacts.FindMissingArtifacts(request)).missing else "there"

    async def serving(self) -> str:
        status = (await self.health.Check(health_pb2.HealthCheckRequest())).status
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))

    async def _bytes(self, name: str) -> bytes:
        return b"".join([r.chunk.data async for r in self.artifacts.ReadArtifact(ReadArtifactRequest(name=name))])


FULL, AWAY, LOST = "RESOURCE_EXHAUSTED STORAGE_FULL", "UNAVAILABLE STORAGE_UNAVAILABLE", "DATA_LOSS ARTIFACT_DAMAGED"


async def run(address: str, store: Disk, spool: Disk) -> bool:
    chance = random.Random(6)
    photo, large, larger = pictures.noise(400, 300), chance.randbytes(3 * MIB), chance.randbytes(3 * MIB)
    async with grpc.aio.insecure_channel(address) as channel:
        caller = Caller(channel)
        see = caller.see
        print("no fault")
        await see("upload of a photo", caller.write(photo), "ok")
        await see("generate", caller.generate(), "ok")

        print("store full except 1 MiB, spool with room")
        store.fill(leave=MIB)
        await see("upload of 3 MiB", caller.write(large), FULL)
        await see("the photo", caller.read(photo), "ok")
        print("store full")
        store.free()
        store.fill(leave=0)
        await see("generate, refused before work", caller.generate(), FULL)
        await see("upload", caller.write(b"another"), FULL)
        await see("the photo", caller.read(photo), "ok")
        print("space is free again")
        store.free()
        await see("the upload of 3 MiB resumes", caller.resume(large), "ok, from 3 MiB")
        await see("the uploaded bytes", caller.read(large), "ok")
        await see("generate", caller.generate(), "ok")

        print("spool full except 2 MiB, store with room")
        spool.fill(leave=2 * MIB)
        await see("upload of 3 MiB", caller.write(larger), FULL)
        await see("generate", caller.generate(), "ok")
        await see("the photo", caller.read(photo), "ok")
        print("space is free again")
        spool.free()
        await see("the upload resumes", caller.resume(larger), "ok, from 2 MiB")
        await see("the uploaded bytes", caller.read(larger), "ok")

        print("store read-only")
        with store.read_only():
            await see("generate, refused before work", caller.generate(), AWAY)
            await see("upload", caller.write(b"another"), AWAY)
            await see("delete", caller.delete(photo), AWAY)
            await see("the photo", caller.read(photo), "ok")
        print("spool read-only")
        with spool.read_only():
            await see("upload", caller.write(b"another"), AWAY)
            await see("generate", caller.generate(), "ok")
        print("both are writable again")
        await see("upload", caller.write(b"another"), "ok")
        await see("generate", caller.generate(), "ok")

        sha256 = name_of(photo)[17:]
        blob = store.folder / "artifacts" / "sha256" / sha256[:2] / sha256
        flipped = bytearray(photo)
        flipped[len(photo) // 2] ^= 1
        for what, content in (("one bit flipped", bytes(flipped)), ("cut", photo[:-9]), ("empty", b""), ("lost", None)):
            print(f"the photo's bytes on the disk: {what}")
            if content is None:
                blob.unlink()
            else:
                blob.write_bytes(content)
            await see("the photo", caller.read(photo), LOST)
            await see("the photo, asked again", caller.read(photo), LOST)
            await see("is it missing?", caller.missing(photo), "missing")
            await see("upload of the photo", caller.write(photo), "ok")
            await see("the photo", caller.read(photo), "ok")

        print("at the end")
        await see("health", caller.serving(), "SERVING")
    left = os.listdir(spool.folder) + [str(path) for path in store.folder.rglob("*#*")]
    print(f"  unfinished files: {len(left)} {left or ''}")
    return caller.good and not left


def main() -> int:
    if os.geteuid():
        print("needs root to mount its disks", file=sys.stderr)
        return 2
    with (
        tempfile.TemporaryDirectory() as folder,
        disk(Path(folder, "store")) as store,
        disk(Path(folder, "spool")) as spool,
        celeste(
            random.SystemRandom().randrange(20_000, 32_000),
            STORE__URL=(store.folder / "artifacts").as_uri(),
            STORE__SPOOL=str(spool.folder),
            STORE__RESERVE_BYTES=str(RESERVE),
        ) as server,
    ):
        return 0 if asyncio.run(run(server.address, store, spool)) else 1


if __name__ == "__main__":
    sys.exit(main())
