"""Upscales with a Real-ESRGAN network on ncnn, tile by tile, on the CPU."""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celeste_image.core.errors import EngineMemory, WeightsMissing
from celeste_image.guard.decode import open_upright
from celeste_image.guard.limits import ImageLimits
from celeste_image.providers.local.engines.canvas import Box, Canvas, Size, cuts, opaque, resampled, scaled
from celeste_image.worker.engine import Emit

__all__ = ["run"]

FACTOR = 4
"""What one pass of the network multiplies each side by."""

Pixels = NDArray[np.uint8]
Network = Callable[[Pixels], Pixels]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Upscales one picture to an exact size.

    Task: `model_dir` (a folder with one .param and its .bin), `width`, `height` (pixels of the result),
    `tile` and `overlap` (pixels of the source; memory goes by their square), `half` (whether the network
    computes in 16 bits), `threads`, `preview_count`, `limits` (of the source, as ImageLimits; may be absent).
    Emits "progress" per tile, at most `preview_count` times "preview", and one "picture".

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        WeightsMissing: `model_dir` has no weights that load.
        EngineMemory: There is no memory for a tile.
    """
    network = load(task["model_dir"], int(task["threads"]), bool(task["half"]))
    source = open_upright(pictures[0], ImageLimits(**task.get("limits", {})))
    sizes = stages(source.size, (int(task["width"]), int(task["height"])))
    tile, overlap = int(task["tile"]), int(task["overlap"])
    tiled = [tiles(before, after, tile, overlap) for before, after in pairwise(sizes)]
    work = sum(area(crop) for stage in tiled for _, crop in stage)
    canvas = Canvas(source, sizes[-1], emit, work=work, preview_count=int(task["preview_count"]))

    alpha = source.getchannel("A") if source.mode == "RGBA" else None
    picture = opaque(source)
    for size, stage in zip(sizes[1:-1], tiled[:-1], strict=True):
        grown = Image.new("RGB", size)
        for box, crop in stage:
            grown.paste(enlarge(network, picture, box, crop, size), box)
            canvas.advance(area(crop))
        picture = grown
    for box, crop in tiled[-1]:
        piece = enlarge(network, picture, box, crop, sizes[-1]).convert(source.mode)
        if alpha:
            piece.putalpha(resampled(alpha, scaled(box, sizes[-1], source.size), piece.size))
        canvas.place(piece, box)
        canvas.advance(area(crop))
    canvas.finish(passes=len(tiled))


def stages(source: Size, target: Size) -> list[Size]:
    """Returns the sizes from source to target, one network pass between each and the next.

    A pass never makes more than the next needs: for x6 the first makes x1.5, so that the second makes x6 and
    not x16, at a seventh of the time. There is always a pass: who wants none asks for Lanczos.
    """
    sizes = [target]
    while max(sizes[0][0] / source[0], sizes[0][1] / source[1]) > FACTOR:
        sizes.insert(0, (ceil(sizes[0][0] / FACTOR), ceil(sizes[0][1] / FACTOR)))
    return [source, *sizes]


def tiles(before: Size, after: Size, tile: int, overlap: int) -> list[tuple[Box, Box]]:
    """Returns each tile's box in the result, and the source pixels that the network needs to see for it.

    The latter may reach beyond the source. Tiles are cut in the result, so that each is resampled on its own
    and nothing bigger than the result is ever held.
    """
    found = []
    for box in cuts(after, ceil(before[0] / tile), ceil(before[1] / tile)):
        left, top, right, bottom = scaled(box, after, before)
        crop = floor(left) - overlap, floor(top) - overlap, ceil(right) + overlap, ceil(bottom) + overlap
        found.append((box, crop))
    return found


def enlarge(network: Network, picture: Image.Image, box: Box, crop: Box, size: Size) -> Image.Image:
    """Returns the tile at `box` of the picture's next size, from the pixels in `crop` of the picture."""
    left, top, right, bottom = crop
    inside = max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height)
    # Beyond its border the picture goes on as it ends: black there would draw a frame.
    beyond = (inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2]), (0, 0)
    grown = Image.fromarray(network(np.pad(np.asarray(picture.crop(inside)), beyond, mode="edge")))
    edges = zip(scaled(box, size, picture.size), (left, top, left, top), strict=True)
    x0, y0, x1, y1 = ((edge - start) * FACTOR for edge, start in edges)
    return resampled(grown, (x0, y0, x1, y1), (box[2] - box[0], box[3] - box[1]))


def area(box: Box) -> int:
    """Returns a box's pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


@lru_cache(maxsize=1)
def load(model_dir: str, threads: int, half: bool) -> Network:
    """Returns a function from RGB pixels to four times as many each way; it keeps the loaded network.

    With `half` values between layers have 16 bits: x4plus takes a third less time and 120 MB less, and what it
    makes has 54 dB against that of 32 bits (2026-11-28).

    Raises:
        WeightsMissing: The folder has no weights that load.
    """
    # Threads that wait must sleep: spinning tripled CPU time on a busy machine. Read once, by the import.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import ncnn

    command = {"command": f"celeste models pull local/{Path(model_dir).name}"}
    param = next(Path(model_dir).glob("*.param"), None)
    if param is None or not param.with_suffix(".bin").is_file():
        raise WeightsMissing("the weights are not on this machine", metadata=command)
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.opt.use_bf16_storage = half
    if net.load_param(str(param)) or net.load_model(str(param.with_suffix(".bin"))):
        raise WeightsMissing("the weights on this machine are damaged", metadata=command)

    def network(pixels: Pixels) -> Pixels:
        height, width, _ = pixels.shape
        # from_pixels copies; a Mat made of an array would not, and without .clone() reads freed memory.
        given = ncnn.Mat.from_pixels(pixels, ncnn.Mat.PixelType.PIXEL_RGB, width, height)
        given.substract_mean_normalize([], [1 / 255] * 3)
        with net.create_extractor() as extractor:
            extractor.input("data", given)
            code, made = extractor.extract("output")
        if code:
            raise EngineMemory(f"No memory for a tile of {width} x {height} pixels; a smaller tile may pass.")
        colours = np.asarray(made).transpose(1, 2, 0) * 255 + 0.5
        return np.ascontiguousarray(colours.clip(0, 255).astype(np.uint8))

    return network
