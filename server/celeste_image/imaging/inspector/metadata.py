"""Metadata that may turn an image: EXIF and XMP with an orientation. Only an upright image is without a doubt."""

from typing import Final, Literal

from celeste_image.imaging.inspector.found import Doubt
from celeste_image.imaging.limits import ImageLimits

__all__ = ["check_exif", "check_xmp"]

MOST_TAGS: Final = 200
UPRIGHT: Final[dict[bytes, tuple[Literal["little", "big"], bytes]]] = {
    b"II*\x00": ("little", bytes.fromhex("1201 0300 01000000 0100")),
    b"MM\x00*": ("big", bytes.fromhex("0112 0003 00000001 0001")),
}
"""By the start of EXIF: the byte order, and the tag Orientation with one SHORT, 1 (EXIF 2.3, section 4.6.4)."""


def check_exif(data: bytes, start: int, stop: int, limits: ImageLimits) -> None:
    """Checks EXIF, from its byte order on. Raises Doubt when it is large, can't be read, or turns the image."""
    known = UPRIGHT.get(data[start : start + 4])
    if known is None or stop - start > limits.max_text_bytes:
        raise Doubt("has EXIF that is large or can't be read")
    order, upright = known
    at = start + int.from_bytes(data[start + 4 : start + 8], order)
    count = int.from_bytes(data[at : at + 2], order)
    first, end = at + 2, at + 2 + 12 * count
    if at < start + 8 or end > stop or count > MOST_TAGS:
        raise Doubt("has EXIF that can't be read")
    for tag in range(first, end, 12):
        if data[tag : tag + 2] == upright[:2] and data[tag : tag + len(upright)] != upright:
            raise Doubt("may be turned by its EXIF")


def check_xmp(data: bytes, start: int, stop: int, limits: ImageLimits) -> None:
    """Checks XMP that is not packed. Raises Doubt when it is large or names an orientation."""
    if stop - start > limits.max_text_bytes:
        raise Doubt("has large XMP")
    if data.find(b"Orientation", start, stop) >= 0:
        raise Doubt("may be turned by its XMP")
