"""Pictures and sizes as requests name them."""

from dataclasses import dataclass, field

__all__ = ["DEFAULT_SIZE", "ImageFacts", "ImageInput", "ImageReference", "Size"]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a limited worker process found out about encoded bytes by decoding them.

    `width` and `height` are pixels after the EXIF orientation is applied, `orientation` is what it was: 1, upright or
    none, to 8; `sha256` is 64 hex digits; `mode` is Pillow's word for how pixels are stored.
    """

    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    mode: str
    has_alpha: bool
    orientation: int = 1


@dataclass(frozen=True, slots=True)
class ImageInput:
    """A picture given to an operation: its bytes, the name of an artifact, or where to fetch it.

    `sha256` and `media_type` are what the bytes must have; empty is not checked.

    Below the pipeline's load step `data` and `facts` are always set.
    """

    data: bytes = field(default=b"", repr=False)
    artifact: str = ""
    uri: str = ""
    sha256: str = ""
    media_type: str = ""
    facts: ImageFacts | None = None


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image that guides an operation: `role` says what for, `name` is its name in the prompt; both may be empty."""

    image: ImageInput
    role: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """The size wanted, in pixels, as a ratio, or as an area; zero and "" are unset, all unset is the default."""

    width: int = 0
    height: int = 0
    aspect_ratio: str = ""
    megapixels: float = 0.0

    def __bool__(self) -> bool:
        """Tells whether anything is set."""
        return bool(self.width or self.aspect_ratio or self.megapixels)


DEFAULT_SIZE = Size()
"""Nothing set: the model's default."""
