"""Fills and outpaints by PatchMatch: it copies pieces of what is there, and understands nothing of it."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import patchmatch
from numpy.typing import NDArray
from PIL import Image

from celeste_image.core.edits import Polarity
from celeste_image.core.errors import EngineMemory, InvalidRequest
from celeste_image.engines.canvas import png
from celeste_image.engines.mask import alpha, weights
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]

THIN = 4.0
"""Pixels from the middle of a stroke to its edge up to which Telea's method does: there it has no time to smear, takes
no time, and does not copy things (2026-11-28)."""
RADIUS = 3
"""Of the patches; 7 takes three times as long and copies more whole objects (2026-11-22)."""
STEP, BAND = 0.1, 0.2
"""An outpainted side grows by this share of the source at a time, from a band as deep as that share of it. All
at once and from the whole picture, PatchMatch set a second face beside the astronaut's (2026-11-22)."""

MOST = 16_000_000
"""Pixels of a hole and what is about it. Each takes 130 bytes, but the library asks for the last of them after
minutes of work (2026-11-22)."""

PixelArray = NDArray[np.uint8]
Flags = NDArray[np.bool_]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Fills what is under a mask, or new borders.

    Task: `fill` with `field` (of the edit: `erase` or `inpaint`), `polarity` and `feather` (pixels), and as pictures
    the source and its mask; or `outpaint` with `left`, `right`, `top`, `bottom` (pixels), and the source. `seed`
    (modulo 2**32), `limits` (of the pictures, as ImageLimits; may be absent). What a mask keeps is never touched, nor
    is alpha, which goes on beyond a border as it ends there. Emits "progress" (a filling has none within it: the
    library reports none), "warned" for a mask that is empty or large, "measured" with the method that filled, one
    "picture".

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        InvalidRequest: The mask has another size than the source, or leaves nothing to fill from.
        EngineMemory: The hole and its surroundings are too large.
    """
    emit("progress", {"fraction": 0.0, "phase": "decode"})
    limits = ImageLimits(**task.get("limits", {}))
    source = open_upright(pictures[0], limits)
    seed = int(task["seed"])
    patchmatch.set_random_seed(seed)  # every filling starts from it anew
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
    """Returns a picture's colors without what its mask marks."""
    place = f"{task['field']}.mask.image"
    if mask.size != source.size:
        raise InvalidRequest.at(place, f"must be as large as the image, {source.size}, is {mask.size}")
    weight = weights(mask, Polarity(task["polarity"]), int(task["feather"]))
    pixels, hole, hidden = np.array(source.convert("RGB")), weight > 0, np.asarray(alpha(source)) == 0
    if not hole.any():
        emit("warned", {"path": place, "text": "marks nothing, so nothing was changed"})
        return pixels
    if (hole | hidden).all():
        raise InvalidRequest.at(place, "marks all that can be seen, so there is nothing to fill it from")
    if (share := hole.mean()) > 0.1:
        text = f"marks {share:.0%} of the picture; large holes get copies of whole objects from beside them"
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
    """Returns colors and opacity that go on at the borders: left and right, then above and below these too."""
    sides = (top, bottom), (left, right)
    pixels = np.pad(np.asarray(source.convert("RGB")), (*sides, (0, 0)))
    opacity = np.pad(np.asarray(alpha(source)), sides, mode="edge")
    hidden = opacity == 0
    middle = slice(top, top + source.height)
    across, unseen = pixels[middle].swapaxes(0, 1), hidden[middle].T
    views = (  # turned so that each grows downwards: first row there is, rows to add, length of the source
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


def filled(pixels: PixelArray, hole: Flags, hidden: Flags) -> PixelArray:
    """Returns pixels with those in a hole replaced; hidden ones are neither filled nor copied from."""
    if hole.size > MOST:
        raise EngineMemory(f"A hole with its surroundings has at most {MOST:,} pixels here, this {hole.size:,}.")
    height, width = hole.shape
    # With a side below 16 the library fills with black, or little more.
    more = (0, max(0, 32 - height)), (0, max(0, 32 - width))
    pixels = np.pad(pixels, (*more, (0, 0)), mode="edge")
    hole, hidden = np.pad(hole & ~hidden, more, mode="edge"), np.pad(hidden, more, mode="edge")
    try:
        made = patchmatch.inpaint(pixels, hole, global_mask=hidden, patch_size=RADIUS)
    except RuntimeError as error:  # the library has this one for all
        if "Insufficient memory" in str(error) or "bad_alloc" in str(error):
            raise EngineMemory("No memory for a hole of this size; a smaller picture may pass.") from error
        raise
    # It matches gradients too, by which light may drift, step by step, beyond any color there is.
    known = pixels[~(hole | hidden)]
    made[hole] = made[hole].clip(known.min(axis=0, initial=255), known.max(axis=0, initial=0))
    return made[:height, :width]


def is_thin(hole: Flags) -> bool:
    """Tells whether a hole is of thin strokes alone, such as scratches, wires or small print."""
    return bool(cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3).max() <= THIN)


def around(hole: Flags) -> tuple[slice, slice]:
    """Returns a hole's place and a quarter of its length about it: from afar come whole objects, and cost."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    reach = max(64, int(np.ptp(rows)) // 4, int(np.ptp(columns)) // 4)
    down, across = (slice(max(0, int(at[0]) - reach), int(at[-1]) + 1 + reach) for at in (rows, columns))
    return down, across
