"""Splits an image file into its parts: chunks of PNG and WebP, segments of JPEG, boxes of AVIF."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from celeste_image.core.media import media_type
from celeste_image.imaging.claims import MAX_PARTS

__all__ = ["Part", "boxes_in", "parts_of"]

PNG_START: Final = 8
RIFF_START: Final = 12
SCAN_END: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
BARE: Final = (0x01, *range(0xD0, 0xDA))
"""Markers of a JPEG without a length."""
EOI: Final = 0xD9


class Part(NamedTuple):
    """One part of a file.

    Attributes:
        kind: Type of the chunk or box, four bytes; for a JPEG, the one byte of the marker.
        start: First byte of the part, which is its header.
        body: First byte of the content.
        stop: First byte after the content.
        end: First byte after the part, with its checksum or padding.
    """

    kind: bytes
    start: int
    body: int
    stop: int
    end: int


def parts_of(data: bytes) -> Iterator[Part]:
    """Yields the parts of a PNG, JPEG, WebP or AVIF in order; other bytes have no parts.

    It ends before the first truncated part, and after `MAX_PARTS`, the most that the guard accepts.
    """
    found: Iterator[Part] = iter(())
    match media_type(data[:16]):
        case "image/png":
            found = _png(data)
        case "image/jpeg":
            found = _jpeg(data)
        case "image/webp":
            found = _webp(data)
        case "image/avif":
            found = boxes_in(data, 0, len(data))
    return islice(found, MAX_PARTS)


def _png(data: bytes) -> Iterator[Part]:
    at = PNG_START
    while at + 12 <= len(data):
        stop = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if stop + 4 > len(data):
            return
        yield Part(data[at + 4 : at + 8], at, at + 8, stop, stop + 4)
        at = stop + 4


def _jpeg(data: bytes) -> Iterator[Part]:
    """Yields the segments up to the end of the image; a scan's segment holds its header and its encoded pixels."""
    yield Part(b"\xd8", 0, 2, 2, 2)
    at = 2
    while found := SCAN_END.search(data, at):
        # Bytes between two segments belong to neither; they may be fill before a marker.
        start, marker = found.start(), found[1][0]
        body = found.end()
        if marker in BARE:
            yield Part(found[1], start, body, body, body)
            if marker == EOI:
                return
            at = body
            continue
        stop = body + int.from_bytes(data[body : body + 2], "big")
        if stop > len(data) or stop < body + 2:
            return
        if marker == 0xDA:
            after = SCAN_END.search(data, stop)
            stop = after.start() if after else len(data)
        yield Part(found[1], start, body + 2, stop, stop)
        at = stop


def _webp(data: bytes) -> Iterator[Part]:
    at = RIFF_START
    while at + 8 <= len(data):
        stop = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if stop > len(data):
            return
        end = min(stop + (stop & 1), len(data))
        yield Part(data[at : at + 4], at, at + 8, stop, end)
        at = end


def boxes_in(data: bytes, at: int, end: int) -> Iterator[Part]:
    """Yields the boxes from byte `at` to `end`, up to a truncated one; those of a file, or of another box."""
    while at + 8 <= end:
        size, body = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:
            size, body = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        stop = at + size if size else end
        if stop > end or stop < body:
            return
        yield Part(data[at + 4 : at + 8], at, body, stop, stop)
        at = stop
