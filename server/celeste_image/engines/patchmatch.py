"""Fills masked areas and extends borders with PatchMatch, which copies pieces of the image itself."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import patchmatch
from numpy.typing import NDArray
from PIL import Image

from celeste_image.core.edits import Polarity, nothing_marked
from celeste_image.core.errors import EngineMemory, InvalidRequest
from celeste_image.engines.canvas import png
from celeste_image.engines.mask import alpha, weights
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.pixels_engine import found_in
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]

THIN = 4.0
"""Strokes with at most this half width in pixels are filled by Telea's method. On thin strokes it is fast, hardly
smears, and copies no objects (2026-11-28)."""
RADIUS = 3
"""The radius of the patches in pixels; 7 takes three times as long and copies more whole objects (2026-11-22)."""
STEP, BAND = 0.1, 0.2
"""Outpainting adds STEP of the source at a time, copied from a band with a depth of BAND of the source. In one step and
from the whole image, PatchMatch drew a second face beside the astronaut's (2026-11-22)."""

MOST = 16_000_000
"""Maximum pixels of a hole with its surroundings. Each pixel takes 130 bytes, and the library allocates the last of
them after minutes of work (2026-11-22)."""

PixelArray = NDArray[np.uint8]
Flags = NDArray[np.bool_]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Fills the area under a mask, or adds and fills borders.

    Pixels outside of the mask and alpha stay unchanged; a new border repeats the alpha of the edge. Emits "progress",
    "warned" about a large mask, "measured" with the method used, and one "picture". A single filling has no
    progress, since the library reports none.

    Task:
        fill: `field` (the edit: `erase` or `inpaint`), `polarity`, and `feather` in pixels. The images are the source
            and its mask. A task has exactly one of fill and outpaint.
        outpaint: `left`, `right`, `top` and `bottom` in pixels. The image is the source.
        seed: Used modulo 2**32.
        limits: Limits of the images as ImageLimits; optional.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        InvalidRequest: The mask differs in size from the source, marks nothing, or covers every visible pixel.
        EngineMemory: The hole with its surroundings is too large.
    """
    emit("progress", {"fraction": 0.0, "phase": "decode"})
    limits = ImageLimits(**task.get("limits", {}))
    source = open_upright(pictures[0], limits)
    seed = int(task["seed"])
    patchmatch.set_random_seed(seed)  # each filling restarts from this seed
    emit("progress", {"fraction": 0.1, "phase": "fill"})
    opacity = alpha(source)
    if "fill" in task:
        pixels = masked(source, open_upright(pictures[1], limits), task["fill"], emit)
    else:
        pixels, opacity = outpainted(source, emit, **task["outpaint"])
    made = Image.fromarray(pixels).convert(source.mode)
    if made.mode == "RGBA":
        made.putalpha(opacity)
    emit("progress", {"fraction": 0.9, "phase": "encode"})
    encoded = png(made)
    emit("progress", {"fraction": 1.0, "phase": "encode"})
    facts = {"media_type": "image/png", "width": made.width, "height": made.height, "seed": seed}
    emit("picture", facts, encoded)


def masked(source: Image.Image, mask: Image.Image, task: dict[str, Any], emit: Emit) -> PixelArray:
    """Returns an image's colors with the masked area filled."""
    place = f"{task['field']}.mask.image"
    if mask.size != source.size:
        sizes = "{} x {} pixels; it is {} x {}".format(*source.size, *mask.size)
        raise InvalidRequest.at(place, f"must be as large as the image: {sizes}")
    polarity, feather = Polarity(task["polarity"]), int(task["feather"])
    weight = weights(mask, polarity, feather)
    pixels, hole, hidden = np.array(source.convert("RGB")), weight > 0, np.asarray(alpha(source)) == 0
    if not hole.any():
        raise InvalidRequest.at(place, nothing_marked(polarity, feather, found_in(mask, polarity)))
    if (hole | hidden).all():
        raise InvalidRequest.at(place, "must leave visible pixels unmarked, to fill the marked area from")
    if (share := hole.mean()) > 0.1:
        text = f"marks {share:.0%} of the image; large areas are filled with copies of whole objects nearby"
        emit("warned", {"path": place, "text": text})
    at = around(hole)
    if (hole | hidden)[at].all():
        at = (slice(None), slice(None))
    before, soft = pixels[at], weight[at][..., np.newaxis]
    if thin := not hidden[at].any() and is_thin(hole[at]):
        after = cv2.inpaint(before, hole[at].astype(np.uint8), THIN, cv2.INPAINT_TELEA)
    else:
        after = filled(before, hole[at], hidden[at])
    emit("measured", {"path": task["field"], "value": {"method": "telea" if thin else "patchmatch"}})
    pixels[at] = np.rint(before * (1 - soft) + after * soft)
    return pixels


