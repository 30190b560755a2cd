"""Measures image quality: sharpness, exposure, contrast, noise. Plain arithmetic, without a model."""

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

__all__ = ["run"]

SIDE = 1024
"""The longer side in pixels at which sharpness is measured, so that it describes the whole image and not its grain."""
HALF_SHARP = 0.002
"""The variance of the Laplacian with a score of 0.5; docs/engines/analyze.md lists scores of example images."""
SHADOW, HIGHLIGHT = 2, 253
STRIP = 512
"""Rows processed at a time, so that 40 megapixels need little memory beside the image itself."""

Levels = NDArray[np.int32]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits one "analysis" with the fields of ImageQuality. Transparent areas count as white.

    The task has optionally `limits` (as ImageLimits).

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
    """
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
    """Returns the variance of the Laplacian (4 neighbors) of the luminance, 0 to 1; 0 below 3 x 3 pixels.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
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
    """Returns the standard deviation of the noise, in levels of 0 to 255; 0 below 3 x 3 pixels.

    Source: Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64 (1996).
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
    """Returns the discrete second derivative along the first axis; the result is 2 shorter there."""
    return levels[:-2] - 2 * levels[1:-1] + levels[2:]
