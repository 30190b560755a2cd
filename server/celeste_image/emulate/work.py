"""Shared work of the fake vendors: decoding, painting in a thread with faults, seeds and sizes."""

import asyncio
import base64
import hashlib
import math
import warnings
from collections.abc import Callable
from typing import Any

from PIL import Image

from celeste_image.core.card import SizeRange
from celeste_image.emulate import painting
from celeste_image.emulate.base import Asked, Refusal

__all__ = ["decoded", "opened", "painted", "ratio_size", "seed_of", "size_within"]

URL_SAFE = str.maketrans("-_", "+/")


def opened(data: bytes, field: str = "image", status: int = 400) -> Image.Image:
    """Returns an image upright. Raises Refusal for bytes that are not an image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return painting.opened(data)
    except Exception:  # what Pillow raises for damaged files is not documented: OSError, SyntaxError, ValueError, ...
        raise Refusal(status, "The image data you provided does not represent a valid image", "image", field) from None


def decoded(text: str) -> bytes:
    """Returns the bytes of base64 of either alphabet, with or without padding and a `data:` prefix.

    Raises:
        ValueError: The text is not base64.
    """
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError("a data URL needs `;base64,`")
    text = "".join(text.split()).rstrip("=").translate(URL_SAFE)
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


async def painted(asked: Asked, paint: Callable[[], Image.Image], source: Image.Image | None = None) -> Image.Image:
    """Returns an image that is painted in a thread, with the fault of the call's behavior.

    Args:
        asked: The call.
        paint: Paints the image without faults.
        source: The call's image, the result when the fault is `unchanged`.
    """

    def work() -> Image.Image:
        picture = paint()
        match asked.behavior.image:
            case "unchanged" if source is not None:
                return source.resize(picture.size)
            case "other-size":
                return picture.resize((max(16, picture.width * 3 // 4), max(16, picture.height // 2)))
        return picture

    return await asyncio.to_thread(work)


def seed_of(given: Any, words: str) -> int:
    """Returns the call's seed, else one derived from its words."""
    try:
        return int(given)
    except (TypeError, ValueError):
        return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big")


def size_within(bounds: SizeRange, size: tuple[int, int]) -> tuple[int, int]:
    """Returns the nearest size that a model supports: from its list, else by its bounds and step."""
    width, height = size
    if bounds.sizes:
        return min(
            bounds.sizes, key=lambda s: abs(math.log(s[0] / s[1] * height / width)) + abs(math.log(s[0] / width))
        )
    area, step = width * height, max(1, bounds.multiple_of)
    scale = 1.0
    if area > bounds.maximum_megapixels * 1e6:
        scale = math.sqrt(bounds.maximum_megapixels * 1e6 / area)
    elif area < bounds.minimum_megapixels * 1e6:
        scale = math.sqrt(bounds.minimum_megapixels * 1e6 / area) * (1 + step / max(size))
    least, most = bounds.minimum_side, bounds.maximum_side
    return tuple(  # type: ignore[return-value]  # two of two
        min(most // step * step, max(-(-least // step) * step, math.floor(side * scale / step + 0.5) * step))
        for side in size
    )


def ratio_size(ratio: str, megapixels: float, multiple_of: int = 8) -> tuple[int, int]:
    """Returns a size of an area and a ratio such as `16:9`; both sides are multiples of `multiple_of`."""
    across, _, down = ratio.partition(":")
    width = math.sqrt(megapixels * 1e6 * int(across) / int(down))
    height = width * int(down) / int(across)
    return round(width / multiple_of) * multiple_of, round(height / multiple_of) * multiple_of
