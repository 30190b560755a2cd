"""Opens pictures from outside. Runs in worker processes only; everything else asks `Guard`."""

import io
import re
import struct
import warnings
from typing import cast

from PIL import AvifImagePlugin, Image, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin

from celeste_image.core.errors import NotAnImage
from celeste_image.core.media import media_type
from celeste_image.imaging.claims import check_claims, kind_of
from celeste_image.imaging.colors import Convert, plain, to_srgb
from celeste_image.imaging.limits import ImageLimits, too_large

__all__ = ["check_work", "open_image", "open_upright", "orientation_of"]

FORMATS = {
    "image/png": PngImagePlugin.PngImageFile.format,
    "image/jpeg": JpegImagePlugin.JpegImageFile.format,
    "image/webp": WebPImagePlugin.WebPImageFile.format,
    "image/avif": AvifImagePlugin.AvifImageFile.format,
}
"""Pillow's names; imported here, since Pillow itself would load what is rare with the first such picture."""

DAMAGED = (
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

ORIENTATION = 0x0112
"""EXIF 2.3 tag."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of each orientation upright."""

warnings.simplefilter("ignore", UserWarning)  # of odd EXIF; Python would keep each text for ever
warnings.simplefilter("error", Image.DecompressionBombWarning)


def open_image(data: bytes, limits: ImageLimits) -> Image.Image:
    """Returns a picture as it is stored: mode, EXIF and text untouched, every pixel decoded.

    Raises:
        NotAnImage: It is in no format that is read, or damaged.
        ImageTooLarge: Bytes, pixels, a side, frames or text are beyond `limits`.
    """
    limits.check_bytes(len(data))
    kind = media_type(data[:16])
    if kind not in FORMATS:
        name = kind_of(data)
        raise NotAnImage(f"is {name or 'not a picture'}{', not' if name else ''} in PNG, JPEG, WebP or AVIF")
    check_claims(data, kind, limits)
    # One unpacked text may be as large as a profile may be, all texts together no more than they may.
    PngImagePlugin.MAX_TEXT_CHUNK = max(limits.max_text_bytes, limits.max_profile_bytes)
    PngImagePlugin.MAX_TEXT_MEMORY = limits.max_text_bytes
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        image = Image.open(io.BytesIO(data), formats=[FORMATS[kind]])
        limits.check_size(*image.size)
        # Phones put a depth map, or the same picture in small, behind the picture: that is no animation.
        several = not isinstance(image, MpoImagePlugin.MpoImageFile)
        frames = cast(int, getattr(image, "n_frames", 1)) if several else 1
        if frames > 1:
            raise too_large("frames", 1, frames)
        _check_text(image, limits)
        image.load()
        _check_text(image, limits)  # a PNG may have some after its pixels
        if image.mode == "P" and not image.palette:
            raise ValueError("a palette that is not there")
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
    sizes = {"exif": limits.max_text_bytes, "xmp": limits.max_text_bytes, "icc_profile": limits.max_profile_bytes}
    for name, limit in sizes.items():
        size = len(image.info.get(name) or b"")
        if size > limit:
            raise too_large(f"bytes of {name}", limit, size)


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


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8; 1, upright, when there is none that is known."""
    value = image.getexif().get(ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def open_upright(data: bytes, limits: ImageLimits) -> Image.Image:
    """Returns a picture for work: upright, in sRGB, its mode L, RGB or RGBA with 8 bits each, without metadata.

    Raises as `open_image` does.
    """
    image = open_image(data, limits)
    turn = UPRIGHT.get(orientation_of(image))
    work, alpha, convert = _as_work(image, data)
    if convert:
        work = convert(work)
    if alpha:
        work = work.convert("RGB")
        work.putalpha(alpha)
    work.info = {}
    return work if turn is None else work.transpose(turn)


def check_work(image: Image.Image, data: bytes) -> None:
    """Does what `open_upright` does to modes and profiles, so that one that does harm does it here and now."""
    _as_work(image, data)


def _as_work(image: Image.Image, data: bytes) -> tuple[Image.Image, Image.Image | None, Convert | None]:
    """Returns colors, opacity, and what turns the former into sRGB; a picture in RGBA as it is, and no opacity."""
    depth = data[24] if data[12:16] == b"IHDR" else 8  # of a PNG; Pillow tells only how it keeps it
    profile = image.info.get("icc_profile")
    if image.mode == "RGBA" and not to_srgb("RGB", profile):
        return image, None, None
    work, alpha = plain(image, depth)
    return work, alpha, to_srgb(work.mode, profile)
