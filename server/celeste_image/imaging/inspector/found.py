"""What the inspector finds in a file, and what its readers share: doubts, parts of a file, fields of a part."""

from dataclasses import dataclass
from itertools import islice

from celeste_image.imaging.parts import Part, parts_of

__all__ = ["Doubt", "Fields", "Inspected", "parts_within"]

FEW_PARTS, PART_BYTES = 256, 8192
"""A file may have FEW_PARTS, and one more for each PART_BYTES: a part costs two microseconds, however small it is."""


class Doubt(Exception):
    """The structure leaves open whether a file is a whole image, or of which size; the text says why."""


@dataclass(slots=True)
class Inspected:
    """What a file says about its image.

    Attributes:
        media_type: By the first bytes; `application/octet-stream` for an unknown format.
        width: In pixels, as stored; 0 if the file does not say it. A file without a doubt is upright.
        height: In pixels, like `width`.
        frames: Number of frames; more than one is a doubt.
        depth: Bits of a stored value.
        doubt: Why a decoder has to say whether the file is a whole image; empty if the structure says so.
    """

    media_type: str
    width: int = 0
    height: int = 0
    frames: int = 1
    depth: int = 8
    doubt: str = ""


def parts_within(data: bytes) -> list[Part]:
    """Returns the parts of a file, as `parts_of` does. Raises Doubt when it has none, or many small ones."""
    most = FEW_PARTS + len(data) // PART_BYTES
    parts = list(islice(parts_of(data), most + 1))
    if not parts:
        raise Doubt("is cut in its header")
    if len(parts) > most:
        raise Doubt("has many small parts")
    return parts


class Fields:
    """Reads the fields of a part, one after the other, each big-endian.

    Args:
        data: The file.
        at: First byte.
        stop: First byte after the last field.
    """

    def __init__(self, data: bytes, at: int, stop: int) -> None:
        self._data, self.at, self._stop = data, at, stop

    def take(self, size: int) -> bytes:
        """Returns the next bytes. Raises Doubt when the part has fewer."""
        start, self.at = self.at, self.at + size
        if self.at > self._stop:
            raise Doubt("has a part that is too short")
        return self._data[start : self.at]

    def number(self, size: int) -> int:
        """Returns the next number of `size` bytes. Raises Doubt when the part has fewer."""
        return int.from_bytes(self.take(size), "big")

    @property
    def left(self) -> int:
        """Number of bytes that were not read."""
        return self._stop - self.at

    def end(self) -> None:
        """Raises Doubt when the part has more bytes."""
        if self.left:
            raise Doubt("has a part that is too long")
