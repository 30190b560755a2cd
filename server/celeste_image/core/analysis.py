"""What an analysis finds: one part for each kind, None for those that were not asked for or not found.

All of it is as in `analysis.proto`, where units and ranges are.
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
    """One tag of a file: its group (`exif`, `xmp`, `png` ...), its name and its JSON value."""

    group: str
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class GenerationParameters:
    """How a picture was generated, by the words of the file; `more` are JSON values by the tool's own names."""

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
    """Content credentials by C2PA: found, not verified, nothing fetched."""

    generator: str = ""
    digital_source_type: str = ""
    size_bytes: int = 0
    remote_uri: str = ""


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """Facts about a file and what was written into it."""

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
    """A rectangle in pixels of the upright picture."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImageTag:
    """What a picture is about; `score` is 0 to 1."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """A thing in a picture; `score` is 0 to 1."""

    name: str
    score: float
    region: ImageRegion


@dataclass(frozen=True, slots=True)
class DominantColor:
    """A color, `#rrggbb`, the CSS color nearest to it, and its share of the pixels, 0 to 1."""

    hex: str
    name: str
    share: float


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text; `score` is 0 to 1."""

    text: str
    score: float
    region: ImageRegion


@dataclass(frozen=True, slots=True)
class LeftOutFinding:
    """A field of ImageContent that could not be looked for, and why."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class ImageContent:
    """What a picture shows."""

    tags: tuple[ImageTag, ...] = ()
    objects: tuple[DetectedObject, ...] = ()
    colors: tuple[DominantColor, ...] = ()
    texts: tuple[TextLine, ...] = ()
    caption: str = ""
    caption_method: str = ""
    left_out: tuple[LeftOutFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageQuality:
    """How well a picture was taken."""

    sharpness: float
    laplacian_variance: float
    brightness: float
    contrast: float
    clipped_shadows: float
    clipped_highlights: float
    noise: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found, one attribute for each member of AnalysisKind, of the same name."""

    metadata: ImageMetadata | None = None
    content: ImageContent | None = None
    quality: ImageQuality | None = None
    safety: SafetyAnalysis | None = None

    def with_parts_of(self, other: "Analysis") -> "Analysis":
        """Returns it with the parts that another has, which replace its own."""
        found = {part.name: getattr(other, part.name) for part in fields(other)}
        return replace(self, **{name: part for name, part in found.items() if part is not None})
