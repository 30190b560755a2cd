"""Images, references and sizes in requests."""

from dataclasses import dataclass, field

__all__ = ["DEFAULT_SIZE", "ImageFacts", "ImageInput", "ImageReference", "Size"]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts of encoded bytes that a limited worker process decoded.

    `width` and `height` are pixels after the EXIF orientation is applied. `orientation` is the stored orientation, 1
    (upright or none) to 8. `sha256` has 64 hex digits. `mode` is Pillow's name for the pixel format. `notes` say
    what work on the pixels does not keep, and what is wrong with the file.
    """

    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    mode: str
    has_alpha: bool
    orientation: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageInput:
    """An image given to an operation: its bytes, the name of an artifact, or a URI.

    The bytes must have `sha256` and `media_type`; empty means not checked. After the load step of the pipeline, `data`
    and `facts` are always set.
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
    """A size in pixels, as a ratio, or as an area. Zero and "" are unset; an unset size is the model's default."""

    width: int = 0
    height: int = 0
    aspect_ratio: str = ""
    megapixels: float = 0.0

    def __bool__(self) -> bool:
        """Returns whether any field is set."""
        return bool(self.width or self.aspect_ratio or self.megapixels)


DEFAULT_SIZE = Size()
"""The unset size: the model's default."""
