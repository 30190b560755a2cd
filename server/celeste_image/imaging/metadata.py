"""What a made picture's file says besides its pixels: taken out, or added, without coding the pixels anew.

Pixels stay bit for bit as they are: chunks, segments and boxes are copied, left out or put in. Runs in worker processes
only, since the files are from outside.
"""

import io
import re
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from PIL import ExifTags, Image

from celeste_image.core.media import media_type
from celeste_image.imaging.parts import Part, parts_of

__all__ = ["CannotLabel", "Label", "add_label", "strip_label"]

PNG_KEPT: Final = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs acTL fcTL fdAT".split()
)
"""Chunks that say how the pixels are to be shown; all others are about the picture."""
WEBP_KEPT: Final = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
WEBP_PIXELS: Final = (b"VP8 ", b"VP8L", b"ANMF")
WEBP_FIRST: Final = {b"VP8X": 10, b"VP8 ": 10, b"VP8L": 5}
"""What a file may begin with, and how many bytes of it are its header."""
HAS_ALPHA, HAS_EXIF, HAS_XMP = 0x10, 0x08, 0x04
"""Flags of VP8X, RFC 9649 section 2.7."""
APP0, APP1, APP2, APP11, APP14, SOS, EOI = (bytes([marker]) for marker in (0xE0, 0xE1, 0xE2, 0xEB, 0xEE, 0xDA, 0xD9))
APPS_AND_COMMENT: Final = frozenset(bytes([marker]) for marker in (*range(0xE0, 0xF0), 0xFE))
EXIF_HEAD, XMP_HEAD = b"Exif\x00\x00", b"http://ns.adobe.com/xap/1.0/\x00"
SEGMENT_BYTES: Final = 65_533
XMP_TEXT, PARAMETERS = b"XML:com.adobe.xmp", b"parameters"
RDF_END: Final = re.compile(rb"</rdf:RDF\s*>")
PACKET_BYTES: Final = 1 << 20
ORIENTATION: Final = ExifTags.Base.Orientation.value
USER_COMMENT: Final = ExifTags.Base.UserComment.value


class CannotLabel(Exception):
    """The file stays as it is; the text says why."""


@dataclass(frozen=True, slots=True)
class Label:
    """What to write.

    Attributes:
        packet: A whole XMP packet.
        description: The `rdf:Description` in it, to be put into a packet that is there.
        parameters: The recipe in lines as AUTOMATIC1111 writes them, for programs that read these.
    """

    packet: str
    description: str
    parameters: str


def strip_label(data: bytes) -> bytes:
    """Returns a file with nothing but what its pixels need: color profile, orientation, resolution.

    Raises CannotLabel: It is not PNG, JPEG or WebP, or not whole.
    """
    turned = _orientation_exif(data)
    match media_type(data[:16]):
        case "image/png":
            kept = [part for part in _whole_png(data) if part.kind in PNG_KEPT]
            pieces = [data[part.start : part.end] for part in kept]
            return data[:8] + b"".join([pieces[0], *([_chunk(b"eXIf", turned)] * bool(turned)), *pieces[1:]])
        case "image/jpeg":
            exif = [_segment(APP1, EXIF_HEAD + turned)] * bool(turned)
            parts = [part for part in _whole_jpeg(data) if _is_kept(data, part)]
            first = 2 if len(parts) > 1 and parts[1].kind == APP0 else 1
            pieces = [data[part.start : part.end] for part in parts]
            return b"".join([*pieces[:first], *exif, *pieces[first:]])
        case "image/webp":
            parts = [part for part in _whole_webp(data) if part.kind in WEBP_KEPT]
            return _webp(data, parts, {b"EXIF": turned} if turned else {})
        case other:
            raise CannotLabel(f"metadata of {other} can't be taken out")


def add_label(data: bytes, label: Label) -> bytes:
    """Returns a file with a label in it; what it says already stays.

    Raises CannotLabel: It is not PNG, JPEG or WebP, not whole, has no room, or has content credentials, which a change
    of the file would break.
    """
    match media_type(data[:16]):
        case "image/png":
            return _labeled_png(data, label)
        case "image/jpeg":
            return _labeled_jpeg(data, label)
        case "image/webp":
            return _labeled_webp(data, label)
        case other:
            raise CannotLabel(f"nothing can be written into {other}")


