"""Structure of a JPEG: its segments up to the end of the image, and all that its scans need (ITU-T T.81, annex B)."""

from typing import Final

from celeste_image.imaging.claims import MAX_SCANS
from celeste_image.imaging.inspector.found import Doubt, Fields, Inspected, parts_within
from celeste_image.imaging.inspector.metadata import check_exif, check_xmp
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.parts import Part

__all__ = ["read"]

FRAMES: Final = (0xC0, 0xC1, 0xC2)
"""Baseline, extended and progressive, with Huffman codes."""
PROGRESSIVE: Final = 0xC2
START, END = 0xD8, 0xD9
MOST_BLOCKS: Final = 10
"""Blocks in a unit of a scan with several colors; T.81, section B.2.3."""
EXIF_HEAD, XMP_HEAD, PROFILE_HEAD = b"Exif\x00\x00", b"http://ns.adobe.com/xap/1.0/\x00", b"ICC_PROFILE\x00"
WINDOW, FEW_MARKS, MARK_BYTES = 1 << 20, 512, 96
"""Each WINDOW of a file may have FEW_MARKS bytes of 0xFF, and one more for each MARK_BYTES: the search for the end of a
scan stops at each. Encoded pixels have one in about 250."""


def read(data: bytes, limits: ImageLimits, found: Inspected) -> None:
    """Reads a JPEG into `found`. Raises Doubt."""
    for at in range(0, len(data), WINDOW):
        size = min(WINDOW, len(data) - at)
        if data.count(b"\xff", at, at + size) > FEW_MARKS + size // MARK_BYTES:
            raise Doubt("has many bytes that may begin a marker")
    parts = parts_within(data)
    frame = next((part for part in parts if part.kind[0] in FRAMES), None)
    if frame is None:
        raise Doubt("has no frame, or of a kind that is rare")
    reader = _Reader(data, limits)
    found.width, found.height = reader.frame(frame)
    at = 0
    for part in parts:
        if part.start != at:
            raise Doubt("has bytes between its segments")
        reader.segment(part)
        at = part.end
    if parts[-1].kind[0] != END or at != len(data):
        raise Doubt("is cut, or has bytes behind its end")
    reader.end()


