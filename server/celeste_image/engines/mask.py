"""Converts masks of every polarity to one form: how much of each pixel may change, 0 to 1."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from celeste_image.core.edits import Polarity

__all__ = ["alpha", "weights"]

KEEP, CHANGE = 16, 240
"""Mask values up to KEEP keep a pixel, values from CHANGE change it: JPEG blurs pure black and white."""

Weights = NDArray[np.float32]


def weights(mask: Image.Image, polarity: Polarity, feather: int) -> Weights:
    """Returns the blend weight of each pixel, 0 (kept) to 1 (changed), as an array of shape (height, width).

    The weights rise over `feather` pixels inwards from the edge of the masked area. A `feather` of 0 makes a hard edge.
    """
    gray = alpha(mask) if polarity is Polarity.TRANSPARENT else mask.convert("L")
    if polarity is not Polarity.WHITE:
        gray = ImageChops.invert(gray)
    if polarity is not Polarity.TRANSPARENT:  # transparent mask pixels mark nothing, whatever their color
        gray = ImageChops.multiply(gray, alpha(mask))
    weight: Weights = ((np.asarray(gray, np.float32) - KEEP) / (CHANGE - KEEP)).clip(0, 1)
    # The distance to the edge along rows and columns: a pixel's distance is at most its neighbor's plus one.
    distance: Weights = np.where(weight > 0, np.float32(sum(weight.shape)), np.float32(0))
    for view in (distance, distance[::-1], distance.T, distance.T[::-1]) if feather else ():
        ramp = np.arange(len(view), dtype=np.float32)[:, np.newaxis]
        view[:] = np.minimum.accumulate(view - ramp, axis=0) + ramp
    weight *= (distance / (feather + 1)).clip(0, 1)
    return weight


def alpha(source: Image.Image) -> Image.Image:
    """Returns an image's opacity, 0 to 255; an image without an alpha channel is opaque."""
    return source.getchannel("A") if source.mode == "RGBA" else Image.new("L", source.size, 255)
