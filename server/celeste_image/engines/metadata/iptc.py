"""Reads IPTC-IIM records, which Photoshop stores in JPEG files."""

from collections.abc import Iterator
from typing import Any

from celeste_image.engines.metadata.values import entry

__all__ = ["iptc_entries"]

UTF_8 = b"\x1b%G"
"""The value of dataset 1:90, coded character set, that means UTF-8; IIM 4.2."""
MAX_DATASETS = 4096
NAMES = {
    3: "ObjectTypeReference",
    4: "ObjectAttributeReference",
    5: "ObjectName",
    7: "EditStatus",
    10: "Urgency",
    12: "SubjectReference",
    15: "Category",
    20: "SupplementalCategory",
    22: "FixtureIdentifier",
    25: "Keywords",
    30: "ReleaseDate",
    35: "ReleaseTime",
    37: "ExpirationDate",
    40: "SpecialInstructions",
    55: "DateCreated",
    60: "TimeCreated",
    62: "DigitalCreationDate",
    63: "DigitalCreationTime",
    65: "OriginatingProgram",
    70: "ProgramVersion",
    80: "By-line",
    85: "By-lineTitle",
    90: "City",
    92: "Sub-location",
    95: "Province-State",
    100: "CountryCode",
    101: "CountryName",
    103: "OriginalTransmissionReference",
    105: "Headline",
    110: "Credit",
    115: "Source",
    116: "CopyrightNotice",
    118: "Contact",
    120: "Caption-Abstract",
    122: "Writer-Editor",
}
"""Datasets of the application record, by their names in IIM 4.2."""


def iptc_entries(block: bytes) -> Iterator[dict[str, Any]]:
    """Yields the datasets of the application record; a repeated dataset has a list as its value.

    Reading stops where the block is cut off or malformed. Texts are UTF-8 if declared or valid, else Latin-1.
    """
    found: dict[int, list[str]] = {}
    utf_8 = False
    for record, number, body in _datasets(block):
        if (record, number) == (1, 90):
            utf_8 = body == UTF_8
        elif record == 2 and number:
            found.setdefault(number, []).append(_text(body, utf_8))
    for number, values in found.items():
        yield entry("iptc", NAMES.get(number, f"2:{number:02}"), values if len(values) > 1 else values[0])


def _datasets(block: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    for _ in range(MAX_DATASETS):
        if at + 5 > len(block) or block[at] != 0x1C:
            return
        record, number, size = block[at + 1], block[at + 2], int.from_bytes(block[at + 3 : at + 5], "big")
        at += 5
        if size & 0x8000:  # an extended dataset: this field gives the length of the size field that follows
            wide = size & 0x7FFF
            if wide > 4:
                return
            size, at = int.from_bytes(block[at : at + wide], "big"), at + wide
        if at + size > len(block):
            return
        yield record, number, block[at : at + size]
        at += size


def _text(body: bytes, utf_8: bool) -> str:
    try:
        return body.decode("utf-8", "replace" if utf_8 else "strict")
    except UnicodeDecodeError:
        return body.decode("latin-1")