class _Reader:
    """Reads the segments of one file.

    Attributes:
        is_progressive: Whether the frame is progressive.
        colors: Blocks in a unit and the quantization table of each color, by its id.
    """

    def __init__(self, data: bytes, limits: ImageLimits) -> None:
        self._data, self._limits = data, limits
        self.is_progressive = False
        self.colors: dict[int, tuple[int, int]] = {}
        self._frame = -1
        self._is_framed = False
        self._quantizations: set[int] = set()
        self._codes: set[tuple[int, int]] = set()
        self._seen: set[int] = set()
        self._scans = 0
        self._has_exif = False
        self._profile_bytes = 0

    def segment(self, part: Part) -> None:
        """Checks one segment by what came before it. Raises Doubt."""
        fields = Fields(self._data, part.body, part.stop)
        match part.kind[0]:
            case marker if marker in FRAMES:
                if part.start != self._frame:
                    raise Doubt("has two frames")
                self._is_framed = True
            case 0xC4:
                self._read_codes(fields)
            case 0xDB:
                self._read_quantizations(fields)
            case 0xDA:
                self._scan(part)
            case 0xDD:  # restart interval
                fields.take(2)
                fields.end()
            case marker if 0xE0 <= marker <= 0xEF:
                self._application(part, marker - 0xE0)
            case 0xFE:  # a comment
                pass
            case marker if (marker == START and part.start == 0) or marker == END:
                pass
            case _:
                raise Doubt("has a segment of a rare kind")

    def frame(self, part: Part) -> tuple[int, int]:
        """Returns width and height of the frame. Raises Doubt."""
        self._frame, self.is_progressive = part.start, part.kind[0] == PROGRESSIVE
        fields = Fields(self._data, part.body, part.stop)
        depth, height, width, count = fields.number(1), fields.number(2), fields.number(2), fields.number(1)
        if depth != 8 or not (width and height) or count not in (1, 3, 4):
            raise Doubt("has a frame of a rare kind")
        across, down = set[int](), set[int]()
        for _ in range(count):
            color, sampling, table = fields.number(1), fields.number(1), fields.number(1)
            across.add(sampling >> 4)
            down.add(sampling & 15)
            self.colors[color] = ((sampling >> 4) * (sampling & 15), table)
        fields.end()
        for sides in (across, down):
            if not sides <= {1, 2, 3, 4} or any(max(sides) % side for side in sides) or len(self.colors) < count:
                raise Doubt("has colors of a rare kind")
        return width, height

    def end(self) -> None:
        """Raises Doubt when a color has no scan."""
        if self._seen != set(self.colors):
            raise Doubt("lacks the scan of a color")

    def _read_codes(self, fields: Fields) -> None:
        """Reads Huffman tables. A decoder refuses one with more codes than fit in its bits, or a code of ones alone."""
        while fields.left:
            index, counts, code = fields.number(1), fields.take(16), 0
            for bits, count in enumerate(counts, 1):
                code = 2 * code + count
                if code >= 1 << bits:
                    raise Doubt("has wrong codes")
            values = fields.take(sum(counts))
            if index >> 4 > 1 or index & 15 > 3 or not values or len(values) > 256:
                raise Doubt("has wrong codes")
            if not index >> 4 and max(values) > 15:
                raise Doubt("has wrong codes")
            self._codes.add((index >> 4, index & 15))

    def _read_quantizations(self, fields: Fields) -> None:
        while fields.left:
            index = fields.number(1)
            if index >> 4 > 1 or index & 15 > 3:
                raise Doubt("has a wrong quantization table")
            fields.take(64 << (index >> 4))
            self._quantizations.add(index & 15)

    def _scan(self, part: Part) -> None:
        self._scans += 1
        length = int.from_bytes(self._data[part.body - 2 : part.body], "big")
        fields = Fields(self._data, part.body, part.body - 2 + length)
        selected = [(fields.number(1), fields.number(1)) for _ in range(fields.number(1))]
        first, last, bits = fields.number(1), fields.number(1), fields.number(1)
        fields.end()
        colors = [color for color, _ in selected]
        if self._scans > MAX_SCANS or not (self._is_framed and selected) or fields.at >= part.stop:
            raise Doubt("has too many scans, an empty one, or one before its frame")
        if len(set(colors)) < len(colors) or any(color not in self.colors for color in colors):
            raise Doubt("has a scan of no color")
        if len(colors) > 1 and sum(self.colors[color][0] for color in colors) > MOST_BLOCKS:
            raise Doubt("has a scan of too many blocks")
        if not self._is_spectrum(len(colors), first, last, bits >> 4, bits & 15):
            raise Doubt("has a scan of a rare kind")
        needed = set[tuple[int, int]]()
        for _, tables in selected:
            if not self.is_progressive or (first == 0 and not bits >> 4):
                needed.add((0, tables >> 4))
            if not self.is_progressive or first:
                needed.add((1, tables & 15))
        if not needed <= self._codes or any(self.colors[color][1] not in self._quantizations for color in colors):
            raise Doubt("has a scan before its tables")
        self._seen.update(colors)

    def _is_spectrum(self, count: int, first: int, last: int, high: int, low: int) -> bool:
        """Returns whether a scan of `count` colors may have these coefficients and bits; T.81, section G.1.1.1."""
        if not self.is_progressive:
            return (first, last, high, low) == (0, 63, 0, 0)
        is_band = last == 0 if first == 0 else count == 1 and first <= last <= 63
        return is_band and low <= 13 and high in (0, low + 1)

    def _application(self, part: Part, number: int) -> None:
        """Checks segments whose content a decoder reads; a broken one makes it refuse the file."""
        data, start, size = self._data, part.body, part.stop - part.body
        match number:
            case 0 if data.startswith(b"JFIF", start) and size < 14:
                raise Doubt("has a short JFIF header")
            case 1 if data.startswith(EXIF_HEAD, start, part.stop):
                if self._has_exif:
                    raise Doubt("has EXIF in several segments")
                self._has_exif = True
                check_exif(data, start + len(EXIF_HEAD), part.stop, self._limits)
            case 1 if data.startswith(XMP_HEAD, start, part.stop):
                check_xmp(data, start, part.stop, self._limits)
            case 2 if data.startswith(PROFILE_HEAD, start, part.stop):
                self._profile_bytes += size
                if size < len(PROFILE_HEAD) + 2 or self._profile_bytes > self._limits.max_profile_bytes:
                    raise Doubt("has a color profile that is broken or large")
            case 2 if data.startswith(b"MPF\x00", start):
                raise Doubt("has several images")
            case 13 if data.startswith(b"Photoshop", start):
                raise Doubt("has Photoshop's metadata")
            case 14 if data.startswith(b"Adobe", start) and size < 12:
                raise Doubt("has a short Adobe segment")
