"""Sizes: finds the size nearest to the requested one that a model accepts."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from celeste_image.core.card import SizeRange
from celeste_image.core.image import Size

__all__ = ["FittedSize", "fit_size", "ratio_of", "same_shape", "sides", "size_json"]

SAME_RATIO = 0.02
"""Ratios whose logarithms differ by less are equal: models round pixels."""
SAME_AREA = 0.1
"""Areas that differ by a smaller share are equal, for models with a few sizes: their megapixel is 1024 x 1024."""


@dataclass(frozen=True, slots=True)
class FittedSize:
    """The size for the model, its JSON value, and why it differs from the requested size; empty if it does not."""

    size: Size
    sent: dict[str, Any] | None
    message: str = ""


def fit_size(asked: Size, bounds: SizeRange) -> FittedSize:
    """Returns the nearest size that a model accepts; empty if both the request and the model leave it open.

    Nearest is by the logarithm of the ratio, then of the area: 2:1 is as far from 1:1 as 1:2 is. A side or an area
    outside the model's bounds stays as it is, for the caller to refuse. One within the bounds stays within.
    """
    if not asked and not bounds.default_width:
        return FittedSize(Size(), None)
    width, height = _wanted(asked, bounds)
    if bounds.sizes:
        best = min(bounds.sizes, key=lambda size: (_distance(width / height, size), _apart(width * height, size)))
        message = "" if _is_met(asked, *best) else "the nearest of the model's sizes"
        return FittedSize(Size(*best), {"width": best[0], "height": best[1]}, message)
    if bounds.ratios:
        if not asked:
            return FittedSize(Size(), None)
        ratio = min(bounds.ratios, key=lambda text: abs(math.log(float(ratio_of(text)) / (width / height))))
        kept = same_shape(width / height, float(ratio_of(ratio)))
        message = "" if kept else "the nearest of the model's ratios"
        if kept and (asked.width or asked.megapixels):
            message = "the model takes ratios and chooses the pixels itself"
        return FittedSize(Size(width, height, aspect_ratio=ratio), {"aspect_ratio": ratio}, message)
    step = max(1, bounds.multiple_of)
    area = asked.megapixels * 1e6 or width * height
    size = Size(*_stepped(width, height, area, step, bounds))
    exact = not asked.width or (size.width, size.height) == (width, height)
    sent = {"width": size.width, "height": size.height}
    return FittedSize(size, sent, "" if exact else f"sides are multiples of {step}")


def _is_met(asked: Size, width: int, height: int) -> bool:
    """Returns whether a size of the model is the requested one; any size is, if the request is empty."""
    if asked.width:
        return (asked.width, asked.height) == (width, height)
    ratio = float(ratio_of(asked.aspect_ratio)) if asked.aspect_ratio else width / height
    area = asked.megapixels * 1e6 or width * height
    return same_shape(width / height, ratio) and abs(width * height / area - 1) < SAME_AREA


def _stepped(width: int, height: int, area: float, step: int, bounds: SizeRange) -> tuple[int, int]:
    """Returns the multiples of `step` nearest to the sides, within every bound that the sides themselves keep."""

    def nearest(side: int) -> int:
        near = max(step, round(side / step) * step)
        if near > bounds.maximum_side >= side:
            return near - step
        return near + step if near < bounds.minimum_side <= side else near

    across, down = nearest(width), nearest(height)
    most = bounds.maximum_megapixels * 1e6
    while area <= most < across * down:
        # Shorten the side that rounding made longer by the greater share.
        if across > step and (across / width >= down / height or down <= step):
            across -= step
        elif down > step:
            down -= step
        else:
            break
    return across, down


def _wanted(asked: Size, bounds: SizeRange) -> tuple[int, int]:
    """Returns the width and height in pixels that a size stands for."""
    if not asked:
        return bounds.default_width, bounds.default_height
    if asked.width:
        return asked.width, asked.height
    area = asked.megapixels * 1e6 or float(bounds.default_width * bounds.default_height) or 1e6
    return sides(area, float(ratio_of(asked.aspect_ratio or "1:1")))


def ratio_of(text: str) -> Fraction:
    """Returns the ratio of width to height of a text such as `16:9`."""
    across, _, down = text.partition(":")
    return Fraction(int(across), int(down))


def same_shape(one: float, other: float) -> bool:
    """Returns whether two ratios of width to height are equal up to the rounding of pixels."""
    return abs(math.log(one / other)) < SAME_RATIO


def sides(area: float, ratio: float) -> tuple[int, int]:
    """Returns the width and height, in whole pixels, of an area in pixels and a ratio of width to height."""
    width = math.sqrt(area * ratio)
    return max(1, round(width)), max(1, round(width / ratio))


def size_json(size: Size) -> dict[str, Any]:
    """Returns the fields of a size that are set, as JSON values."""
    values = {name: getattr(size, name) for name in ("width", "height", "aspect_ratio", "megapixels")}
    return {name: value for name, value in values.items() if value}


def _distance(ratio: float, size: tuple[int, int]) -> float:
    return round(abs(math.log(ratio / (size[0] / size[1]))), 3)


def _apart(area: int, size: tuple[int, int]) -> float:
    return abs(math.log(area / (size[0] * size[1])))
