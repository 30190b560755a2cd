"""Truncated files: an image whose every row can be decoded is read though the end of its file is missing."""

import re
import struct
from collections.abc import Callable, Iterable
from typing import Final

from PIL import Image, ImageChops

from celeste_image.core.media import media_type
from celeste_image.imaging.parts import Part, parts_of

__all__ = ["lacks_end", "read_truncated"]

EOI: Final = b"\xff\xd9"
SCAN: Final = b"\xda"
FRAMES: Final = (b"\xc0", b"\xc1", b"\xc2")
RESTART_INTERVAL: Final = b"\xdd"
RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
COEFFICIENTS: Final = 64
"""Of a block of 8 x 8 pixels."""
FILLERS: Final = tuple(bytes([byte]) * 4096 for byte in (0x00, 0xFE, 0x55, 0xAA))
"""Bytes that a JPEG decoder reads as codes of pixels, without a marker among them. One may by chance be the code of
the missing bytes; all four can't be."""
MAX_PIXELS: Final = 40_000_000
MAX_PROGRESSIVE_PIXELS: Final = 12_000_000
"""The largest truncated JPEGs that are read: six times, which is 3 to 4 s of CPU time. A decoder has 10 s."""
WEBP_PIXELS: Final = (b"VP8 ", b"VP8L")

Decode = Callable[[bytes], Image.Image]


def lacks_end(data: bytes) -> bool:
    """Returns whether a PNG, JPEG or WebP ends before the end of its format."""
    match media_type(data[:16]):
        case "image/png":
            return all(part.kind != b"IEND" for part in parts_of(data))
        case "image/jpeg":
            return all(part.kind != EOI[1:] for part in parts_of(data))
        case "image/webp":
            return 8 + int.from_bytes(data[4:8], "little") > len(data)
    return False


def read_truncated(data: bytes, decode: Decode) -> Image.Image | None:
    """Returns the image of a truncated JPEG or WebP; None if pixels are missing. Pillow reads such a PNG by itself.

    `decode` decodes a file, and raises for a broken one.
    """
    if not lacks_end(data):
        return None
    match media_type(data[:16]):
        case "image/jpeg":
            return _truncated_jpeg(data, decode)
        case "image/webp":
            return _truncated_webp(data, decode)
    return None


def _truncated_jpeg(data: bytes, decode: Decode) -> Image.Image | None:
    """Returns the image of a file without its end marker, if what stands before the marker changes no pixel.

    The decoder paints missing rows gray without an error. It reads more bytes only while rows are missing: then the
    filler is painted into them, and the images differ. Where a restart marker is due, the decoder skips bytes up to
    that marker, so the filler stands before and after it.
    """
    kept, parts = data.removesuffix(EOI[:1]), list(parts_of(data))
    image = decode(kept + EOI)
    if image.width * image.height > (MAX_PROGRESSIVE_PIXELS if image.info.get("progressive") else MAX_PIXELS):
        return None
    try:
        if not _is_complete(data, parts):
            return None
    except LookupError:  # segments that the decoder skips
        return None
    restart = b""
    if any(part.kind == RESTART_INTERVAL for part in parts):
        restarts = RESTART.findall(data, [part.body for part in parts if part.kind == SCAN][-1])
        restart = bytes([0xFF, 0xD0 + len(restarts) % 8])
    for filler in FILLERS:
        other = decode(kept + filler + restart + filler + EOI)
        if ImageChops.difference(image, other).getbbox():
            return None
    return image


def _is_complete(data: bytes, parts: Iterable[Part]) -> bool:
    """Returns whether the scans have every bit of every coefficient; a progressive JPEG has coarse ones first."""
    missing = dict[int, set[int]]()
    for part in parts:
        body = data[part.body : part.stop]
        if part.kind in FRAMES:
            missing = {component: set(range(COEFFICIENTS)) for component in body[6 : 6 + 3 * body[5] : 3]}
        elif part.kind == SCAN:
            ids, spectrum = body[1 : 1 + 2 * body[0] : 2], body[1 + 2 * body[0] :]
            for component in ids if not spectrum[2] & 15 else ():  # the lowest bit is there
                missing[component].difference_update(range(spectrum[0], spectrum[1] + 1))
    return not any(missing.values())


def _truncated_webp(data: bytes, decode: Decode) -> Image.Image | None:
    """Returns the image of the file's whole chunks, if the pixels are among them."""
    parts = list(parts_of(data))
    if all(part.kind not in WEBP_PIXELS for part in parts):
        return None
    chunks = b"".join(data[part.start : part.stop] + b"\x00" * (part.stop - part.start & 1) for part in parts)
    return decode(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks)
