"""Structure of an AVIF: one AV1 image, with or without opacity, within its boxes.

Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (items and their properties), AVIF 1.1, AV1-ISOBMFF, and the AV1
specification, sections 5.3 and 5.5 (the header of the sequence).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Final

from celeste_image.imaging.declared import depth_of
from celeste_image.imaging.inspector.found import Doubt, Fields, Inspected, parts_within
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.parts import Part, boxes_in

__all__ = ["read"]

MOST_BOXES, MOST_ITEMS, MOST_EXTENTS = 64, 2, 8
TOP: Final = frozenset((b"ftyp", b"meta", b"mdat", b"free", b"uuid"))
OF_META: Final = frozenset((b"hdlr", b"pitm", b"iinf", b"iloc", b"iprp", b"iref", b"free"))
PROPERTIES: Final = frozenset((b"ispe", b"pixi", b"av1C", b"colr", b"auxC"))
"""Properties that neither turn nor cut an image, nor make it of others."""
PLAIN: Final = bytes(4)
"""Version and flags of a box."""
HANDLER: Final = re.compile(rb"\0{8}pict.{12}[^\0]*\0", re.DOTALL)
ALPHA: Final = (
    PLAIN + b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0",
    PLAIN + b"urn:mpeg:hevc:2015:auxid:1\0",
)
MATRICES: Final = (1, 2, 5, 6, 9)
"""Codes of H.273 for the conversion to RGB that every decoder has."""
AV1C: Final = 0x81
SEQUENCE_HEADER: Final = 1
HEAD_BYTES: Final = 64

Size = tuple[int, int]
Extent = tuple[int, int]
"""First byte and length."""


@dataclass(slots=True)
class Item:
    """An item of the file.

    Attributes:
        kind: `av01` for an AV1 image.
        extents: Its pieces.
        properties: Its properties.
    """

    kind: bytes
    extents: list[Extent]
    properties: list[Part]

    def of(self, kind: bytes) -> list[Part]:
        """Returns the properties of a kind."""
        return [part for part in self.properties if part.kind == kind]


def read(data: bytes, limits: ImageLimits, found: Inspected) -> None:
    """Reads an AVIF into `found`. Raises Doubt."""
    boxes = parts_within(data)
    meta = _one(boxes, b"meta")
    inside = _children(data, meta, len(PLAIN))
    described = _children(data, _one(inside, b"iprp"))
    properties = _children(data, _one(described, b"ipco"))
    sizes = [_size(data, part) for part in properties if part.kind == b"ispe"]
    found.width, found.height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    found.depth = depth_of(data)
    if boxes[-1].end != len(data) or not TOP.issuperset(box.kind for box in boxes) or data[8:12] != b"avif":
        raise Doubt("is cut, is a sequence, or has unknown boxes")
    handler = _one(inside, b"hdlr")
    if not OF_META.issuperset(box.kind for box in inside) or not data.startswith(PLAIN, meta.body):
        raise Doubt("has items of a rare kind")
    if not HANDLER.fullmatch(data, handler.body, handler.stop):
        raise Doubt("has no handler of images")
    items = _items(data, inside, properties, _associated(data, _one(described, b"ipma")))
    main = items.get(_main(data, _one(inside, b"pitm")))
    if main is None or main.of(b"auxC") or any(item is not main and not item.of(b"auxC") for item in items.values()):
        raise Doubt("has several images, or none")
    for box in inside:
        if box.kind == b"iref":
            _check_references(data, box, items, main)
    _check_places([box for box in boxes if box.kind == b"mdat"], items.values())
    for item in items.values():
        _check_item(data, item, (found.width, found.height))
    if any(part.stop - part.body > limits.max_profile_bytes for part in properties if part.kind == b"colr"):
        raise Doubt("has a large color profile")


def _one(boxes: list[Part], kind: bytes) -> Part:
    """Returns the only box of a kind. Raises Doubt."""
    found = [box for box in boxes if box.kind == kind]
    if len(found) != 1:
        raise Doubt(f"has {len(found)} boxes {kind.decode()}")
    return found[0]


def _children(data: bytes, box: Part, skipped: int = 0) -> list[Part]:
    """Returns the boxes in a box behind `skipped` bytes. Raises Doubt when they don't fill it, or are many."""
    found = list(islice(boxes_in(data, box.body + skipped, box.stop), MOST_BOXES))
    if not found or found[-1].end != box.stop:
        raise Doubt("has boxes that don't fit, or many")
    return found


