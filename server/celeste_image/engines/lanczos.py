"""Upscales images by Lanczos resampling: fast, without a network, without new detail."""

from collections.abc import Sequence
from math import ceil
from typing import Any

from celeste_image.engines.canvas import Canvas, cuts, resampled, scaled
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]

STRIP_ROWS = 64


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Resamples one image to an exact size, strip by strip, so that progress can be reported.

    Emits "progress" per strip, up to `preview_count` times "preview", and one "picture". The strips give the same
    pixels as one resize, up to rounding.

    Task:
        width: Width of the result in pixels.
        height: Height of the result in pixels.
        preview_count: Maximum number of previews.
        limits: Limits of the source as ImageLimits; optional.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
    """
    source = open_upright(pictures[0], ImageLimits(**task.get("limits", {})))
    size = (int(task["width"]), int(task["height"]))
    canvas = Canvas(source, size, emit, work=size[1], preview_count=int(task["preview_count"]))
    # Premultiply colors by alpha: otherwise colors of transparent pixels show as a fringe. Pillow does this on its
    # own, but it would convert the whole image for each strip.
    weighted = source.convert("RGBa") if source.mode == "RGBA" else source
    for box in cuts(size, 1, ceil(size[1] / STRIP_ROWS)):
        height = box[3] - box[1]
        strip = resampled(weighted, scaled(box, size, source.size), (size[0], height))
        canvas.place(strip.convert(source.mode), box)
        canvas.advance(height)
    canvas.finish(passes=0)
