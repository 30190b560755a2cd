"""Converts findings of an analysis between core values and protobuf."""

from dataclasses import asdict
from typing import Any

from google.protobuf import json_format

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
from celeste_image.core.safety import SafetyAnalysis, SafetyScore
from celeste_image.v1 import analysis_pb2
from celeste_image.wire.values import value_from_proto, value_to_proto, whole_numbers

__all__ = ["analysis_from_proto", "analysis_to_proto"]

METADATA_FIELDS = (
    *("media_type", "width", "height", "size_bytes", "sha256"),
    *("color_mode", "has_alpha", "orientation", "icc_profile", "left_out_entries"),
)
GENERATION_FIELDS = ("tool", "prompt", "negative_prompt", "steps", "sampler", "model")
CREDENTIALS_FIELDS = ("generator", "digital_source_type", "size_bytes", "remote_uri")
QUALITY_FIELDS = (
    *("sharpness", "laplacian_variance", "brightness", "contrast"),
    *("clipped_shadows", "clipped_highlights", "noise"),
)


def analysis_to_proto(analysis: Analysis) -> analysis_pb2.Analysis:
    """Returns the message of an analysis."""
    message = analysis_pb2.Analysis()
    if analysis.metadata is not None:
        message.metadata.CopyFrom(_metadata_proto(analysis.metadata))
    if analysis.content is not None:
        message.content.CopyFrom(_content_proto(analysis.content))
    if analysis.quality is not None:
        message.quality.CopyFrom(analysis_pb2.ImageQuality(**asdict(analysis.quality)))
    if analysis.safety is not None:
        scores = [analysis_pb2.SafetyScore(**asdict(each)) for each in analysis.safety.scores]
        message.safety.CopyFrom(analysis_pb2.SafetyAnalysis(scores=scores))
    return message


def analysis_from_proto(message: analysis_pb2.Analysis) -> Analysis:
    """Returns the analysis of a message."""
    quality = _named(message.quality, QUALITY_FIELDS)
    return Analysis(
        metadata=_metadata(message.metadata) if message.HasField("metadata") else None,
        content=_content(message.content) if message.HasField("content") else None,
        quality=ImageQuality(**quality) if message.HasField("quality") else None,
        safety=_safety(message.safety) if message.HasField("safety") else None,
    )


def _named(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _metadata_proto(metadata: ImageMetadata) -> analysis_pb2.ImageMetadata:
    message = analysis_pb2.ImageMetadata(**_named(metadata, METADATA_FIELDS))
    for entry in metadata.entries:
        value = value_to_proto(entry.value)
        message.entries.append(analysis_pb2.MetadataEntry(group=entry.group, name=entry.name, value=value))
    if (made := metadata.generation) is not None:
        generation = analysis_pb2.GenerationParameters(**_named(made, GENERATION_FIELDS), seed=made.seed)
        json_format.ParseDict(dict(made.more), generation.more)
        message.generation.CopyFrom(generation)
    if metadata.credentials is not None:
        message.credentials.CopyFrom(analysis_pb2.ContentCredentials(**asdict(metadata.credentials)))
    return message


def _metadata(message: analysis_pb2.ImageMetadata) -> ImageMetadata:
    entries = tuple(MetadataEntry(entry.group, entry.name, value_from_proto(entry.value)) for entry in message.entries)
    made = message.generation
    generation = GenerationParameters(
        **_named(made, GENERATION_FIELDS),
        seed=made.seed if made.HasField("seed") else None,
        more=whole_numbers(json_format.MessageToDict(made.more)),
    )
    credentials = ContentCredentials(**_named(message.credentials, CREDENTIALS_FIELDS))
    return ImageMetadata(
        **_named(message, METADATA_FIELDS),
        entries=entries,
        generation=generation if message.HasField("generation") else None,
        credentials=credentials if message.HasField("credentials") else None,
    )


def _content_proto(content: ImageContent) -> analysis_pb2.ImageContent:
    return analysis_pb2.ImageContent(
        tags=[analysis_pb2.ImageTag(**asdict(tag)) for tag in content.tags],
        objects=[
            analysis_pb2.DetectedObject(name=found.name, score=found.score, region=_region_proto(found.region))
            for found in content.objects
        ],
        colors=[analysis_pb2.DominantColor(**asdict(color)) for color in content.colors],
        texts=[
            analysis_pb2.TextLine(text=line.text, score=line.score, region=_region_proto(line.region))
            for line in content.texts
        ],
        caption=content.caption,
        caption_method=content.caption_method,
        left_out=[analysis_pb2.LeftOutFinding(**asdict(part)) for part in content.left_out],
    )


def _content(message: analysis_pb2.ImageContent) -> ImageContent:
    return ImageContent(
        tags=tuple(ImageTag(tag.name, tag.score) for tag in message.tags),
        objects=tuple(DetectedObject(found.name, found.score, _region(found.region)) for found in message.objects),
        colors=tuple(DominantColor(color.hex, color.name, color.share) for color in message.colors),
        texts=tuple(TextLine(line.text, line.score, _region(line.region)) for line in message.texts),
        caption=message.caption,
        caption_method=message.caption_method,
        left_out=tuple(LeftOutFinding(part.field, part.message) for part in message.left_out),
    )


def _region_proto(region: ImageRegion) -> analysis_pb2.ImageRegion:
    return analysis_pb2.ImageRegion(**asdict(region))


def _region(message: analysis_pb2.ImageRegion) -> ImageRegion:
    return ImageRegion(message.x, message.y, message.width, message.height)


def _safety(message: analysis_pb2.SafetyAnalysis) -> SafetyAnalysis:
    return SafetyAnalysis(tuple(SafetyScore(each.category, each.score, each.network) for each in message.scores))
