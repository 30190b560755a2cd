"""Decodes foreign images within limits. Runs in worker processes only; the server asks `Guard`."""

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
from celeste_image.imaging.declared import declared_in, depth_of, profile_of
from celeste_image.imaging.limits import ImageLimits, too_large
from celeste_image.imaging.truncated import lacks_end, read_truncated

__all__ = ["check_work", "notes_of", "open_image", "open_upright", "orientation_of"]

FORMATS = {
    "image/png": PngImagePlugin.PngImageFile.format,
    "image/jpeg": JpegImagePlugin.JpegImageFile.format,
    "image/webp": WebPImagePlugin.WebPImageFile.format,
    "image/avif": AvifImagePlugin.AvifImageFile.format,
}
"""Pillow's names. They are imported here because Pillow loads rare plug-ins only with their first image."""

DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    RuntimeError,  # from the AVIF decoder
    struct.error,
)
"""Exceptions that Pillow raises for bytes that break their format's rules."""

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
"""The operation that makes an image of each orientation upright."""

warnings.simplefilter("ignore", UserWarning)  # odd EXIF; Python would keep each text forever
warnings.simplefilter("error", Image.DecompressionBombWarning)


def open_image(data: bytes, limits: ImageLimits) -> Image.Image:
    """Returns an image as stored, with every pixel decoded; mode, EXIF and text are untouched.

    A truncated PNG, JPEG or WebP is read if every row can be decoded.

    Raises:
        NotAnImage: The bytes are not PNG, JPEG, WebP or AVIF, are damaged, or lack rows.
        ImageTooLarge: Bytes, pixels, a side, frames or text exceed `limits`.
    """
    limits.check_bytes(len(data))
    kind = media_type(data[:16])
    if kind not in FORMATS:
        name = kind_of(data)
        raise NotAnImage(f"is {f'{name}, not' if name else 'not an image in'} PNG, JPEG, WebP or AVIF")
    check_claims(data, kind, limits)
    try:
        return _decoded(data, kind, limits)
    except NotAnImage:
        image = read_truncated(data, lambda changed: _decoded(changed, kind, limits))
        if image is None:
            raise
        return image


def _decoded(data: bytes, kind: str, limits: ImageLimits) -> Image.Image:
    # Pillow's limit for a single text holds for color profiles too, so the total below bounds the texts.
    PngImagePlugin.MAX_TEXT_CHUNK = max(limits.max_text_bytes, limits.max_profile_bytes)
    PngImagePlugin.MAX_TEXT_MEMORY = limits.max_text_bytes
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        image = Image.open(io.BytesIO(data), formats=[FORMATS[kind]])
        limits.check_size(*image.size)
        # Phones append a depth map or a smaller copy to the image; the file is not an animation.
        several = not isinstance(image, MpoImagePlugin.MpoImageFile)
        frames = cast(int, getattr(image, "n_frames", 1)) if several else 1
        if frames > 1:
            raise too_large("frames", 1, frames)
        _check_text(image, limits)
        image.load()
        _check_text(image, limits)  # a PNG may have text after its pixels
        if image.mode == "P" and not image.palette:
            raise ValueError("the palette is missing")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large("pixels", limits.max_pixels, _number(error, limits.max_pixels + 1)) from error
    except DAMAGED as error:
        if "MAX_TEXT" in str(error):
            value = _number(error, limits.max_text_bytes + 1)
            raise too_large("bytes of text", limits.max_text_bytes, value) from error
        raise NotAnImage("is damaged or not an image") from error
    finally:
        Image.MAX_IMAGE_PIXELS = None  # the limit is for this file; an engine may make a larger image of it
    _drop_broken_exif(image)
    return image


def _check_text(image: Image.Image, limits: ImageLimits) -> None:
    sizes = {"exif": limits.max_text_bytes, "xmp": limits.max_text_bytes, "icc_profile": limits.max_profile_bytes}
    for name, limit in sizes.items():
        size = len(image.info.get(name) or b"")
        if size > limit:
            raise too_large(f"bytes of {name}", limit, size)


def _number(error: Exception, otherwise: int) -> int:
    """Returns the first number in Pillow's message, which is the refused size; else `otherwise`."""
    found = re.search(r"\d+", str(error))
    return int(found[0]) if found else otherwise


def _drop_broken_exif(image: Image.Image) -> None:
    """Removes EXIF that can't be read, as viewers do: the pixels are sound."""
    try:
        image.getexif()
    except DAMAGED:
        for name in ("exif", "Raw profile type exif"):
            image.info.pop(name, None)
        image.getexif().clear()


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8; 1 (upright) when it is absent or unknown."""
    value = image.getexif().get(ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def open_upright(data: bytes, limits: ImageLimits) -> Image.Image:
    """Returns an image ready for work: upright, sRGB, mode L, RGB or RGBA with 8 bits a channel, without metadata.

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
    """Converts modes and profiles as `open_upright` does, so that a harmful profile fails here, in the guard."""
    _as_work(image, data)


def _as_work(image: Image.Image, data: bytes) -> tuple[Image.Image, Image.Image | None, Convert | None]:
    """Returns colors, opacity and the conversion to sRGB; an RGBA image in sRGB stays whole, without the latter two."""
    declared = declared_in(data, "icc_profile" in image.info)
    if declared:
        is_gray = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
        profile = profile_of(declared, is_gray)
    else:
        profile = image.info.get("icc_profile")
    if image.mode == "RGBA" and not to_srgb("RGB", profile):
        return image, None, None
    work, alpha = plain(image, depth_of(data) if media_type(data[:16]) == "image/png" else 8)
    return work, alpha, to_srgb(work.mode, profile)


def notes_of(image: Image.Image, data: bytes) -> list[str]:
    """Returns what work on an image's pixels does not keep, and what is wrong with its file; one text each."""
    declared, depth = declared_in(data, "icc_profile" in image.info), depth_of(data)
    notes = []
    if lacks_end(data):
        notes.append("the end of its file is missing; every row could be decoded")
    if depth > 8:
        notes.append(f"has {depth} bits a channel; work on its pixels uses 8")
    if declared and declared.hdr:
        notes.append(f"has HDR colors ({declared.hdr}); work on its pixels maps them to sRGB")
    return notes