def _items(
    data: bytes, inside: list[Part], properties: list[Part], associated: dict[int, list[int]]
) -> dict[int, Item]:
    """Returns the items by their id. Raises Doubt."""
    kinds, extents = _kinds(data, _one(inside, b"iinf")), _extents(data, _one(inside, b"iloc"))
    if not 0 < len(kinds) <= MOST_ITEMS or not kinds.keys() == extents.keys() == associated.keys():
        raise Doubt("has items without a place, or without properties")
    found = {}
    for key, kind in kinds.items():
        numbers = associated[key]
        if len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(1, len(properties) + 1)):
            raise Doubt("has an item with a property that is not there, or with one twice")
        found[key] = Item(kind, extents[key], [properties[number - 1] for number in numbers])
    return found


def _main(data: bytes, box: Part) -> int:
    """Returns the id of the main item. Raises Doubt."""
    fields = Fields(data, box.body, box.stop)
    if fields.number(4):
        raise Doubt("has a main item of a rare kind")
    return fields.number(2)


def _kinds(data: bytes, box: Part) -> dict[int, bytes]:
    """Returns the kind of each item. Raises Doubt."""
    fields = Fields(data, box.body, box.stop)
    if fields.number(4):
        raise Doubt("has items of a rare kind")
    count, found = fields.number(2), dict[int, bytes]()
    for entry in _children(data, box, 6):
        inner = Fields(data, entry.body, entry.stop)
        version, _, key, protection, kind = (inner.number(size) for size in (1, 3, 2, 2, 4))
        if entry.kind != b"infe" or version != 2 or protection or key in found:
            raise Doubt("has items of a rare kind")
        if data[entry.stop - 1]:
            raise Doubt("has an item whose name has no end")
        found[key] = kind.to_bytes(4, "big")
    if len(found) != count:
        raise Doubt("has another number of items than it says")
    return found


def _extents(data: bytes, box: Part) -> dict[int, list[Extent]]:
    """Returns where each item is. Raises Doubt."""
    fields = Fields(data, box.body, box.stop)
    version, _, sizes, count = (fields.number(size) for size in (1, 3, 2, 2))
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    if version > 1 or not {0, 4, 8}.issuperset((offset_size, length_size, base_size)) or index_size:
        raise Doubt("has places of a rare kind")
    if count > MOST_ITEMS:
        raise Doubt("has many items")
    found = dict[int, list[Extent]]()
    for _ in range(count):
        key = fields.number(2)
        if (version and fields.number(2)) or fields.number(2):  # not in the file itself
            raise Doubt("has places of a rare kind")
        base, pieces = fields.number(base_size), fields.number(2)
        if pieces > MOST_EXTENTS or key in found:
            raise Doubt("has many pieces")
        found[key] = [(base + fields.number(offset_size), fields.number(length_size)) for _ in range(pieces)]
    fields.end()
    return found


def _associated(data: bytes, box: Part) -> dict[int, list[int]]:
    """Returns the properties of each item, numbered from 1. Raises Doubt."""
    fields = Fields(data, box.body, box.stop)
    version, flags, count = fields.number(1), fields.number(3), fields.number(4)
    if version or flags > 1 or count > MOST_ITEMS:
        raise Doubt("has properties of a rare kind")
    found = dict[int, list[int]]()
    for _ in range(count):
        key, number = fields.number(2), fields.number(1)
        if key in found:
            raise Doubt("has the properties of an item twice")
        mask = 0x7FFF if flags else 0x7F  # without the bit "essential"
        found[key] = [fields.number(1 + flags) & mask for _ in range(number)]
    fields.end()
    return found


def _check_references(data: bytes, box: Part, items: dict[int, Item], main: Item) -> None:
    """Checks that the only references are those between an image and its opacity. Raises Doubt."""
    if not data.startswith(PLAIN, box.body):
        raise Doubt("has items that refer to others")
    for each in _children(data, box, len(PLAIN)):
        fields = Fields(data, each.body, each.stop)
        source, count, target = items.get(fields.number(2)), fields.number(2), items.get(fields.number(2))
        fields.end()
        ends = {b"auxl": target, b"prem": source}
        if count != 1 or source is None or target is None or source is target or ends.get(each.kind) is not main:
            raise Doubt("has items that refer to others")


