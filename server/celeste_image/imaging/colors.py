"""Converts an image's colors to gray or sRGB with 8 bits a channel, by its color profile."""

import io
from collections.abc import Callable
from functools import cache

from PIL import Image, ImageChops, ImageCms

__all__ = ["Convert", "plain", "to_srgb"]

Convert = Callable[[Image.Image], Image.Image]

MODES = {"GRAY": ("L",), "RGB ": ("RGB",), "CMYK": ("CMYK",)}
"""Color space of a profile (ICC.1:2022 section 7.2.6), and the Pillow modes that it fits."""
SAME = 2
"""Levels of 255 by which a profile may move a color and still count as sRGB, as profiles from cameras do."""


def plain(image: Image.Image, depth: int) -> tuple[Image.Image, Image.Image | None]:
    """Returns an image's colors in mode L, RGB or CMYK, and its opacity; None for an opaque image.

    `depth` is the bits of a stored value, 1 to 16, which Pillow does not keep.
    """
    key = image.info.get("transparency")
    if image.mode in ("L", "RGB", "CMYK") and key is None:
        return image, None
    if image.mode.startswith("I"):  # 16-bit gray; Pillow's own conversion clips at 255
        deep = image.convert("I")
        gray = deep.point([(value + 128) // 257 for value in range(65_536)], "L")
        return gray, deep.point(_all_but(key, 65_536), "L") if isinstance(key, int) else None
    if image.mode in ("1", "L"):
        if depth in (2, 4) and isinstance(key, int):  # Pillow scaled the image to 8 bits, but not its key
            key *= 255 // ((1 << depth) - 1)
        gray = image.convert("L")
        return gray, gray.point(_all_but(key, 256)) if isinstance(key, int) else None
    if image.mode in ("LA", "La"):
        return image.convert("LA").getchannel("L"), image.getchannel("A")
    if image.mode == "RGB" and isinstance(key, tuple):
        parts = [value >> 8 if depth == 16 else value for value in key]
        unlike = [c.point(_all_but(v, 256)) for c, v in zip(image.split(), parts, strict=True)]
        return image, ImageChops.lighter(ImageChops.lighter(unlike[0], unlike[1]), unlike[2])
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        return whole.convert("RGB"), whole.getchannel("A")
    return image.convert("RGB"), None


def _all_but(key: int, count: int) -> list[int]:
    """Returns the opacity of each of `count` values: `key` is transparent, the others are opaque."""
    table = [255] * count
    if 0 <= key < count:
        table[key] = 0
    return table


def to_srgb(mode: str, profile: bytes | None) -> Convert | None:
    """Returns the conversion from a mode (L, RGB or CMYK) and color profile to gray or RGB in sRGB.

    None when the colors are sRGB already. A profile that is broken or does not fit the mode is ignored. The intent is
    relative colorimetric with black point compensation, as in browsers.
    """
    transform = _transform(mode, profile) if profile else None
    if transform is None:
        return (lambda image: image.convert("RGB")) if mode == "CMYK" else None
    if mode == "L":
        return lambda image: transform.apply(image).convert("L")
    return transform.apply


def _transform(mode: str, profile: bytes) -> ImageCms.ImageCmsTransform | None:
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode not in MODES.get(given.profile.xcolor_space, ()):
            return None
        transform = ImageCms.buildTransform(
            given,
            _srgb(),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode == "CMYK":
            return transform
        probe = _probe(mode)
        unlike = ImageChops.difference(probe.convert("RGB"), transform.apply(probe))
        extrema = [highest for _, highest in unlike.getextrema()]  # type: ignore[misc]
        return transform if max(extrema) > SAME else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache
def _probe(mode: str) -> Image.Image:
    """Returns a test image of all grays, or of every combination of 17 steps per channel."""
    if mode == "L":
        return Image.frombytes("L", (256, 1), bytes(range(256)))
    steps = [round(step * 255 / 16) for step in range(17)]
    return Image.frombytes(
        "RGB", (17 * 17, 17), bytes(v for r in steps for g in steps for b in steps for v in (r, g, b))
    )
