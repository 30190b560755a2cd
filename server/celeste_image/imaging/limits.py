"""ImageLimits: the largest image that is accepted, in bytes, pixels and metadata."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Self

from celeste_image.core.errors import ImageTooLarge
from celeste_image.core.image import ImageFacts

__all__ = ["ImageLimits"]

PASSED = 1 << 30
"""A limit in bytes that always passes."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits of an image, from callers and from vendors.

    Attributes:
        max_bytes: Encoded size.
        max_pixels: Width times height.
        max_side: The longer side in pixels.
        max_text_bytes: Limit for each of three: EXIF, XMP, and all text chunks of a PNG together.
        max_profile_bytes: Color profile, unpacked; profiles for print have 0.5 to 2 MiB.
    """

    max_bytes: int = 64 << 20
    max_pixels: int = 40_000_000
    max_side: int = 16_384
    max_text_bytes: int = 1 << 20
    max_profile_bytes: int = 4 << 20

    @classmethod
    def of(cls, images: Iterable[ImageFacts | None]) -> Self:
        """Returns limits that inspected images keep; the guard has applied the operator's limits to them.

        Texts and profiles may be compressed a thousandfold, so the file's size does not bound theirs. None stands
        for an image without facts.
        """
        facts = [each for each in images if each]
        return cls(
            max_bytes=max((each.size_bytes for each in facts), default=0),
            max_pixels=max((each.width * each.height for each in facts), default=0),
            max_side=max((max(each.width, each.height) for each in facts), default=0),
            max_text_bytes=PASSED,
            max_profile_bytes=PASSED,
        )

    def as_task(self) -> dict[str, int]:
        """Returns the limits as JSON values for a worker."""
        return asdict(self)

    def check_bytes(self, size: int) -> None:
        """Raises ImageTooLarge when an encoded image has too many bytes."""
        if size > self.max_bytes:
            raise too_large("bytes", self.max_bytes, size)

    def check_size(self, width: int, height: int) -> None:
        """Raises ImageTooLarge when a side or the area is too large."""
        if max(width, height) > self.max_side:
            raise too_large("pixels a side", self.max_side, max(width, height))
        if width * height > self.max_pixels:
            raise too_large("pixels", self.max_pixels, width * height)


def too_large(unit: str, limit: int, value: int) -> ImageTooLarge:
    """Returns the error for an exceeded limit."""
    metadata = {"limit": str(limit), "value": str(value), "unit": unit}
    return ImageTooLarge(f"has {value:,} {unit}, at most {limit:,} are allowed", metadata=metadata)
