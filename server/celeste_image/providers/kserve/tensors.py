"""Converts pixels to tensors and tensors to pixels, mattes and scores; runs in worker processes only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from celeste_image.core.errors import ProviderFailed
from celeste_image.engines.tiling import PixelArray
from celeste_image.providers.kserve.forms import Form

__all__ = ["matte_of", "pixels_of", "scores_of", "tensor_of"]

TYPES = {"FP32": "<f4", "FP16": "<f2", "UINT8": "|u1"}
"""NumPy types of the protocol's datatypes; raw bytes are little-endian."""
MOST = 255


def tensor_of(pixels: PixelArray, form: Form) -> tuple[list[int], bytes]:
    """Returns the shape and raw bytes of the tensor for RGB pixels of shape (height, width, 3).

    If the form's size is larger than the image, the pixels at the right and lower edge are repeated.
    """
    height, width, _ = pixels.shape
    below, beside = max(0, form.height - height), max(0, form.width - width)
    if below or beside:
        pixels = np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="edge")
    if form.colors == "BGR":
        pixels = pixels[:, :, ::-1]
    values: NDArray[np.generic] = pixels
    if not form.is_plain:
        black, white = np.array(form.black), np.array(form.white)
        scaled = pixels.astype(np.float32) * ((white - black) / MOST).astype(np.float32) + black.astype(np.float32)
        values = scaled.round().clip(0, MOST) if form.datatype == "UINT8" else scaled
    values = values.transpose([("HWC").index(axis) for axis in form.layout.removeprefix("N")])
    if form.layout.startswith("N"):
        values = values[np.newaxis]
    return list(values.shape), values.astype(TYPES[form.datatype]).tobytes()


def pixels_of(data: bytes, datatype: str, shape: Sequence[int], form: Form) -> PixelArray:
    """Returns the RGB pixels, of shape (height, width, 3), in a tensor from a server.

    Raises:
        ProviderFailed: The tensor does not have the form.
    """
    given = f"a tensor of {datatype} and shape {list(shape)}"
    if datatype != form.datatype:
        raise ProviderFailed(f"the model returned {given}, not of {form.datatype}")
    if len(shape) != len(form.layout) or shape[form.layout.index("C")] != 3 or min(shape) < 1:
        raise ProviderFailed(f"the model returned {given}, which is not an image of layout {form.layout}")
    if form.layout.startswith("N") and shape[0] != 1:
        raise ProviderFailed(f"the model returned {given}, which is more than one image")
    values: NDArray[np.generic] = np.frombuffer(data, TYPES[datatype])
    if values.size != np.prod(shape):
        raise ProviderFailed(f"the model returned {given} with {values.size} values")
    axes = form.layout.removeprefix("N")
    values = values.reshape(shape[-3:]).transpose([axes.index(axis) for axis in "HWC"])
    if not form.is_plain:
        black, white = np.array(form.black), np.array(form.white)
        steps = (MOST / (white - black)).astype(np.float32)
        values = (values.astype(np.float32) - black.astype(np.float32)) * steps + 0.5
        if not np.isfinite(values).all():
            raise ProviderFailed(f"the model returned {given} with values that are not numbers")
        values = values.clip(0, MOST)
    if form.colors == "BGR":
        values = values[:, :, ::-1]
    return np.ascontiguousarray(values, dtype=np.uint8)


def matte_of(data: bytes, datatype: str, shape: Sequence[int], form: str) -> PixelArray:
    """Returns the matte, of shape (height, width), in a tensor from a server: 255 is foreground, 0 is background.

    `form` says what the values are: `probabilities` or `logits`.

    Raises:
        ProviderFailed: The tensor does not hold exactly one plane of such values.
    """
    plane = [side for side in shape[-3:] if side != 1] if len(shape) > 1 else []
    if len(plane) != 2 or np.prod(shape) != plane[0] * plane[1]:
        raise ProviderFailed(f"the model returned a tensor of shape {list(shape)}, which is not one plane")
    values = scores_of(data, datatype, shape, "independent" if form == "logits" else form)
    return (values.reshape(plane) * MOST + 0.5).astype(np.uint8)


def scores_of(data: bytes, datatype: str, shape: Sequence[int], form: str) -> NDArray[np.float32]:
    """Returns the scores of the classes, from 0 to 1, in a tensor of any shape from a server.

    `form` says what the values are: `probabilities`; `logits` of classes that exclude each other; or `independent`,
    logits of classes that can occur together.

    Raises:
        ProviderFailed: The tensor does not hold such values.
    """
    if datatype not in TYPES or datatype == "UINT8":
        raise ProviderFailed(f"the model returned scores of {datatype}, not of FP32 or FP16")
    values = np.frombuffer(data, TYPES[datatype]).astype(np.float32)
    if not values.size or values.size != np.prod(shape) or not np.isfinite(values).all():
        raise ProviderFailed(
            f"the model returned {values.size} scores in shape {list(shape)}, or values that are not numbers"
        )
    match form:
        case "logits":
            values = np.exp(values - values.max())
            values /= values.sum()
        case "independent":
            values = 1 / (1 + np.exp(-values.clip(-60, 60)))
    return values.clip(0, 1)
