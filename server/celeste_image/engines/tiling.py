"""Makes a picture larger by a network that sees it tile by tile, wherever the network runs."""

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
"""Has a network enlarge pieces, in their order: it may take some ahead of what it gives back."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a picture is cut.

    Attributes:
        factor: What one pass of the network multiplies each side by.
        tile: Side of the tiles, in pixels of the source, at most.
        overlap: Pixels of the source around a tile that the network sees too.
    """

    factor: int
    tile: int
    overlap: int


def upscale(
    source: Image.Image, target: Size, network: Networked, tiling: Tiling, emit: Emit, *, preview_count: int
) -> None:
    """Makes a picture as large as `target`, and emits it as a Canvas does: "progress" per tile, then one "picture".

    The network sees colors alone; alpha is resampled.
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
    """Returns the sizes from source to target, one network pass between each and the next.

    A pass never makes more than the next needs: for x6 at a factor of 4 the first makes x1.5, so that the second makes
    x6 and not x16, at a seventh of the time. There is always a pass: who wants none asks for Lanczos.
    """
    sizes = [target]
    while max(sizes[0][0] / source[0], sizes[0][1] / source[1]) > factor:
        sizes.insert(0, (ceil(sizes[0][0] / factor), ceil(sizes[0][1] / factor)))
    return [source, *sizes]


def tiles(before: Size, after: Size, tiling: Tiling) -> list[tuple[Box, Box]]:
    """Returns each tile's box in the result, and the source pixels that the network needs to see for it.

    The latter may reach beyond the source. Tiles are cut in the result, so that each is resampled on its own
    and nothing bigger than the result is ever held.
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
    """Yields each tile of the picture's next size, with its box and the crop that the network saw for it."""
    made = network(seen(picture, crop) for _, crop in stage)
    for (box, crop), grown in zip(stage, made, strict=True):
        left, top, _, _ = crop
        edges = zip(scaled(box, size, picture.size), (left, top, left, top), strict=True)
        x0, y0, x1, y1 = ((edge - start) * factor for edge, start in edges)
        yield box, crop, resampled(Image.fromarray(grown), (x0, y0, x1, y1), (box[2] - box[0], box[3] - box[1]))


def seen(picture: Image.Image, crop: Box) -> PixelArray:
    """Returns the pixels in `crop`, which may reach beyond the picture."""
    left, top, right, bottom = crop
    inside = max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height)
    # Beyond its border the picture goes on mirrored: black there would draw a frame, and of the last row, repeated,
    # the large network makes streaks.
    beyond = (inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2]), (0, 0)
    return np.pad(np.asarray(picture.crop(inside)), beyond, mode="symmetric")


def area(box: Box) -> int:
    """Returns a box's pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])
