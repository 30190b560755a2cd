"""Truncated files: an image whose every row can be decoded is read though the end of its file is missing."""

import struct
from collections.abc import Callable
from typing import Final

from PIL import Image

from celeste_image.core.media import media_type
from celeste_image.imaging.parts import parts_of

__all__ = ["lacks_end", "mended"]

EOI: Final = b"\xff\xd9"
FILLERS: Final = tuple(bytes([byte]) * 4096 for byte in (0x00, 0xFE, 0x55, 0xAA))
"""Bytes that a JPEG decoder reads as codes of pixels, without a marker among them. One may by chance be the code of
the missing bytes; all four can't be."""
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


def mended(data: bytes, decode: Decode) -> bytes | None:
    """Returns a whole file of a truncated JPEG or WebP; None if pixels are missing. Pillow reads such a PNG by itself.

    `decode` decodes a file, and raises for a broken one.
    """
    if not lacks_end(data):
        return None
    match media_type(data[:16]):
        case "image/jpeg":
            return _mended_jpeg(data, decode)
        case "image/webp":
            return _mended_webp(data)
    return None


def _mended_jpeg(data: bytes, decode: Decode) -> bytes | None:
    """Returns the file with its end marker, if what stands before the marker changes no pixel.

    The decoder paints missing rows gray without an error. It reads more bytes only while rows are missing: then the
    filler is painted into them, and the images differ.
    """
    kept = data.removesuffix(EOI[:1])
    whole = kept + EOI
    pixels = decode(whole).tobytes()
    return whole if all(decode(kept + filler + EOI).tobytes() == pixels for filler in FILLERS) else None


def _mended_webp(data: bytes) -> bytes | None:
    """Returns the file with its whole chunks, if the pixels are among them."""
    parts = list(parts_of(data))
    if all(part.kind not in WEBP_PIXELS for part in parts):
        return None
    chunks = b"".join(data[part.start : part.stop] + b"\x00" * (part.stop - part.start & 1) for part in parts)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks
