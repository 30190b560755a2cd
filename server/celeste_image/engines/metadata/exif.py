"""Reads EXIF: all tags of all directories, by their names in EXIF 2.32."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from PIL import ExifTags, Image

from celeste_image.engines.metadata.values import entry

__all__ = ["BROKEN", "exif_entries", "orientation_of", "text_of"]

BROKEN = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, RuntimeError, struct.error)
"""Errors that Pillow raises for malformed directories."""

ORIENTATION = ExifTags.Base.Orientation.value
MAKER_NOTE = ExifTags.Base.MakerNote.value
POINTERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop)
INTEROP = {tag.value: tag.name for tag in ExifTags.Interop}
GROUPS: tuple[tuple[str, int, dict[int, str]], ...] = (
    ("exif", ExifTags.IFD.Exif, ExifTags.TAGS),
    ("gps", ExifTags.IFD.GPSInfo, ExifTags.GPSTAGS),
    ("interop", ExifTags.IFD.Interop, INTEROP),
    ("thumbnail", ExifTags.IFD.IFD1, ExifTags.TAGS),
)
CHARSETS = {b"ASCII\x00\x00\x00": "ascii", b"UNICODE\x00": "utf-16", b"JIS\x00\x00\x00\x00\x00": "iso2022_jp"}
"""Character codes at the start of texts of type UNDEFINED; EXIF 2.32, section 4.6.5."""
DECLARED = (ExifTags.Base.UserComment.value, 0x001B, 0x001C)  # and GPSProcessingMethod, GPSAreaInformation
WINDOWS = range(0x9C9B, 0x9CA0)
"""XPTitle to XPSubject, texts in UTF-16LE of type BYTE."""


def orientation_of(exif: Image.Exif) -> int:
    """Returns the stored orientation, 1 to 8; 0 if it is absent or invalid."""
    value = exif.get(ORIENTATION, 0)
    return value if isinstance(value, int) and 1 <= value <= 8 else 0


def exif_entries(exif: Image.Exif, broken: list[str]) -> Iterator[dict[str, Any]]:
    """Yields every tag, unknown tags by number. Each unreadable directory adds a text to the list `broken`."""
    for tag, value in exif.items():
        if tag not in POINTERS:
            yield _entry("exif", tag, value, ExifTags.TAGS)
    for group, place, names in GROUPS:
        try:
            tags = list(exif.get_ifd(place).items())
        except BROKEN:
            broken.append(f"its {group} metadata can't be read")
            continue
        for tag, value in tags:
            if tag not in POINTERS:
                yield _entry(group, tag, value, names)


def _entry(group: str, tag: int, value: Any, names: dict[int, str]) -> dict[str, Any]:
    name = names.get(tag, f"0x{tag:04x}")
    if tag == MAKER_NOTE and group == "exif":
        return entry(group, name, {"size_bytes": len(value) if isinstance(value, bytes | str) else 0})
    return entry(group, name, text_of(tag, value))


def text_of(tag: int, value: Any) -> Any:
    """Returns the text in a tag's bytes if they declare an encoding, else the value unchanged.

    A tag of type ASCII with other bytes is read as UTF-8 if valid, else as Latin-1.
    """
    if isinstance(value, str):
        with suppress(UnicodeError):
            return value.encode("latin-1").decode()
    if not isinstance(value, bytes):
        return value
    if tag in WINDOWS:
        return value.decode("utf-16-le", "replace")
    charset = CHARSETS.get(value[:8]) if tag in DECLARED else None
    if charset == "utf-16":  # EXIF leaves the byte order open: some writers add a mark, A1111 writes big-endian
        body = value[8:]
        marked = body[:2] in (b"\xff\xfe", b"\xfe\xff")
        charset = "utf-16" if marked else _order(body)
    return value[8:].decode(charset, "replace") if charset else value


def _order(body: bytes) -> str:
    """Returns the UTF-16 byte order in which more characters are Latin."""
    return "utf-16-le" if body[1::2].count(0) > body[::2].count(0) else "utf-16-be"
