"""What an analysis finds: one part for each kind, None for those that were not asked for or not found."""

from dataclasses import dataclass, fields, replace
from typing import Any

from celeste_image.core.safety import SafetyAnalysis

__all__ = ["Analysis", "ImageMetadata", "MetadataEntry"]


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """One tag of a file: its group (`exif`, `gps`, `png`), its name and its JSON value."""

    group: str
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """Facts about a file and what was written into it; see `ImageMetadata` in `analysis.proto`."""

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


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found, one attribute for each member of AnalysisKind, of the same name."""

    metadata: ImageMetadata | None = None
    safety: SafetyAnalysis | None = None

    def with_parts_of(self, other: "Analysis") -> "Analysis":
        """Returns it with the parts that another has, which replace its own."""
        found = {part.name: getattr(other, part.name) for part in fields(other)}
        return replace(self, **{name: part for name, part in found.items() if part is not None})