def _labeled_png(data: bytes, label: Label) -> bytes:
    parts = _whole_png(data)
    _refuse_credentials(any(part.kind == b"caBX" for part in parts))
    named = [part for part in parts if part.kind in (b"tEXt", b"zTXt", b"iTXt")]
    texts = {data[part.body : part.body + 80].partition(b"\x00")[0]: part for part in named}
    packet = label.packet.encode()
    old = texts.get(XMP_TEXT)
    if old:
        packet = _joined(_unpacked(data[old.body : old.stop]), label)
    added = [_chunk(b"iTXt", XMP_TEXT + bytes(5) + packet)]
    if PARAMETERS not in texts:
        added.append(_chunk(b"iTXt", PARAMETERS + bytes(5) + label.parameters.encode()))
    pieces = [data[part.start : part.end] for part in parts if part is not old]
    return data[:8] + b"".join([pieces[0], *added, *pieces[1:]])


def _labeled_jpeg(data: bytes, label: Label) -> bytes:
    parts = _whole_jpeg(data)
    bodies = {part.start: data[part.body : part.stop] for part in parts if part.kind in (APP1, APP11)}
    _refuse_credentials(any(part.kind == APP11 and bodies[part.start][:2] == b"JP" for part in parts))
    old = next((part for part in parts if bodies.get(part.start, b"").startswith(XMP_HEAD)), None)
    packet = _joined(bodies[old.start][len(XMP_HEAD) :], label) if old else label.packet.encode()
    if len(XMP_HEAD) + len(packet) > SEGMENT_BYTES:
        raise CannotLabel(
            f"the recipe has {len(packet):,} bytes, a JPEG has room for {SEGMENT_BYTES - len(XMP_HEAD):,}"
        )
    added = [_segment(APP1, XMP_HEAD + packet)]
    has_exif = any(body.startswith(EXIF_HEAD) for body in bodies.values())
    exif = EXIF_HEAD + _comment_exif(label)
    if not has_exif and len(exif) <= SEGMENT_BYTES:
        added.insert(0, _segment(APP1, exif))
    kept = [part for part in parts if part is not old]
    head = 1
    while head < len(kept) and (kept[head].kind == APP0 or bodies.get(kept[head].start, b"").startswith(EXIF_HEAD)):
        head += 1  # JFIF and EXIF want to be first
    tail = data[parts[-1].end :]  # the small pictures that phones put behind the large one
    pieces = [data[part.start : part.end] for part in kept]
    return b"".join([*pieces[:head], *added, *pieces[head:], tail])


def _labeled_webp(data: bytes, label: Label) -> bytes:
    parts = _whole_webp(data)
    _refuse_credentials(any(part.kind == b"C2PA" for part in parts))
    old = next((part for part in parts if part.kind == b"XMP "), None)
    packet = _joined(data[old.body : old.stop], label) if old else label.packet.encode()
    exif = next((data[part.body : part.stop] for part in parts if part.kind == b"EXIF"), None) or _comment_exif(label)
    kept = [part for part in parts if part.kind not in (b"XMP ", b"EXIF")]
    return _webp(data, kept, {b"EXIF": exif, b"XMP ": packet})


def _refuse_credentials(has_some: bool) -> None:
    if has_some:
        text = (
            "it has content credentials, which a change of the file would break; output_metadata STRIP takes them out"
        )
        raise CannotLabel(text)


def _whole_png(data: bytes) -> list[Part]:
    parts = []
    for part in parts_of(data):
        parts.append(part)
        if part.kind == b"IEND" and parts[0].kind == b"IHDR":
            return parts
    raise CannotLabel("the PNG is not whole")


def _whole_jpeg(data: bytes) -> list[Part]:
    parts = list(parts_of(data))
    if not parts or parts[-1].kind != EOI or all(part.kind != SOS for part in parts):
        raise CannotLabel("the JPEG is not whole")
    return parts


def _whole_webp(data: bytes) -> list[Part]:
    parts = list(parts_of(data))
    has_pixels = any(part.kind in WEBP_PIXELS for part in parts)
    has_head = parts and parts[0].stop - parts[0].body >= WEBP_FIRST.get(parts[0].kind, 1 << 32)
    if not (has_pixels and has_head) or parts[-1].end < len(data) - 8:
        raise CannotLabel("the WebP is not whole")
    return parts


