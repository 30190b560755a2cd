"""Masks of any polarity become one thing: how much of each pixel is to change."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from celeste_image.core.edits import Polarity

__all__ = ["alpha", "weights"]

KEEP, CHANGE = 16, 240
"""Values of a mask up to and from which a pixel is wholly kept and changed; JPEG has no clean black and white."""

Weights = NDArray[np.float32]


def weights(mask: Image.Image, polarity: Polarity, feather: int) -> Weights:
    """Returns how much of each pixel changes, 0 to 1, rising over `feather` pixels inwards from a hole's edge."""
    gray = alpha(mask) if polarity is Polarity.TRANSPARENT else mask.convert("L")
    if polarity is not Polarity.WHITE:
        gray = ImageChops.invert(gray)
    if polarity is not Polarity.TRANSPARENT:  # what is not seen marks nothing, whatever color it has
        gray = ImageChops.multiply(gray, alpha(mask))
    weight: Weights = ((np.asarray(gray, np.float32) - KEEP) / (CHANGE - KEEP)).clip(0, 1)
    # Distance to the edge along rows and columns: that of a pixel is at most its neighbor's plus one.
    distance: Weights = np.where(weight > 0, np.float32(sum(weight.shape)), np.float32(0))
    for view in (distance, distance[::-1], distance.T, distance.T[::-1]) if feather else ():
        ramp = np.arange(len(view), dtype=np.float32)[:, np.newaxis]
        view[:] = np.minimum.accumulate(view - ramp, axis=0) + ramp
    weight *= (distance / (feather + 1)).clip(0, 1)
    return weight


def alpha(source: Image.Image) -> Image.Image:
    """Returns a picture's opacity, full where it has no alpha."""
    return source.getchannel("A") if source.mode == "RGBA" else Image.new("L", source.size, 255)
