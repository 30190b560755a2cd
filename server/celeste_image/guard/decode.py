"""Opens pictures from outside. Runs in worker processes only; everything else asks `Guard`."""

import io
import re
import struct
import warnings
from typing import cast

from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from celeste_image.core.errors import NotAnImage
from celeste_image.core.media import IMAGE_TYPES, media_type
from celeste_image.guard.limits import ImageLimits, too_large

__all__ = ["open_image", "open_upright"]

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF")

DAMAGED = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    RuntimeError,  # what the AVIF decoder raises
    struct.error,
)
"""What Pillow raises over bytes that are not as their format wants them."""

warnings.simplefilter("error", Image.DecompressionBombWarning)


def open_image(data: bytes, limits: ImageLimits) -> Image.Image:
    """Returns a picture as it is stored: mode, EXIF and text untouched, every pixel decoded.

    Raises:
        NotAnImage: It is in no format that is read, or damaged.
        ImageTooLarge: Bytes, pixels, a side, frames or text are beyond `limits`.
    """
    limits.check_bytes(len(data))
    if media_type(data[:16]) not in IMAGE_TYPES:
        raise NotAnImage("is not a picture in PNG, JPEG, WebP or AVIF")
    PngImagePlugin.MAX_TEXT_CHUNK = limits.max_text_bytes
    PngImagePlugin.MAX_TEXT_MEMORY = limits.max_text_bytes
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        limits.check_size(*image.size)
        frames = cast(int, getattr(image, "n_frames", 1))
        if frames > 1:
            raise too_large("frames", 1, frames)
        _check_text(image, limits)
        image.load()
        _check_text(image, limits)  # a PNG may have some after its pixels
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large("pixels", limits.max_pixels, _number(error, limits.max_pixels + 1)) from error
    except DAMAGED as error:
        if "MAX_TEXT" in str(error):
            value = _number(error, limits.max_text_bytes + 1)
            raise too_large("bytes of text", limits.max_text_bytes, value) from error
        raise NotAnImage("is a damaged picture or none at all") from error
    _drop_broken_exif(image)
    return image


def _check_text(image: Image.Image, limits: ImageLimits) -> None:
    for name in ("exif", "icc_profile", "xmp"):
        size = len(image.info.get(name) or b"")
        if size > limits.max_text_bytes:
            raise too_large(f"bytes of {name}", limits.max_text_bytes, size)


def _number(error: Exception, otherwise: int) -> int:
    """Returns the first number in one of Pillow's messages: the size that it refused, where it tells."""
    found = re.search(r"\d+", str(error))
    return int(found[0]) if found else otherwise


def _drop_broken_exif(image: Image.Image) -> None:
    """Takes EXIF that can't be read for none, as viewers do: the picture itself is sound."""
    try:
        image.getexif()
    except DAMAGED:
        for name in ("exif", "Raw profile type exif"):
            image.info.pop(name, None)
        image.getexif().clear()


def open_upright(data: bytes, limits: ImageLimits) -> Image.Image:
    """Returns a picture for work: its EXIF orientation applied, its mode L, RGB or RGBA with 8 bits each.

    Raises as `open_image` does.
    """
    image = open_image(data, limits)
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("L", "RGB", "RGBA"):
        return upright
    if upright.has_transparency_data:
        return upright.convert("RGBA")
    return upright.convert("L" if upright.mode == "1" else "RGB")
