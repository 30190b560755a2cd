"""Measures the cost of hostile requests: growth of the server's memory, and CPU time, per byte of the request.

    .venv/bin/python bench/amplification.py

Each shape has two requests: one of the largest size that the server accepts (4 MiB), and one with the largest number
of fields that it accepts. Growth is the peak of the server's resident memory minus the memory before the request, so it
includes the request itself. Below 1 MB, growth is mostly pages of the kernel and the allocator. CPU time is the
server's; for a small request it is mostly the cost of any call (the row "hello").
"""

import ctypes
import multiprocessing
import os
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

IMAGES, ARTIFACTS, MODELS = (f"/celeste.image.v1.{name}Service/" for name in ("Image", "Artifact", "Model"))
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health/Check"
LARGE, FIELDS = 4_190_000, 4_900
REPEATED = 9


def length(number: int, content: bytes) -> bytes:
    size, digits = len(content), bytearray()
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    tag = number << 3 | 2
    return (bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])) + bytes([*digits, size]) + content


def options(struct: bytes) -> bytes:
    """Returns a GenerateRequest whose options for the provider `local` are `struct`."""
    return length(4, b"a") + length(3, length(2, length(1, b"local") + length(2, struct)))


def nested(depth: int) -> bytes:
    value = b"\x20\x01"
    for _ in range(depth):
        value = length(6, length(1, value))
    return options(length(1, length(1, b"k") + length(2, value)))


def keys(count: int) -> bytes:
    return b"".join(length(1, length(1, b"%06x" % number) + length(2, b"\x20\x01")) for number in range(count))


Shape = tuple[str, str, list[bytes]]


def repeated(around: object, piece: bytes, fields: int = 1) -> list[bytes]:
    """Returns the two requests that repeat a piece of `fields` fields: the largest, and the one with most fields."""
    make = around or (lambda content: content)
    return [make(piece * count) for count in (LARGE // len(piece), FIELDS // fields)]  # type: ignore[operator]


def shapes() -> list[Shape]:
    from tests.support import pictures

    from celeste_image.v1 import AnalyzeRequest, ImageInput

    picture = pictures.noise(1150, 1150)
    prompt = length(4, b"a")
    return [
        ("hello", MODELS + "ListProviders", [b""]),
        ("image", IMAGES + "Analyze", [AnalyzeRequest(image=ImageInput(data=picture)).SerializeToString()]),
        ("long prompt", IMAGES + "Generate", [length(4, b"a" * LARGE), length(4, b"a" * 32_000)]),
        (
            "empty values in a list",
            IMAGES + "Generate",
            repeated(lambda c: options(length(1, length(1, b"k") + length(2, length(6, c)))), b"\x0a\x00"),
        ),
        ("empty keys", IMAGES + "Generate", repeated(options, b"\x0a\x00")),
        ("100,000 keys", IMAGES + "Generate", [options(keys(100_000)), options(keys(FIELDS // 4))]),
        ("nested values", IMAGES + "Generate", [nested(1_000), nested(40)]),
        ("empty providers", IMAGES + "Generate", repeated(lambda c: prompt + length(3, c), b"\x12\x00")),
        ("same message again", IMAGES + "Generate", repeated(None, b"\x32\x00")),
        ("edits in turn", IMAGES + "Edit", repeated(None, length(16, b"") + length(17, b"") + length(18, b""), 3)),
        ("kinds in turn", IMAGES + "Stream", repeated(lambda c: length(1, c), b"\x0a\x00\x12\x00", 2)),
        ("kinds, packed", IMAGES + "Analyze", repeated(lambda c: length(5, c), b"\x01")),
        ("unknown numbers", IMAGES + "Generate", repeated(None, b"\x78\x01")),
        ("unknown groups", IMAGES + "Generate", repeated(None, b"\x7b\x7c", 2)),
        ("unknown texts", IMAGES + "Upscale", repeated(None, b"\x7a\x00")),
        ("empty names", ARTIFACTS + "FindMissingArtifacts", repeated(None, b"\x0a\x00")),
        ("unknown numbers", ARTIFACTS + "ReadArtifact", repeated(None, b"\x78\x01")),
        ("unknown numbers", ARTIFACTS + "GetArtifact", repeated(None, b"\x78\x01")),
        ("unknown numbers", ARTIFACTS + "ListArtifacts", repeated(None, b"\x78\x01")),
        ("unknown numbers", ARTIFACTS + "DeleteArtifact", repeated(None, b"\x78\x01")),
        ("unknown numbers", ARTIFACTS + "QueryWriteStatus", repeated(None, b"\x78\x01")),
        ("chunks in turn", ARTIFACTS + "WriteArtifact", repeated(None, b"\x1a\x00")),
        ("unknown numbers", MODELS + "ListModels", repeated(None, b"\x78\x01")),
        ("unknown numbers", MODELS + "GetModel", repeated(None, b"\x78\x01")),
        ("unknown numbers", MODELS + "GetServerInfo", repeated(None, b"\x78\x01")),
        ("kinds in turn", REFLECTION, repeated(None, b"\x2a\x00\x1a\x00", 2)),
        ("unknown numbers", HEALTH, repeated(None, b"\x78\x01")),
    ]


def serve(pipe: Connection) -> None:
    import asyncio

    import uvloop
    from tests.support.servers import running

    async def main() -> None:
        async with running() as server:
            pipe.send(server.address)
            while await asyncio.to_thread(pipe.recv) == "trim":  # freed pages would hide growth
                pipe.send(ctypes.CDLL(None).malloc_trim(0))

    uvloop.run(main())


def memory(pid: int, line: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(row.split()[1]) for row in text.splitlines() if row.startswith(line)) * 1024


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a process, without its children, to the nanosecond."""
    return (
        sum(int(Path(task, "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9
    )


def measure(call: object, data: bytes, pid: int, pipe: Connection) -> tuple[int, float, str]:
    """Returns the largest growth in bytes, the median of the CPU seconds, and the status code."""
    import grpc

    def once() -> str:
        try:
            for _ in call(iter([data])):  # type: ignore[operator]
                pass
        except grpc.RpcError as error:
            return str(error.code().name)  # type: ignore[attr-defined]
        return "OK"

    growth, seconds = [], []
    for _ in range(REPEATED):
        time.sleep(0.02)
        pipe.send("trim")
        pipe.recv()
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        before, began = memory(pid, "VmRSS"), cpu_seconds(pid)
        code = once()
        seconds.append(cpu_seconds(pid) - began)
        growth.append(memory(pid, "VmHWM") - before)
    return max(growth), statistics.median(seconds), code


def main() -> None:
    import grpc

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,))
    server.start()
    address, pid = ours.recv(), server.pid or 0
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
    print(f"{'call':24} {'shape':24} {'bytes':>9} {'growth':>10} {'times':>6} {'CPU':>9} {'per MB':>10}")
    try:
        with grpc.insecure_channel(address) as channel:
            for shape, method, requests in shapes():
                call = channel.stream_stream(method)
                for data in requests:
                    growth, seconds, code = measure(call, data, pid, ours)
                    size = max(1, len(data))
                    print(
                        f"{method.rpartition('/')[2]:24} {shape:24} {len(data):9,} {growth / 1e6:7.2f} MB "
                        f"{growth / size:6.1f} {seconds * 1e3:6.1f} ms {seconds * 1e9 / size:7,.0f} ms  {code}",
                        flush=True,
                    )
    finally:
        ours.send("stop")
        server.join(10)


if __name__ == "__main__":
    main()
