"""Structure of a WebP: its RIFF chunks within their lengths, and the header of its frame (RFC 9649, RFC 6386)."""

from typing import Final

from celeste_image.imaging.inspector.found import Doubt, Inspected, parts_within
from celeste_image.imaging.inspector.metadata import check_exif, check_xmp
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.parts import RIFF_START, Part

__all__ = ["read"]

LOSSY, LOSSLESS, EXTENDED = b"VP8 ", b"VP8L", b"VP8X"
OF_EXTENDED: Final = frozenset((LOSSY, LOSSLESS, EXTENDED, b"ICCP", b"ALPH", b"EXIF", b"XMP ", b"C2PA"))
FRAME: Final = b"ANMF"
ANIMATED, UNKNOWN = 0x02, 0xC1
"""Flags of VP8X."""
EXTENDED_BYTES: Final = 10
EXIF_HEAD: Final = b"Exif\x00\x00"
LOSSY_START, LOSSLESS_START = b"\x9d\x01\x2a", b"\x2f"
LOSSY_HEAD_BYTES: Final = 10
MOST_PROFILE: Final = 3


def read(data: bytes, limits: ImageLimits, found: Inspected) -> None:
    """Reads a WebP into `found`. Raises Doubt."""
    size = found.width, found.height = _size(data, data[RIFF_START : RIFF_START + 4], RIFF_START + 8)
    parts = parts_within(data)
    kinds = [part.kind for part in parts]
    if kinds[0] == EXTENDED and (data[parts[0].body] & ANIMATED or FRAME in kinds):
        found.frames = kinds.count(FRAME)
        raise Doubt("is animated")
    if 8 + int.from_bytes(data[4:8], "little") != len(data) or parts[-1].end != len(data):
        raise Doubt("is cut, or has bytes behind its end")
    if any(part.end - part.stop != part.stop % 2 for part in parts):
        raise Doubt("lacks the fill behind a chunk")
    _check_chunks(data, parts, kinds)
    chunks = {part.kind: part for part in parts}
    frame = chunks.get(LOSSY) or chunks[LOSSLESS]
    if _size(data, frame.kind, frame.body) != size:
        raise Doubt("has a frame of another size")
    _check_frame(data, frame)
    if alpha := chunks.get(b"ALPH"):
        _check_alpha(data, alpha, found.width * found.height)
    if exif := chunks.get(b"EXIF"):
        head = len(EXIF_HEAD) if data.startswith(EXIF_HEAD, exif.body) else 0
        check_exif(data, exif.body + head, exif.stop, limits)
    if xmp := chunks.get(b"XMP "):
        check_xmp(data, xmp.body, xmp.stop, limits)
    if (profile := chunks.get(b"ICCP")) and profile.stop - profile.body > limits.max_profile_bytes:
        raise Doubt("has a large color profile")


def _size(data: bytes, kind: bytes, body: int) -> tuple[int, int]:
    """Returns width and height in the first chunk or the frame, whose content begins at `body`. Raises Doubt."""
    head = data[body : body + 10]
    match kind:
        case b"VP8X" if len(head) == 10:
            return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
        case b"VP8L" if len(head) >= 5 and head.startswith(LOSSLESS_START):
            bits = int.from_bytes(head[1:5], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 " if len(head) == 10 and head[3:6] == LOSSY_START:
            return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    raise Doubt("has no header of a WebP")


def _check_chunks(data: bytes, parts: list[Part], kinds: list[bytes]) -> None:
    """Checks that there is one frame, and that each other chunk is known and there once."""
    if kinds[0] != EXTENDED:
        if len(kinds) > 1:
            raise Doubt("has chunks behind its frame")
        return
    if len(set(kinds)) < len(kinds) or not OF_EXTENDED.issuperset(kinds):
        raise Doubt("has a chunk twice, or of an unknown kind")
    frames = [at for at, kind in enumerate(kinds) if kind in (LOSSY, LOSSLESS)]
    if len(frames) != 1 or (b"ALPH" in kinds and kinds[frames[0] - 1 : frames[0] + 1] != [b"ALPH", LOSSY]):
        raise Doubt("has no frame, or several")
    if parts[0].stop - parts[0].body != EXTENDED_BYTES or data[parts[0].body] & UNKNOWN:
        raise Doubt("has a header of a rare kind")
    if b"ICCP" in kinds[frames[0] :]:
        raise Doubt("has its color profile behind its frame")


def _check_frame(data: bytes, frame: Part) -> None:
    """Checks the rest of a frame's header; RFC 9649, section 3.4, and RFC 6386, section 9.1."""
    size = frame.stop - frame.body
    if frame.kind == LOSSLESS:
        if size < 5 or data[frame.body + 4] >> 5:
            raise Doubt("has a frame of an unknown version")
        return
    tag = int.from_bytes(data[frame.body : frame.body + 3], "little")
    is_between, profile, is_shown, first_bytes = tag & 1, tag >> 1 & 7, tag >> 4 & 1, tag >> 5
    if is_between or profile > MOST_PROFILE or not is_shown or LOSSY_HEAD_BYTES + first_bytes > size:
        raise Doubt("has a frame of a rare kind, or a short one")


def _check_alpha(data: bytes, part: Part, pixels: int) -> None:
    """Checks the header of the opacity; RFC 9649, section 2.7.1.2. Bytes that are not packed must be there for all."""
    size, head = part.stop - part.body, data[part.body] if part.stop > part.body else 0xFF
    if head & 3 > 1 or head >> 4 & 3 > 1 or head >> 6 or (not head & 3 and size - 1 < pixels):
        raise Doubt("has a wrong opacity")
