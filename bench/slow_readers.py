"""Measures the server's memory for callers that request a 64 MiB artifact and never read it.

    .venv/bin/python bench/slow_readers.py [READERS] [WRITE_SECONDS]

It prints a line a second: growth of the server's resident memory in MB and per reader in KiB, bytes in the server's
budgets, gRPC's tasks, and the time of a health check. The server runs in its own process. The readers are raw HTTP/2
with a window of 64 KiB, 100 to a connection.
"""

import asyncio
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

WINDOW = 1 << 16
READ = "/celeste.image.v1.ArtifactService/ReadArtifact"


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def serve(pipe: Connection, seconds: float) -> None:
    import uvloop
    from tests.support.servers import running

    from celeste_image.core.caller import ANONYMOUS

    async def main() -> None:
        settings = {"write_seconds": seconds, "stream_budget_bytes": 1 << 30}
        async with running(server=settings) as server:
            name = (await server.app.store.put(ANONYMOUS.tenant, os.urandom(64 << 20))).name
            pipe.send((server.address, name))
            while not pipe.poll():
                tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("HandleExceptions")]
                pipe.send((len(tasks), server.app.chunks.held_bytes + server.app.budget.held_bytes))
                await asyncio.sleep(0.2)

    uvloop.run(main())


async def run(readers: int, seconds: float, pipe: Connection, pid: int) -> None:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from tests.support.raw_http2 import RawCalls

    from celeste_image.v1 import ArtifactServiceStub, ReadArtifactRequest

    address, name = await asyncio.to_thread(pipe.recv)
    request = ReadArtifactRequest(name=name)
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        one = ReadArtifactRequest(name=name, limit=4 << 20)
        _ = [response async for response in ArtifactServiceStub(channel).ReadArtifact(one)]
        idle = resident(pid)
        print(f"idle {idle / 1e6:.0f} MB, {readers} readers, write_seconds {seconds:g}")
        connections = [RawCalls(address, WINDOW) for _ in range(0, readers, 100)]
        for number, connection in enumerate(connections):
            await connection.__aenter__()
            for _ in range(min(100, readers - 100 * number)):
                connection.call(READ, request.SerializeToString())
        began = time.monotonic()
        quiet = 0
        while quiet < 3:
            await asyncio.sleep(1)
            state = (0, 0)
            while pipe.poll():
                state = pipe.recv()
            asked = time.monotonic()
            await health.Check(health_pb2.HealthCheckRequest())
            took = time.monotonic() - asked
            growth = resident(pid) - idle
            over = sum(event.is_set() for connection in connections for event in connection.over.values())
            print(
                f"{time.monotonic() - began:5.1f} s  +{growth / 1e6:6.1f} MB  {growth / readers / 1024:6.0f} KiB each  "
                f"counted {state[1] / 1e6:6.1f} MB  handlers {state[0]:4d}  over {over:4d}  health {took * 1e3:.1f} ms",
                flush=True,
            )
            quiet += not state[0]
        for connection in connections:
            await connection.__aexit__(None, None, None)


def main() -> None:
    readers = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 5
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, seconds))
    server.start()
    try:
        asyncio.run(run(readers, seconds, ours, server.pid or 0))
    finally:
        ours.send("stop")
        server.join(10)


if __name__ == "__main__":
    main()
