"""Upscales an image tile by tile with a neural network, in this process or on an inference server."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celeste_image.engines.canvas import Box, Canvas, Size, cuts, opaque, resampled, scaled
from celeste_image.sandbox.engine import Emit

__all__ = ["Networked", "PixelArray", "Tiling", "upscale"]

PixelArray = NDArray[np.uint8]
"""RGB, as (height, width, 3)."""
Networked = Callable[[Iterable[PixelArray]], Iterator[PixelArray]]
"""Enlarges pieces with a network and yields the results in order. It may read ahead in its input."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How an image is cut into tiles.

    Attributes:
        factor: Scale factor of one network pass, per side.
        tile: Maximum side of a tile, in source pixels.
        overlap: Margin around a tile that the network also gets, in source pixels.
    """

    factor: int
    tile: int
    overlap: int


def upscale(
    source: Image.Image, target: Size, network: Networked, tiling: Tiling, emit: Emit, *, preview_count: int
) -> None:
    """Upscales an image to `target` and emits "progress" per tile, previews, and one "picture", as `Canvas` does.

    The network gets the colors only; alpha is resampled.
    """
    sizes = stages(source.size, target, tiling.factor)
    tiled = [tiles(before, after, tiling) for before, after in pairwise(sizes)]
    work = sum(area(crop) for stage in tiled for _, crop in stage)
    canvas = Canvas(source, target, emit, work=work, preview_count=preview_count)

    alpha = source.getchannel("A") if source.mode == "RGBA" else None
    picture = opaque(source)
    for size, stage in zip(sizes[1:-1], tiled[:-1], strict=True):
        grown = Image.new("RGB", size)
        for box, crop, piece in enlarged(network, picture, stage, size, tiling.factor):
            grown.paste(piece, box)
            canvas.advance(area(crop))
        picture = grown
    for box, crop, piece in enlarged(network, picture, tiled[-1], target, tiling.factor):
        whole = piece.convert(source.mode)
        if alpha:
            whole.putalpha(resampled(alpha, scaled(box, target, source.size), whole.size))
        canvas.place(whole, box)
        canvas.advance(area(crop))
    canvas.finish(passes=len(tiled))


def stages(source: Size, target: Size, factor: int) -> list[Size]:
    """Returns the sizes from source to target, with one network pass between neighbors.

    A pass makes only what the next one needs. For x6 with a factor of 4 the first pass makes x1.5. So the second makes
    x6 instead of x16, in a seventh of the time. There is always at least one pass.
    """
    sizes = [target]
    while max(sizes[0][0] / source[0], sizes[0][1] / source[1]) > factor:
        sizes.insert(0, (ceil(sizes[0][0] / factor), ceil(sizes[0][1] / factor)))
    return [source, *sizes]


def tiles(before: Size, after: Size, tiling: Tiling) -> list[tuple[Box, Box]]:
    """Returns each tile's box in the result, and the box of source pixels that the network needs for it.

    The second box may reach beyond the source. Tiles are cut in the result: each is resampled alone, so memory never
    holds more than the result.
    """
    found, overlap = [], tiling.overlap
    for box in cuts(after, ceil(before[0] / tiling.tile), ceil(before[1] / tiling.tile)):
        left, top, right, bottom = scaled(box, after, before)
        crop = floor(left) - overlap, floor(top) - overlap, ceil(right) + overlap, ceil(bottom) + overlap
        found.append((box, crop))
    return found


def enlarged(
    network: Networked, picture: Image.Image, stage: Sequence[tuple[Box, Box]], size: Size, factor: int
) -> Iterator[tuple[Box, Box, Image.Image]]:
    """Yields each tile at the next size, with its box in the result and its crop of the source."""
    made = network(seen(picture, crop) for _, crop in stage)
    for (box, crop), grown in zip(stage, made, strict=True):
        left, top, _, _ = crop
        edges = zip(scaled(box, size, picture.size), (left, top, left, top), strict=True)
        x0, y0, x1, y1 = ((edge - start) * factor for edge, start in edges)
        yield box, crop, resampled(Image.fromarray(grown), (x0, y0, x1, y1), (box[2] - box[0], box[3] - box[1]))


def seen(picture: Image.Image, crop: Box) -> PixelArray:
    """Returns the pixels in `crop`, which may reach beyond the image."""
    left, top, right, bottom = crop
    inside = max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height)
    # Beyond its border the image continues mirrored. Black would draw a frame, and a repeated last row would make the
    # large network draw streaks.
    beyond = (inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2]), (0, 0)
    return np.pad(np.asarray(picture.crop(inside)), beyond, mode="symmetric")


def area(box: Box) -> int:
    """Returns the area of a box in pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])
