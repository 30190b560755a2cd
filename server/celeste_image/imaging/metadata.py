"""Strips the metadata of an image file, or writes a recipe into it, without encoding the pixels again.

The pixels stay bit for bit: chunks, segments and boxes are copied, removed or added. The files come from vendors, so
this runs in worker processes only.
"""

import io
import re
import struct
import zlib
from contextlib import suppress
from typing import Final

from PIL import ExifTags, Image

from celeste_image.core.media import media_type
from celeste_image.core.recipe import RecipeTexts
from celeste_image.imaging.parts import Part, parts_of

__all__ = ["CannotWriteMetadata", "strip_metadata", "write_recipe"]

PNG_KEPT: Final = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs acTL fcTL fdAT".split()
)
"""Chunks that a viewer needs to show the pixels; all others are metadata."""
WEBP_KEPT: Final = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
WEBP_PIXELS: Final = (b"VP8 ", b"VP8L", b"ANMF")
WEBP_FIRST: Final = {b"VP8X": 10, b"VP8 ": 10, b"VP8L": 5}
"""Chunks that a file may begin with, and the bytes of each one's header."""
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


class CannotWriteMetadata(Exception):
    """The metadata of a file can't be changed; the text says why."""


def strip_metadata(data: bytes) -> bytes:
    """Returns the file with only the metadata that viewers need: color profile, orientation, resolution.

    Raises:
        CannotWriteMetadata: The file is not PNG, JPEG or WebP, or is truncated.
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
            raise CannotWriteMetadata(f"metadata of {other} can't be removed")


def write_recipe(data: bytes, recipe: RecipeTexts) -> bytes:
    """Returns the file with a recipe in it; its other metadata stays.

    Raises:
        CannotWriteMetadata: The file is not PNG, JPEG or WebP, is truncated, has no room for the recipe, or has
            content credentials, which any change of the file would break.
    """
    match media_type(data[:16]):
        case "image/png":
            return _write_png(data, recipe)
        case "image/jpeg":
            return _write_jpeg(data, recipe)
        case "image/webp":
            return _write_webp(data, recipe)
        case other:
            raise CannotWriteMetadata(f"a recipe can't be written into {other}")


def _write_png(data: bytes, recipe: RecipeTexts) -> bytes:
    parts = _whole_png(data)
    _refuse_credentials(any(part.kind == b"caBX" for part in parts))
    named = [part for part in parts if part.kind in (b"tEXt", b"zTXt", b"iTXt")]
    texts = {data[part.body : part.body + 80].partition(b"\x00")[0]: part for part in named}
    packet = recipe.packet.encode()
    old = texts.get(XMP_TEXT)
    if old:
        packet = _merged(_unpacked(data[old.body : old.stop]), recipe)
    added = [_chunk(b"iTXt", XMP_TEXT + bytes(5) + packet)]
    if PARAMETERS not in texts:
        added.append(_chunk(b"iTXt", PARAMETERS + bytes(5) + recipe.parameters.encode()))
    pieces = [data[part.start : part.end] for part in parts if part is not old]
    return data[:8] + b"".join([pieces[0], *added, *pieces[1:]])


def _write_jpeg(data: bytes, recipe: RecipeTexts) -> bytes:
    parts = _whole_jpeg(data)
    bodies = {part.start: data[part.body : part.stop] for part in parts if part.kind in (APP1, APP11)}
    _refuse_credentials(any(part.kind == APP11 and bodies[part.start][:2] == b"JP" for part in parts))
    old = next((part for part in parts if bodies.get(part.start, b"").startswith(XMP_HEAD)), None)
    packet = _merged(bodies[old.start][len(XMP_HEAD) :], recipe) if old else recipe.packet.encode()
    if len(XMP_HEAD) + len(packet) > SEGMENT_BYTES:
        room = SEGMENT_BYTES - len(XMP_HEAD)
        raise CannotWriteMetadata(f"the recipe has {len(packet):,} bytes, a JPEG has room for {room:,}")
    added = [_segment(APP1, XMP_HEAD + packet)]
    has_exif = any(body.startswith(EXIF_HEAD) for body in bodies.values())
    exif = EXIF_HEAD + _comment_exif(recipe)
    if not has_exif and len(exif) <= SEGMENT_BYTES:
        added.insert(0, _segment(APP1, exif))
    kept = [part for part in parts if part is not old]
    head = 1
    while head < len(kept) and (kept[head].kind == APP0 or bodies.get(kept[head].start, b"").startswith(EXIF_HEAD)):
        head += 1  # JFIF and EXIF come first
    tail = data[parts[-1].end :]  # phones append smaller images
    pieces = [data[part.start : part.end] for part in kept]
    return b"".join([*pieces[:head], *added, *pieces[head:], tail])


def _write_webp(data: bytes, recipe: RecipeTexts) -> bytes:
    parts = _whole_webp(data)
    _refuse_credentials(any(part.kind == b"C2PA" for part in parts))
    old = next((part for part in parts if part.kind == b"XMP "), None)
    packet = _merged(data[old.body : old.stop], recipe) if old else recipe.packet.encode()
    exif = next((data[part.body : part.stop] for part in parts if part.kind == b"EXIF"), None) or _comment_exif(recipe)
    kept = [part for part in parts if part.kind not in (b"XMP ", b"EXIF")]
    return _webp(data, kept, {b"EXIF": exif, b"XMP ": packet})


def _refuse_credentials(has_some: bool) -> None:
    if has_some:
        text = "a change would break the image's content credentials; output_metadata STRIP removes them"
        raise CannotWriteMetadata(text)


def _whole_png(data: bytes) -> list[Part]:
    parts = []
    for part in parts_of(data):
        parts.append(part)
        if part.kind == b"IEND" and parts[0].kind == b"IHDR":
            return parts
    raise CannotWriteMetadata("the PNG is truncated")


def _whole_jpeg(data: bytes) -> list[Part]:
    parts = list(parts_of(data))
    if not parts or parts[-1].kind != EOI or all(part.kind != SOS for part in parts):
        raise CannotWriteMetadata("the JPEG is truncated")
    return parts


def _whole_webp(data: bytes) -> list[Part]:
    parts = list(parts_of(data))
    has_pixels = any(part.kind in WEBP_PIXELS for part in parts)
    has_head = parts and parts[0].stop - parts[0].body >= WEBP_FIRST.get(parts[0].kind, 1 << 32)
    if not (has_pixels and has_head) or parts[-1].end < len(data) - 8:
        raise CannotWriteMetadata("the WebP is truncated")
    return parts


def _is_kept(data: bytes, part: Part) -> bool:
    """Returns whether a viewer needs a JPEG's segment: JFIF, color profile, Adobe's color transform."""
    if part.kind not in APPS_AND_COMMENT:
        return True
    body = data[part.body : part.body + 12]
    return (
        (part.kind == APP0 and body.startswith(b"JFIF\x00"))
        or (part.kind == APP2 and body.startswith(b"ICC_PROFILE\x00"))
        or (part.kind == APP14 and body.startswith(b"Adobe"))
    )


def _webp(data: bytes, parts: list[Part], added: dict[bytes, bytes]) -> bytes:
    """Returns a WebP of the parts, then EXIF and XMP; a simple file becomes an extended one if it needs them."""
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
    """Returns width - 1 and height - 1, 3 bytes each, of a simple file; RFC 6386 section 9.1, RFC 9649 section 3.4."""
    if part.kind == b"VP8L":
        bits = int.from_bytes(data[part.body + 1 : part.body + 5], "little")
        width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF
    else:
        width, height = (int.from_bytes(data[part.body + at : part.body + at + 2], "little") & 0x3FFF for at in (6, 8))
        width, height = max(width, 1) - 1, max(height, 1) - 1
    return width.to_bytes(3, "little") + height.to_bytes(3, "little")


def _merged(packet: bytes, recipe: RecipeTexts) -> bytes:
    """Returns an XMP packet with the recipe's description added at its end."""
    ends = list(RDF_END.finditer(packet))
    if not ends:
        raise CannotWriteMetadata("the image's XMP packet has no end of rdf:RDF, so the recipe can't be added")
    at = ends[-1].start()
    return packet[:at] + recipe.description.encode() + packet[at:]