def _check_places(stored: list[Part], items: Collection[Item]) -> None:
    """Checks that the pieces of items fill the boxes of encoded pixels. Raises Doubt."""
    pieces = sorted(extent for item in items for extent in item.extents)
    for box in stored:
        at = box.body
        while pieces and pieces[0][0] == at and 0 < pieces[0][1] <= box.stop - at:
            at += pieces.pop(0)[1]
        if at != box.stop:
            raise Doubt("is cut: a piece is not where it should be")
    if pieces:
        raise Doubt("is cut: a piece is not there")


def _check_item(data: bytes, item: Item, size: Size) -> None:
    """Checks that an item is an AV1 image of a size. Raises Doubt."""
    kinds = [part.kind for part in item.properties]
    if item.kind != b"av01" or not PROPERTIES.issuperset(kinds):
        raise Doubt("is turned or cut out, or made of several images")
    if kinds.count(b"av1C") != 1 or [_size(data, part) for part in item.of(b"ispe")] != [size]:
        raise Doubt("has an item without a size, or of another one")
    (setup,) = item.of(b"av1C")
    fields = Fields(data, setup.body, setup.stop)
    marker, _, bits, _ = (fields.number(1) for _ in range(4))
    depth = 8 + 2 * (bits >> 6 & 1) + 2 * (bits >> 5 & 1)
    if marker != AV1C or not all(_is_plain(data, part, depth) for part in item.properties):
        raise Doubt("has a property of a rare kind")
    if not item.extents or _coded_size(data, *item.extents[0]) != size:
        raise Doubt("has a size that differs from that of its pixels")


def _is_plain(data: bytes, part: Part, depth: int) -> bool:
    """Returns whether a property is as every decoder reads it."""
    body = data[part.body : min(part.stop, part.body + HEAD_BYTES)]
    match part.kind:
        case b"ispe":
            return body.startswith(PLAIN) and len(body) == 12
        case b"pixi":
            return body in (PLAIN + b"\x01" + bytes([depth]), PLAIN + b"\x03" + 3 * bytes([depth]))
        case b"auxC":
            return body in ALPHA
        case b"colr" if body.startswith(b"nclx"):
            return len(body) == 11 and int.from_bytes(body[8:10], "big") in MATRICES and not body[10] & 0x7F
    return True


def _size(data: bytes, part: Part) -> Size:
    """Returns width and height of the property `ispe`. Raises Doubt."""
    fields = Fields(data, part.body + 4, part.stop)
    return fields.number(4), fields.number(4)


def _coded_size(data: bytes, start: int, length: int) -> Size:
    """Returns the largest width and height of a frame, by the header of the AV1 sequence. Raises Doubt."""
    fields = Fields(data, start, start + length)
    for _ in range(MOST_BOXES):
        head = fields.number(1)
        if head & 0x80 or not head & 0x02:
            raise Doubt("has pixels of a rare kind")
        fields.take(head >> 2 & 1)  # the extension
        size = 0
        for shift in range(0, 35, 7):
            byte = fields.number(1)
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        if head >> 3 & 15 == SEQUENCE_HEADER:
            return _sequence_size(fields.take(min(size, HEAD_BYTES)))
        fields.take(size)
    raise Doubt("has pixels without a header")


def _sequence_size(header: bytes) -> Size:
    """Returns the size in the header of a sequence. Raises Doubt."""
    bits, at = "".join(f"{byte:08b}" for byte in header), 0

    def number(count: int) -> int:
        nonlocal at
        start, at = at, at + count
        if at > len(bits):
            raise Doubt("has a short header of its pixels")
        return int(bits[start:at], 2)

    number(3 + 1)  # profile, still picture
    if number(1):  # a reduced header
        number(5)
    else:
        if number(1):
            raise Doubt("has pixels with times")
        has_delay, points = number(1), number(5) + 1
        for _ in range(points):
            number(12)
            if number(5) > 7:
                number(1)
            if has_delay and number(1):
                number(4)
    width_bits, height_bits = number(4) + 1, number(4) + 1
    return number(width_bits) + 1, number(height_bits) + 1
