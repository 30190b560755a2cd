"""Upscales by Lanczos resampling: no network, no new detail, done at once."""

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
    """Resamples one picture to an exact size, in strips, so that progress is real.

    Task: `width`, `height` (pixels of the result), `preview_count`, `limits` (of the source, as ImageLimits;
    may be absent). Emits "progress" per strip, at most `preview_count` times "preview", and one "picture".
    The strips give the pixels of one resize, within a rounding.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
    """
    source = open_upright(pictures[0], ImageLimits(**task.get("limits", {})))
    size = (int(task["width"]), int(task["height"]))
    canvas = Canvas(source, size, emit, work=size[1], preview_count=int(task["preview_count"]))
    # Colors weigh as much as they are seen, else hidden ones would show as a fringe. Pillow does this by
    # itself, but for the whole picture at each strip.
    weighted = source.convert("RGBa") if source.mode == "RGBA" else source
    for box in cuts(size, 1, ceil(size[1] / STRIP_ROWS)):
        height = box[3] - box[1]
        strip = resampled(weighted, scaled(box, size, source.size), (size[0], height))
        canvas.place(strip.convert(source.mode), box)
        canvas.advance(height)
    canvas.finish(passes=0)
