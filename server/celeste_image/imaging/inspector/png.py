"""Structure of a PNG: its chunks with their checksums, in their order (PNG third edition, sections 5 and 11)."""

import struct
import zlib
from typing import Final

from celeste_image.imaging.inspector.found import Doubt, Inspected, parts_within
from celeste_image.imaging.inspector.metadata import check_exif, check_xmp
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.parts import Part

__all__ = ["read"]

HEADER: Final = struct.Struct(">IIBBBBB")
DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By color type."""
PALETTE: Final = 3
CRITICAL: Final = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
ANIMATION: Final = (b"acTL", b"fcTL", b"fdAT")
SIZES: Final = {b"IHDR": 13, b"IEND": 0, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"cICP": 4}
BEFORE_PIXELS: Final = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP")
ONCE: Final = (*BEFORE_PIXELS, b"eXIf", b"IEND")
TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")
XMP: Final = b"XML:com.adobe.xmp"
OTHER_METADATA: Final = (b"raw profile", b"exif", b"xmp")
"""Starts of keywords, in lower case, of texts that some programs read as EXIF or XMP."""
MOST_UNPACKED: Final = 1032
"""Times by which deflate can be unpacked at most."""


def read(data: bytes, limits: ImageLimits, found: Inspected) -> None:
    """Reads a PNG into `found`. Raises Doubt."""
    parts = parts_within(data)
    kinds = [part.kind for part in parts]
    if kinds[0] != b"IHDR" or _size(parts[0]) != SIZES[b"IHDR"]:
        raise Doubt("does not begin with its header")
    width, height, depth, color, packing, filtering, interlace = HEADER.unpack_from(data, parts[0].body)
    found.width, found.height, found.depth = width, height, depth
    if not (width and height) or depth not in DEPTHS.get(color, ()) or packing or filtering or interlace > 1:
        raise Doubt("has a header that no PNG has")
    for part in parts:
        if part.kind in ANIMATION:
            found.frames = int.from_bytes(data[part.body : min(part.stop, part.body + 4)], "big")
            raise Doubt("is animated")
    if kinds[-1] != b"IEND" or parts[-1].end != len(data):
        raise Doubt("is cut, or has bytes behind its end")
    _check_sums(data, parts)
    _check_order(parts, kinds)
    chunks = {part.kind: part for part in parts}
    _check_colors(chunks, color, depth)
    _check_pixels(data, parts, width * height * depth * CHANNELS[color] // 8)
    _check_texts(data, [part for part in parts if part.kind in TEXTS], limits)
    if exif := chunks.get(b"eXIf"):
        check_exif(data, exif.body, exif.stop, limits)
    if profile := chunks.get(b"iCCP"):
        _check_profile(data, profile, limits)


def _size(part: Part) -> int:
    return part.stop - part.body


def _check_sums(data: bytes, parts: list[Part]) -> None:
    view = memoryview(data)
    for part in parts:
        if zlib.crc32(view[part.start + 4 : part.stop]) != int.from_bytes(view[part.stop : part.end], "big"):
            raise Doubt("has a chunk with a wrong checksum")


def _check_order(parts: list[Part], kinds: list[bytes]) -> None:
    count = kinds.count(b"IDAT")
    first = kinds.index(b"IDAT") if count else 0
    if not count or kinds[first : first + count] != [b"IDAT"] * count:
        raise Doubt("has no pixels, or not in one place")
    if any(kind in kinds[first:] for kind in BEFORE_PIXELS) or any(kinds.count(kind) > 1 for kind in ONCE):
        raise Doubt("has a chunk twice, or behind its pixels")
    for part in parts:
        kind = part.kind
        if not kind.isalpha() or (kind[:1].isupper() and kind not in CRITICAL):
            raise Doubt("has a chunk of an unknown kind")
        if _size(part) != SIZES.get(kind, _size(part)):
            raise Doubt("has a chunk of a wrong size")


def _check_colors(chunks: dict[bytes, Part], color: int, depth: int) -> None:
    """Checks the palette and the transparency."""
    palette, transparency = chunks.get(b"PLTE"), chunks.get(b"tRNS")
    entries = _size(palette) // 3 if palette else 0
    if color == PALETTE and not 1 <= entries <= 1 << depth:
        raise Doubt("lacks its palette")
    if palette and (_size(palette) % 3 or entries > 256 or color in (0, 4)):
        raise Doubt("has a wrong palette")
    if transparency:
        sizes = {0: range(2, 3), 2: range(6, 7), PALETTE: range(1, entries + 1)}.get(color, range(0))
        if _size(transparency) not in sizes or (palette and palette.start > transparency.start):
            raise Doubt("has a wrong transparency")


def _check_pixels(data: bytes, parts: list[Part], rows_bytes: int) -> None:
    """Checks the start of the packed rows (RFC 1950, section 2.2), and that there can be as many as the header says."""
    pixels = [part for part in parts if part.kind == b"IDAT"]
    if rows_bytes > MOST_UNPACKED * sum(map(_size, pixels)):
        raise Doubt("has fewer bytes than its rows need")
    start = data[pixels[0].body : min(pixels[0].stop, pixels[0].body + 2)]
    if len(start) < 2 or start[0] & 15 != 8 or start[0] >> 4 > 7 or start[1] & 32 or int.from_bytes(start, "big") % 31:
        raise Doubt("has pixels that are not packed as in a PNG")


def _check_texts(data: bytes, texts: list[Part], limits: ImageLimits) -> None:
    """Checks that the texts are within the limit, unpacked, and turn nothing."""
    most = 0
    for part in texts:
        if _size(part) > limits.max_text_bytes:
            raise Doubt("has a large text")
        keyword, _, text = data[part.body : part.stop].partition(b"\x00")
        is_packed = part.kind == b"zTXt" or (part.kind == b"iTXt" and text[:1] != b"\x00")
        most += len(text) * (MOST_UNPACKED if is_packed else 1)
        if part.kind == b"zTXt" and text[:1] != b"\x00":
            raise Doubt("has a text that is packed in an unknown way")
        if keyword.lower().startswith(OTHER_METADATA) or (keyword == XMP and is_packed):
            raise Doubt("may be turned by a text")
        if keyword == XMP:
            check_xmp(data, part.body, part.stop, limits)
    if most > limits.max_text_bytes:
        raise Doubt("may have more text than is allowed")


def _check_profile(data: bytes, part: Part, limits: ImageLimits) -> None:
    name, _, packed = data[part.body : min(part.stop, part.body + 82)].partition(b"\x00")
    if not name or packed[:1] != b"\x00" or MOST_UNPACKED * _size(part) > limits.max_profile_bytes:
        raise Doubt("has a color profile that is broken or may be large")