def outpainted(
    source: Image.Image, emit: Emit, left: int, right: int, top: int, bottom: int
) -> tuple[PixelArray, Image.Image]:
    """Returns colors and opacity of the extended image. Left and right grow first, then top and bottom."""
    sides = (top, bottom), (left, right)
    pixels = np.pad(np.asarray(source.convert("RGB")), (*sides, (0, 0)))
    opacity = np.pad(np.asarray(alpha(source)), sides, mode="edge")
    hidden = opacity == 0
    middle = slice(top, top + source.height)
    across, unseen = pixels[middle].swapaxes(0, 1), hidden[middle].T
    views = (  # each view is turned to grow downwards: its first known row, rows to add, length of the source
        (across[::-1], unseen[::-1], right, left, source.width),
        (across, unseen, 0, right, source.width),
        (pixels[::-1], hidden[::-1], bottom, top, source.height),
        (pixels, hidden, 0, bottom, source.height),
    )
    done, work = 0, opacity.size - source.width * source.height
    for view, view_hidden, first, rows, length in views:
        step, band = max(32, round(length * STEP)), max(64, round(length * BAND))
        for start in range(len(view) - rows, len(view), step):
            window = slice(max(first, start - band), start + step)
            new = np.zeros_like(view_hidden[window])
            new[start - window.start :] = True
            view[window] = filled(view[window], new, view_hidden[window])
            done += int(new.sum())
            emit("progress", {"fraction": 0.1 + 0.8 * done / work, "phase": "fill"})
    return pixels, Image.fromarray(opacity)


def filled(
    pixels: PixelArray, hole: Flags, hidden: Flags, inpaint: Callable[..., PixelArray] = patchmatch.inpaint
) -> PixelArray:
    """Returns pixels with the hole filled by `inpaint`. Hidden pixels are neither filled nor copied from.

    Raises:
        EngineMemory: The array has more than MOST pixels, or memory ran out.
    """
    if hole.size > MOST:
        text = f"The marked area with its surroundings may have at most {MOST:,} pixels; it has {hole.size:,}."
        raise EngineMemory(text)
    height, width = hole.shape
    # Below a side of 16 pixels the library fills with black or nearly black.
    more = (0, max(0, 32 - height)), (0, max(0, 32 - width))
    pixels = np.pad(pixels, (*more, (0, 0)), mode="edge")
    hole, hidden = np.pad(hole & ~hidden, more, mode="edge"), np.pad(hidden, more, mode="edge")
    try:
        made = inpaint(pixels, hole, global_mask=hidden, patch_size=RADIUS)
    except RuntimeError as error:  # the library raises RuntimeError for every failure
        if "Insufficient memory" in str(error) or "bad_alloc" in str(error):
            raise EngineMemory("The marked area does not fit in memory; try a smaller image.") from error
        raise
    # PatchMatch also matches gradients, so brightness can drift, step by step, beyond the range of the image.
    known = pixels[~(hole | hidden)]
    made[hole] = made[hole].clip(known.min(axis=0, initial=255), known.max(axis=0, initial=0))
    return made[:height, :width]


def is_thin(hole: Flags) -> bool:
    """Returns whether a hole consists of thin strokes only, such as scratches, wires or small print."""
    return bool(cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3).max() <= THIN)


def around(hole: Flags) -> tuple[slice, slice]:
    """Returns the rows and columns of a hole with a margin of a quarter of its size, at least 64 pixels.

    A larger margin costs time, and copies whole objects from farther away.
    """
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    reach = max(64, int(np.ptp(rows)) // 4, int(np.ptp(columns)) // 4)
    down, across = (slice(max(0, int(at[0]) - reach), int(at[-1]) + 1 + reach) for at in (rows, columns))
    return down, across
