"""Findings of an analysis: metadata, content, quality and safety of an image.

The classes mirror the messages of `analysis.proto`, which has the units and ranges.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from celeste_image.core.safety import SafetyAnalysis

__all__ = [
    "Analysis",
    "ContentCredentials",
    "DetectedObject",
    "DominantColor",
    "GenerationParameters",
    "ImageContent",
    "ImageMetadata",
    "ImageQuality",
    "ImageRegion",
    "ImageTag",
    "LeftOutFinding",
    "MetadataEntry",
    "TextLine",
]


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """One metadata tag of a file: its group (`exif`, `xmp`, `png` ...), its name and its JSON value."""

    group: str
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class GenerationParameters:
    """Generation settings that a file states; `more` has further JSON values by the tool's own names."""

    tool: str
    prompt: str = ""
    negative_prompt: str = ""
    seed: int | None = None
    steps: int = 0
    sampler: str = ""
    model: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContentCredentials:
    """C2PA content credentials of a file. The server neither verifies them nor fetches `remote_uri`."""

    generator: str = ""
    digital_source_type: str = ""
    size_bytes: int = 0
    remote_uri: str = ""


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """Facts about a file, and the metadata inside."""

    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    color_mode: str
    has_alpha: bool
    orientation: int = 0
    icc_profile: str = ""
    entries: tuple[MetadataEntry, ...] = ()
    generation: GenerationParameters | None = None
    credentials: ContentCredentials | None = None
    left_out_entries: int = 0


@dataclass(frozen=True, slots=True)
class ImageRegion:
    """A rectangle in pixels of the upright image."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImageTag:
    """A subject of an image; `score` is 0 to 1."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """An object in an image; `score` is 0 to 1."""

    name: str
    score: float
    region: ImageRegion


@dataclass(frozen=True, slots=True)
class DominantColor:
    """A color as `#rrggbb`, the name of the nearest CSS color, and the share of the pixels, 0 to 1."""

    hex: str
    name: str
    share: float


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text in an image; `score` is 0 to 1."""

    text: str
    score: float
    region: ImageRegion


@dataclass(frozen=True, slots=True)
class LeftOutFinding:
    """A field of ImageContent that the model could not look for, and why."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class ImageContent:
    """Content of an image. `left_out` lists the fields that the model could not look for."""

    tags: tuple[ImageTag, ...] = ()
    objects: tuple[DetectedObject, ...] = ()
    colors: tuple[DominantColor, ...] = ()
    texts: tuple[TextLine, ...] = ()
    caption: str = ""
    caption_method: str = ""
    left_out: tuple[LeftOutFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageQuality:
    """Technical quality of an image."""

    sharpness: float
    laplacian_variance: float
    brightness: float
    contrast: float
    clipped_shadows: float
    clipped_highlights: float
    noise: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """Findings by kind: one attribute for each member of AnalysisKind, of the same name.

    None means that the kind was not asked for, or that nothing was found.
    """

    metadata: ImageMetadata | None = None
    content: ImageContent | None = None
    quality: ImageQuality | None = None
    safety: SafetyAnalysis | None = None

    def with_parts_of(self, other: "Analysis") -> "Analysis":
        """Returns this analysis with the parts of another, which replace its own."""
        found = {part.name: getattr(other, part.name) for part in fields(other)}
        return replace(self, **{name: part for name, part in found.items() if part is not None})
