"""Checks an image file's header and structure before decoding, so that a decompression bomb costs nothing."""

import re
import zlib

from celeste_image.core.errors import NotAnImage
from celeste_image.imaging.limits import ImageLimits, too_large

__all__ = ["check_claims", "kind_of"]

MAX_PARTS = 65_536
"""Chunks of a PNG, segments of a JPEG. Each costs a microsecond or two and may have 4 bytes, so 64 MiB of them took
longer than the CPU time of a decoder. An image of 64 MiB may still have parts of 1 KiB on average."""
MAX_SCANS = 40
"""Scans of a progressive JPEG. Each is a pass over all pixels; encoders make 10 to 20."""
MAX_FILL = 4096
"""Bytes of fill between two segments of a JPEG; Pillow skips them one by one."""

SEGMENT = re.compile(rb"\xff([^\x00\xff])")
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
BARE = (0x01, *range(0xD0, 0xD9))
"""Markers without a length."""

OTHERS = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II\x2a\x00": "TIFF",
    b"MM\x00\x2a": "TIFF",
    b"%PDF": "PDF",
    b"\x00\x00\x01\x00": "ICO",
    b"8BPS": "Photoshop",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"<svg": "SVG",
}
HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def kind_of(data: bytes) -> str:
    """Returns the name of a known format that Celeste does not read; empty for unknown bytes."""
    if data[4:8] == b"ftyp" and data[8:12] in HEIF:
        return "HEIC"
    for start, name in OTHERS.items():
        if data.startswith(start):
            return name
    return "SVG" if data[:5] == b"<?xml" and b"<svg" in data[:4096] else ""


def check_claims(data: bytes, media_type: str, limits: ImageLimits) -> None:
    """Refuses a file whose header declares too much, or that has too many parts.

    Raises:
        ImageTooLarge: Sides, pixels, scans, chunks, segments or the color profile exceed their limit.
        NotAnImage: A JPEG has more than `MAX_FILL` bytes where a segment should begin.
    """
    match media_type:
        case "image/png":
            _check_png(data, limits)
        case "image/jpeg":
            _check_jpeg(data)
        case "image/webp":
            _check_webp(data, limits)


def _check_png(data: bytes, limits: ImageLimits) -> None:
    """Counts the chunks and unpacks the color profile: Pillow has a single limit for the profile and for texts."""
    at, left = 8, limits.max_profile_bytes
    for _ in range(MAX_PARTS):
        kind, start = data[at + 4 : at + 8], at + 8
        at = start + int.from_bytes(data[at : at + 4], "big") + 4
        if kind in (b"IEND", b""):
            return
        if kind == b"iCCP":
            packed = data[data.find(b"\x00", start, at) + 2 : at - 4]
            try:
                left -= len(zlib.decompressobj().decompress(packed, left + 1))
            except zlib.error:  # a broken profile counts as absent
                continue
            if left < 0:
                limit = limits.max_profile_bytes
                raise too_large("bytes of icc_profile", limit, limit - left)
    raise too_large("chunks", MAX_PARTS, MAX_PARTS + 1)


def _check_jpeg(data: bytes) -> None:
    at, scans, progressive = 2, 0, False
    for _ in range(MAX_PARTS):
        found = SEGMENT.search(data, at, at + MAX_FILL)
        if not found:
            if at + MAX_FILL < len(data):
                raise NotAnImage("is damaged or not an image")
            return
        marker, at = found[1][0], found.end()
        if marker == 0xD9:
            return
        if marker in BARE:
            continue
        progressive = progressive or marker in PROGRESSIVE
        at += int.from_bytes(data[at : at + 2], "big")
        if marker == 0xDA:
            scans += 1
            if not progressive:  # a baseline JPEG has at most one scan per color
                return
            if scans > MAX_SCANS:
                raise too_large("scans", MAX_SCANS, scans)
            end = SCAN_END.search(data, at)
            if not end:
                return
            at = end.start()
    raise too_large("segments", MAX_PARTS, MAX_PARTS + 1)


def _check_webp(data: bytes, limits: ImageLimits) -> None:
    """Checks the declared size: Pillow allocates memory for two whole images when it opens a WebP."""

    def number(start: int, end: int) -> int:
        return int.from_bytes(data[start:end], "little")

    match data[12:16]:
        case b"VP8X":
            limits.check_size(1 + number(24, 27), 1 + number(27, 30))
        case b"VP8L":
            limits.check_size(1 + (number(21, 25) & 0x3FFF), 1 + (number(21, 25) >> 14 & 0x3FFF))
        case b"VP8 ":
            limits.check_size(number(26, 28) & 0x3FFF, number(28, 30) & 0x3FFF)
