"""Measures how well a picture was taken: sharpness, exposure, contrast, noise. No model, only arithmetic."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celeste_image.engines.canvas import flat
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["SEALED", "run"]

SEALED = True
SIDE = 1024
"""Pixels to which the longer side is shrunk before sharpness is measured: seen as a whole, not by its grain."""
HALF_SHARP = 0.002
"""Variance of the Laplacian at which the score is a half; see docs/engines/analyze.md for what pictures have."""
SHADOW, HIGHLIGHT = 2, 253
STRIP = 512
"""Rows at a time, so that 40 megapixels need no more memory than the picture itself."""

Levels = NDArray[np.int32]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits `analysis`: the members of ImageQuality. Transparency is seen on white. Raises as `open_upright` does."""
    picture = flat(open_upright(pictures[0], ImageLimits(**task.get("limits", {})))).convert("L")
    counts = np.asarray(picture.histogram(), np.float64)
    shares = counts / counts.sum()
    levels = np.arange(256) / 255
    brightness = float(shares @ levels)
    contrast = math.sqrt(max(0.0, float(shares @ (levels - brightness) ** 2)))
    variance = laplacian_variance(picture)
    found = {
        "sharpness": variance / (variance + HALF_SHARP),
        "laplacian_variance": variance,
        "brightness": brightness,
        "contrast": contrast,
        "clipped_shadows": float(shares[: SHADOW + 1].sum()),
        "clipped_highlights": float(shares[HIGHLIGHT:].sum()),
        "noise": noise(picture),
    }
    emit("analysis", {"part": "quality", "found": {name: round(value, 5) for name, value in found.items()}})


def laplacian_variance(picture: Image.Image) -> float:
    """Returns the variance of the Laplacian (4 neighbors) of the luminance from 0 to 1; 0 for fewer than 3 x 3 pixels.

    After Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    if max(picture.size) > SIDE:
        picture = picture.copy()
        picture.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    if min(picture.size) < 3:
        return 0.0
    light = np.asarray(picture, np.float32) / 255
    middle = light[1:-1, 1:-1]
    around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    return float((around - 4 * middle).var())


def noise(picture: Image.Image) -> float:
    """Returns the standard deviation of the noise in levels; 0 for fewer than 3 x 3 pixels.

    Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64 (1996).
    """
    width, height = picture.size
    if min(width, height) < 3:
        return 0.0
    total = 0
    for top in range(0, height - 2, STRIP):
        strip = picture.crop((0, top, width, min(top + STRIP + 2, height)))
        levels: Levels = np.asarray(strip, np.int32)
        total += int(np.abs(second_difference(second_difference(levels).T)).sum())
    return math.sqrt(math.pi / 2) * total / (6 * (width - 2) * (height - 2))


def second_difference(levels: Levels) -> Levels:
    """Returns how each value bends against the two beside it, along the first axis."""
    return levels[:-2] - 2 * levels[1:-1] + levels[2:]