def _unpacked(body: bytes) -> bytes:
    """Returns the text of an iTXt chunk: keyword, two bytes of compression, language, translated keyword, text."""
    _, _, rest = body.partition(b"\x00")
    text = rest[2:].partition(b"\x00")[2].partition(b"\x00")[2]
    if rest[:1] != b"\x01":
        return text
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(text, PACKET_BYTES)
    return b""


def _orientation_exif(data: bytes) -> bytes:
    """Returns EXIF with only the orientation; empty when the image is upright."""
    with suppress(Exception):  # unreadable EXIF counts as upright
        with Image.open(io.BytesIO(data)) as image:
            turn = image.getexif().get(ORIENTATION, 1)
        if isinstance(turn, int) and 2 <= turn <= 8:
            exif = Image.Exif()
            exif[ORIENTATION] = turn
            return exif.tobytes().removeprefix(EXIF_HEAD)
    return b""


def _comment_exif(recipe: RecipeTexts) -> bytes:
    """Returns EXIF with the recipe as its user comment."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[USER_COMMENT] = b"UNICODE\x00" + recipe.parameters.encode("utf-16-be")
    return exif.tobytes().removeprefix(EXIF_HEAD)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _segment(marker: bytes, body: bytes) -> bytes:
    return b"\xff" + marker + struct.pack(">H", len(body) + 2) + body


def _riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) & 1)