def _is_kept(data: bytes, part: Part) -> bool:
    """Tells whether a JPEG's segment is about how it is shown: JFIF, color profile, Adobe's color transform."""
    if part.kind not in APPS_AND_COMMENT:
        return True
    body = data[part.body : part.body + 12]
    return (
        (part.kind == APP0 and body.startswith(b"JFIF\x00"))
        or (part.kind == APP2 and body.startswith(b"ICC_PROFILE\x00"))
        or (part.kind == APP14 and body.startswith(b"Adobe"))
    )


def _webp(data: bytes, parts: list[Part], added: dict[bytes, bytes]) -> bytes:
    """Returns a WebP of some parts, with EXIF and XMP after them; it becomes an extended file where it has to."""
    first = parts[0]
    body = bytearray(data[first.body : first.stop])
    if first.kind != b"VP8X":
        if not added:
            return data[:4] + struct.pack("<I", first.end - 8) + data[8 : first.end]
        body = bytearray(struct.pack("<B3x", HAS_ALPHA if _has_alpha(data, first) else 0) + _canvas(data, first))
    body[0] = body[0] & ~(HAS_EXIF | HAS_XMP) | HAS_EXIF * (b"EXIF" in added) | HAS_XMP * (b"XMP " in added)
    pixels = [(part.kind, data[part.body : part.stop]) for part in parts if part.kind != b"VP8X"]
    chunks = b"".join(_riff_chunk(*chunk) for chunk in ((b"VP8X", bytes(body)), *pixels, *added.items()))
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def _has_alpha(data: bytes, part: Part) -> bool:
    return part.kind == b"VP8L" and bool(data[part.body + 4] & 0x10)


def _canvas(data: bytes, part: Part) -> bytes:
    """Returns width and height less one, 3 bytes each, of a simple file; RFC 6386 section 9.1, RFC 9649 section 3.4."""
    if part.kind == b"VP8L":
        bits = int.from_bytes(data[part.body + 1 : part.body + 5], "little")
        width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF
    else:
        width, height = (int.from_bytes(data[part.body + at : part.body + at + 2], "little") & 0x3FFF for at in (6, 8))
        width, height = max(width, 1) - 1, max(height, 1) - 1
    return width.to_bytes(3, "little") + height.to_bytes(3, "little")


def _joined(packet: bytes, label: Label) -> bytes:
    """Returns a packet that is there with a label's description at its end."""
    ends = list(RDF_END.finditer(packet))
    if not ends:
        raise CannotLabel("its XMP is not as others write it, so that nothing can be added")
    at = ends[-1].start()
    return packet[:at] + label.description.encode() + packet[at:]


def _unpacked(body: bytes) -> bytes:
    """Returns the text of an iTXt chunk: keyword, two bytes about packing, language, keyword again, text."""
    _, _, rest = body.partition(b"\x00")
    text = rest[2:].partition(b"\x00")[2].partition(b"\x00")[2]
    if rest[:1] != b"\x01":
        return text
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(text, PACKET_BYTES)
    return b""


def _orientation_exif(data: bytes) -> bytes:
    """Returns EXIF with nothing but the orientation, nothing where the picture is upright."""
    with suppress(Exception):  # EXIF that can't be read has none
        with Image.open(io.BytesIO(data)) as image:
            turn = image.getexif().get(ORIENTATION, 1)
        if isinstance(turn, int) and 2 <= turn <= 8:
            exif = Image.Exif()
            exif[ORIENTATION] = turn
            return exif.tobytes().removeprefix(EXIF_HEAD)
    return b""


def _comment_exif(label: Label) -> bytes:
    """Returns EXIF with the recipe as its comment."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[USER_COMMENT] = b"UNICODE\x00" + label.parameters.encode("utf-16-be")
    return exif.tobytes().removeprefix(EXIF_HEAD)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _segment(marker: bytes, body: bytes) -> bytes:
    return b"\xff" + marker + struct.pack(">H", len(body) + 2) + body


def _riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) & 1)
