"""Shows what callers who want to shut others out cost another caller: the time of its upscale.

    .venv/bin/python -m bench.shut_out

A server of its own has 200 silent calls and 200 silent uploads on three connections, and then, on one connection, a
hundred images of 6,300 x 6,300 pixels in 36 bytes each. A line says NOT GOOD, and the exit code is 1, if another
caller's upscale takes more than twice its usual time.
"""

import asyncio
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import grpc
from PIL import Image
from tests.support import pictures
from tests.support.ports import free_port
from tests.support.raw_http2 import RawCalls

from celeste_image import v1

GENERATE = "/celeste.image.v1.ImageService/Generate"
WRITE = "/celeste.image.v1.ArtifactService/WriteArtifact"
TIMES = 15
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


async def upscales(address: str) -> float:
    """Returns the usual time of an upscale, in seconds; each is of another image."""
    took = []
    async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
        for _ in range(TIMES):
            noise = Image.frombytes("RGB", (256, 256), os.urandom(256 * 256 * 3))
            image = v1.ImageInput(data=encoded(noise, "PNG"))
            began = time.monotonic()
            request = v1.UpscaleRequest(model="local/lanczos", factor=4, image=image)
            await v1.ImageServiceStub(channel).Upscale(request, timeout=60)
            took.append(time.monotonic() - began)
    return median(took)


async def measure(address: str) -> bool:
    """Prints the times. Returns whether all are good."""
    await upscales(address)
    usual = await upscales(address)
    print(f"usual: {1000 * usual:.0f} ms, load {os.getloadavg()[0]:.1f}", flush=True)
    is_good = True

    def say(what: str, took: float) -> None:
        nonlocal is_good
        is_good &= took <= 2 * usual
        verdict = "" if took <= 2 * usual else "   NOT GOOD"
        print(
            f"{what}: {1000 * took:.0f} ms, {took / usual:.1f} times, load {os.getloadavg()[0]:.1f}{verdict}",
            flush=True,
        )

    async with contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(RawCalls(address, 65535)) for _ in range(3)]
        for number in range(200):
            silent[number % 3].call(GENERATE, None)
        await asyncio.sleep(0.2)
        say("200 silent calls", await upscales(address))
        for number in range(200):
            silent[number % 3].call(WRITE, None)
        await asyncio.sleep(0.2)
        say("200 silent uploads too", await upscales(address))
    async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
        data = [pictures.large_webp(6300, 6300, red=number) for number in range(100)]
        stub = v1.ImageServiceStub(channel)
        requests = [v1.AnalyzeRequest(kinds=[1], image=v1.ImageInput(data=each)) for each in data]
        calls = [asyncio.ensure_future(stub.Analyze(request)) for request in requests]
        await asyncio.sleep(0.5)
        say(f"100 images of 40 megapixels in {max(map(len, data))} bytes", await upscales(address))
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    return is_good


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="celeste-bench-") as folder:
        Path(folder, "celeste.toml").write_text('[store]\nurl = "memory:///"\n[log]\nlevel = "error"\n')
        address = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "celeste_image.cli.main", "serve", "--listen", address]
        server = subprocess.Popen(command, cwd=folder)
        try:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(120)
            return 0 if asyncio.run(measure(address)) else 1
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    sys.exit(main())
