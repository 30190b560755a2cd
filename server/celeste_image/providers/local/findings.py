"""Converts the JSON results of analysis engines to core values."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from celeste_image.core.analysis import (
    Analysis,
    ContentCredentials,
    DetectedObject,
    DominantColor,
    GenerationParameters,
    ImageContent,
    ImageMetadata,
    ImageQuality,
    ImageRegion,
    ImageTag,
    LeftOutFinding,
    MetadataEntry,
    TextLine,
)
from celeste_image.core.request import AnalysisKind
from celeste_image.core.safety import SafetyAnalysis, SafetyScore

__all__ = ["analysis_of"]

ANALYSIS = TypeAdapter(Analysis)
"""Checks the types of all findings: an engine that was taken over sends any."""

JSON_FIELDS = ("value", "more")
"""Findings that are JSON values of any kind."""


def analysis_of(kind: str, found: Mapping[str, Any]) -> Analysis:
    """Returns the analysis for an engine's JSON values.

    Raises LookupError, TypeError or ValueError for values of other names, types or sizes.
    """
    values = asdict(_analysis(kind, found))
    _check_numbers(values)
    return ANALYSIS.validate_python(values)


def _check_numbers(value: Any, name: str = "") -> None:
    """Raises ValueError for a whole number that `analysis.proto` has no room for."""
    match value:
        case int():
            least, most = (0, 1 << 64) if name == "seed" else (-(1 << 31), 1 << 31)
            if not least <= value < most:
                raise ValueError(f"{name} is {value}")
        case dict():
            for key, item in value.items():
                if key not in JSON_FIELDS:
                    _check_numbers(item, key)
        case list() | tuple():
            for item in value:
                _check_numbers(item, name)


def _analysis(kind: str, found: Mapping[str, Any]) -> Analysis:
    match AnalysisKind(kind):
        case AnalysisKind.METADATA:
            return Analysis(metadata=_metadata(**found))
        case AnalysisKind.CONTENT:
            return Analysis(content=_content(found))
        case AnalysisKind.QUALITY:
            return Analysis(quality=ImageQuality(**found))
        case AnalysisKind.SAFETY:
            return Analysis(safety=SafetyAnalysis(tuple(SafetyScore(**score) for score in found["scores"])))


def _metadata(
    entries: list[Any], generation: Mapping[str, Any] | None, credentials: Mapping[str, Any] | None, **facts: Any
) -> ImageMetadata:
    return ImageMetadata(
        **facts,
        entries=tuple(MetadataEntry(**entry) for entry in entries),
        generation=GenerationParameters(**generation) if generation else None,
        credentials=ContentCredentials(**credentials) if credentials else None,
    )


def _content(found: Mapping[str, Any]) -> ImageContent:
    return ImageContent(
        tags=tuple(ImageTag(**tag) for tag in found["tags"]),
        objects=tuple(DetectedObject(**_placed(thing)) for thing in found["objects"]),
        colors=tuple(DominantColor(**color) for color in found["colors"]),
        texts=tuple(TextLine(**_placed(line)) for line in found["texts"]),
        caption=found["caption"],
        caption_method=found["caption_method"],
        left_out=tuple(LeftOutFinding(**part) for part in found["left_out"]),
    )


def _placed(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "region": ImageRegion(*found["region"])}
