"""Pixels to tensors and back. Runs in worker processes only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from celeste_image.core.errors import ProviderFailed
from celeste_image.engines.tiling import PixelArray
from celeste_image.providers.kserve.forms import Form

__all__ = ["matte_of", "pixels_of", "scores_of", "tensor_of"]

TYPES = {"FP32": "<f4", "FP16": "<f2", "UINT8": "|u1"}
"""The protocol's raw bytes are little-endian."""
MOST = 255


def tensor_of(pixels: PixelArray, form: Form) -> tuple[list[int], bytes]:
    """Returns the shape and the raw bytes of the tensor for RGB pixels of (height, width, 3).

    A picture smaller than a form of fixed size is continued as it ends.
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
    """Returns the RGB pixels, as (height, width, 3), of a tensor that a server sent.

    Raises:
        ProviderFailed: It is not of that form.
    """
    given = f"a tensor of {datatype} and shape {list(shape)}"
    if datatype != form.datatype:
        raise ProviderFailed(f"the model made {given}, not of {form.datatype}")
    if len(shape) != len(form.layout) or shape[form.layout.index("C")] != 3 or min(shape) < 1:
        raise ProviderFailed(f"the model made {given}, which is no picture of layout {form.layout}")
    if form.layout.startswith("N") and shape[0] != 1:
        raise ProviderFailed(f"the model made {given}, which is more than one picture")
    values: NDArray[np.generic] = np.frombuffer(data, TYPES[datatype])
    if values.size != np.prod(shape):
        raise ProviderFailed(f"the model made {given} with {values.size} values")
    axes = form.layout.removeprefix("N")
    values = values.reshape(shape[-3:]).transpose([axes.index(axis) for axis in "HWC"])
    if not form.is_plain:
        black, white = np.array(form.black), np.array(form.white)
        steps = (MOST / (white - black)).astype(np.float32)
        values = (values.astype(np.float32) - black.astype(np.float32)) * steps + 0.5
        if not np.isfinite(values).all():
            raise ProviderFailed(f"the model made {given} with values that are no numbers")
        values = values.clip(0, MOST)
    if form.colors == "BGR":
        values = values[:, :, ::-1]
    return np.ascontiguousarray(values, dtype=np.uint8)


def matte_of(data: bytes, datatype: str, shape: Sequence[int], form: str) -> PixelArray:
    """Returns the one plane, as (height, width), in a tensor that a server sent: 255 is in front.

    `form` is what its values are: `probabilities` or `logits`.

    Raises:
        ProviderFailed: It is no such tensor.
    """
    plane = [side for side in shape[-3:] if side != 1] if len(shape) > 1 else []
    if len(plane) != 2 or np.prod(shape) != plane[0] * plane[1]:
        raise ProviderFailed(f"the model made a tensor of shape {list(shape)}, which is not one plane")
    values = scores_of(data, datatype, shape, "independent" if form == "logits" else form)
    return (values.reshape(plane) * MOST + 0.5).astype(np.uint8)


def scores_of(data: bytes, datatype: str, shape: Sequence[int], form: str) -> NDArray[np.float32]:
    """Returns the scores, 0 to 1, of the classes in a tensor that a server sent, whatever its shape.

    `form` is what its values are: `probabilities`; `logits` of classes that exclude each other; or `independent`, which
    are logits of classes that do not.

    Raises:
        ProviderFailed: It is no such tensor.
    """
    if datatype not in TYPES or datatype == "UINT8":
        raise ProviderFailed(f"the model made scores of {datatype}, not of FP32 or FP16")
    values = np.frombuffer(data, TYPES[datatype]).astype(np.float32)
    if not values.size or values.size != np.prod(shape) or not np.isfinite(values).all():
        raise ProviderFailed(f"the model made {values.size} scores in shape {list(shape)}, or some that are no numbers")
    match form:
        case "logits":
            values = np.exp(values - values.max())
            values /= values.sum()
        case "independent":
            values = 1 / (1 + np.exp(-values.clip(-60, 60)))
    return values.clip(0, 1)
