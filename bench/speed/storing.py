"""The floor under an upload that is checked and stored: bare grpc.aio chunks, SHA-256, a file and its flush.

There is nothing else in it: no owners, limits, resumed uploads or errors. A thread hashes and writes each message while
the next arrives, as Celeste does. Run it so; the first line on standard output is the port:

    .venv/bin/python -m bench.speed.storing --folder FOLDER [--port 0]
"""

import argparse
import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from bench.speed.minimal import Artifacts, serve

from celeste_image import v1

WRITE_BACK_BYTES = 8 << 20
"""As in Celeste: bytes after which the disk begins to write them."""


class Stored(Artifacts):
    """Uploads to files; downloads as in `minimal`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    async def WriteArtifact(
        self, requests: AsyncIterator[v1.WriteArtifactRequest], context: grpc.aio.ServicerContext
    ) -> v1.WriteArtifactResponse:
        digest, chunks, size, name = hashlib.sha256(), list[bytes](), 0, ""
        file = os.open(self._folder / "part", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

        def keep(data: bytes, at: int) -> None:
            os.pwrite(file, data, at)
            digest.update(data)
            if (at + len(data)) % WRITE_BACK_BYTES == 0:
                os.posix_fadvise(file, at + len(data) - WRITE_BACK_BYTES, WRITE_BACK_BYTES, os.POSIX_FADV_DONTNEED)

        kept = asyncio.ensure_future(asyncio.sleep(0))
        async for request in requests:
            name = name or request.name
            await kept
            if data := request.chunk.data:
                kept = asyncio.ensure_future(asyncio.to_thread(keep, data, size))
                chunks.append(data)
                size += len(data)
        await kept
        await asyncio.to_thread(os.fsync, file)
        os.close(file)
        os.rename(self._folder / "part", self._folder / digest.hexdigest())
        self._chunks = {name: chunks}
        return v1.WriteArtifactResponse(committed_size_bytes=size)


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--folder", type=Path, required=True)
    chosen = arguments.parse_args()
    server = grpc.aio.server()
    v1.add_ArtifactServiceServicer_to_server(Stored(chosen.folder), server)
    await serve(server, chosen.port)


if __name__ == "__main__":
    asyncio.run(main())
