"""Local engines: `local/compose` by 1 and by 4 callers, and Real-ESRGAN beside the bare ncnn call on the same tiles.

The bare program enlarges the same tiles of the same image with the same threads, in one process, without a sandbox, a
queue or a message. `network` is ncnn alone; `image` also reads the source and writes the PNG. It runs while the server
is at rest, and the other way round.
"""

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from bench.speed.machine import cpu_seconds
from bench.speed.results import Figure, Results
from bench.speed.targets import OURS, ROOT, provider, running
from PIL import Image

from celeste_image import v1

__all__ = ["compose", "upscale"]

COMPOSE_FIGURES = (Figure("images/s", 2, better="more"), Figure("cores used", 2, better=""), Figure("p50 ms", 0))
UPSCALE_FIGURES = (Figure("seconds", 2, ratio=True), Figure("CPU s", 2, ratio=True))
PHOTO = ROOT / "docs" / "images" / "astronaut.jpg"
MODEL = "local/realesrgan-animevideov3"
SIDE, FACTOR = 512, 4
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]


def compose(*, callers: Sequence[int], rounds: int, images: int) -> Results:
    """Draws images of the default size, with a seed each.

    Args:
        callers: Numbers of callers.
        rounds: How often.
        images: Images of a round.
    """
    settings = {"callers": list(callers), "rounds": rounds, "images": images}
    results = Results("compose", "local/compose", "", COMPOSE_FIGURES, settings)
    with provider() as upstream, running("celeste", upstream.base, 4) as server:
        asyncio.run(_composed(server.base, max(callers), max(callers), 0))
        seed = 1000
        for _ in range(rounds):
            for number in callers:
                before = cpu_seconds(server.pid)
                began = time.perf_counter()
                took = asyncio.run(_composed(server.base, images, number, seed))
                seconds = time.perf_counter() - began
                used = (cpu_seconds(server.pid) - before) / seconds
                seed += images
                figures = {"images/s": images / seconds, "cores used": used}
                results.add(f"{number} callers", "celeste", figures | {"p50 ms": 1000 * sorted(took)[len(took) // 2]})
    return results.close()


async def _composed(base: str, images: int, callers: int, seed: int) -> list[float]:
    took = []
    left = iter(range(images))
    async with grpc.aio.insecure_channel(urlsplit(base).netloc, options=OPTIONS) as channel:
        stub = v1.ImageServiceStub(channel)

        async def caller() -> None:
            for number in left:
                request = v1.GenerateRequest(prompt="a red fox in the snow", model="local/compose", seed=seed + number)
                began = time.perf_counter()
                await stub.Generate(request)
                took.append(time.perf_counter() - began)

        await asyncio.gather(*(caller() for _ in range(callers)))
    return took


def upscale(*, rounds: int) -> Results:
    """Enlarges a photograph of 512 pixels a side four times, by the server and by the bare program in turn.

    The first turn of each loads the network and does not count. Without the weights, the result is absent.
    """
    results = Results("upscale", "Real-ESRGAN, 512 to 2048 pixels", "bare, image", UPSCALE_FIGURES, {"rounds": rounds})
    source = io.BytesIO()
    Image.open(PHOTO).convert("RGB").resize((SIDE, SIDE)).save(source, "PNG")
    task = _task(source.getvalue())
    if not any(Path(task["model_dir"]).glob("*.param")):
        results.absent[MODEL] = f"no weights: celeste models pull {MODEL}"
        return results.close()
    with provider() as upstream, running("celeste", upstream.base, 4) as server, _Bare(task, source) as bare:
        for number in range(rounds + 1):
            before, began = cpu_seconds(server.pid), time.perf_counter()
            asyncio.run(_upscaled(server.base, source.getvalue()))
            figures = {"seconds": time.perf_counter() - began, "CPU s": cpu_seconds(server.pid) - before}
            told = bare.run()
            if number:
                results.add("512 to 2048", "bare, image", told["image"])
                results.add("512 to 2048", "bare, network", told["network"])
                results.add("512 to 2048", "celeste", figures)
    return results.close()


def _task(source: bytes) -> dict[str, Any]:
    """Returns the task that the server gives its engine."""
    from celeste_image.core.image import ImageFacts, ImageInput, Size
    from celeste_image.core.request import Upscale
    from celeste_image.providers.local.models import MODELS
    from celeste_image.providers.local.options import LocalOptions, LocalSettings

    (model,) = (model for model in MODELS if model.card.id == MODEL)
    facts = ImageFacts("image/png", SIDE, SIDE, len(source), "", "RGB", False)
    size = Size(SIDE * FACTOR, SIDE * FACTOR)
    request = Upscale(model=MODEL, image=ImageInput(source, facts=facts), size=size)
    return model.task_for(request, LocalOptions(), threads=LocalSettings().threads)[0]


async def _upscaled(base: str, source: bytes) -> None:
    request = v1.UpscaleRequest(model=MODEL, factor=FACTOR, image=v1.ImageInput(data=source))
    async with grpc.aio.insecure_channel(urlsplit(base).netloc, options=OPTIONS) as channel:
        (image,) = (await v1.ImageServiceStub(channel).Upscale(request)).result.images
    if (image.width, image.height) != (SIDE * FACTOR, SIDE * FACTOR):
        raise ValueError(f"the result has {image.width} x {image.height} pixels")


class _Bare:
    """The bare program in its own process: a line on its standard input is a turn."""

    def __init__(self, task: dict[str, Any], source: io.BytesIO) -> None:
        from celeste_image.engines.canvas import PNG_LEVEL

        values = {name: task[name] for name in ("model_dir", "tile", "overlap", "threads", "half")} | {
            "level": PNG_LEVEL
        }
        self._given = json.dumps(values)
        self._source = source.getvalue()

    def __enter__(self) -> "_Bare":
        command = [sys.executable, "-m", "bench.speed.engines", self._given]
        environment = os.environ | OURS | {"OMP_WAIT_POLICY": "passive"}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def run(self) -> dict[str, dict[str, float]]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(self._source.hex() + "\n")
        self._process.stdin.flush()
        told: dict[str, dict[str, float]] = json.loads(self._process.stdout.readline())
        return told

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its standard input


def bare(task: dict[str, Any]) -> None:
    """Enlarges the image of each line on standard input, by ncnn and numpy alone, and prints the times."""
    import ncnn
    import numpy as np

    net = ncnn.Net()
    net.opt.num_threads = task["threads"]
    net.opt.use_vulkan_compute = False
    net.opt.use_bf16_storage = task["half"]
    param = next(Path(task["model_dir"]).glob("*.param"))
    net.load_param(str(param))
    net.load_model(str(param.with_suffix(".bin")))
    tile, overlap = task["tile"], task["overlap"]
    for line in sys.stdin:
        whole, cpu = time.perf_counter(), time.process_time()
        pixels = np.asarray(Image.open(io.BytesIO(bytes.fromhex(line))).convert("RGB"))
        padded = np.pad(pixels, ((overlap, overlap), (overlap, overlap), (0, 0)), mode="symmetric")
        grown = np.empty((SIDE * FACTOR, SIDE * FACTOR, 3), np.uint8)
        network, busy = 0.0, 0.0
        for top in range(0, SIDE, tile):
            for left in range(0, SIDE, tile):
                side = tile + 2 * overlap
                crop = np.ascontiguousarray(padded[top : top + side, left : left + side])
                began, began_cpu = time.perf_counter(), time.process_time()
                given = ncnn.Mat.from_pixels(crop, ncnn.Mat.PixelType.PIXEL_RGB, crop.shape[1], crop.shape[0])
                given.substract_mean_normalize([], [1 / 255] * 3)
                with net.create_extractor() as extractor:
                    extractor.input("data", given)
                    made = np.asarray(extractor.extract("output")[1])
                network += time.perf_counter() - began
                busy += time.process_time() - began_cpu
                colors = (made.transpose(1, 2, 0) * 255 + 0.5).clip(0, 255).astype(np.uint8)
                edge, length = FACTOR * overlap, FACTOR * tile
                inner = colors[edge : edge + length, edge : edge + length]
                grown[FACTOR * top : FACTOR * (top + tile), FACTOR * left : FACTOR * (left + tile)] = inner
        Image.fromarray(grown).save(io.BytesIO(), "PNG", compress_level=task["level"])
        image = {"seconds": time.perf_counter() - whole, "CPU s": time.process_time() - cpu}
        print(json.dumps({"image": image, "network": {"seconds": network, "CPU s": busy}}), flush=True)


if __name__ == "__main__":
    bare(json.loads(sys.argv[1]))
