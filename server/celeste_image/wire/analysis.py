"""What an analysis found to messages of `celeste.image.v1` and back."""

from celeste_image.core.analysis import Analysis, ImageMetadata, MetadataEntry
from celeste_image.core.safety import SafetyAnalysis, SafetyScore
from celeste_image.v1 import analysis_pb2
from celeste_image.wire.values import value_from_proto, value_to_proto

__all__ = ["analysis_from_proto", "analysis_to_proto"]

METADATA_FIELDS = (
    *("media_type", "width", "height", "size_bytes", "sha256"),
    *("color_mode", "has_alpha", "orientation", "icc_profile"),
)


def analysis_to_proto(analysis: Analysis) -> analysis_pb2.Analysis:
    """Returns the message of what was found."""
    message = analysis_pb2.Analysis()
    if analysis.metadata is not None:
        message.metadata.CopyFrom(_metadata_proto(analysis.metadata))
    if analysis.safety is not None:
        scores = [
            analysis_pb2.SafetyScore(category=each.category, score=each.score, network=each.network)
            for each in analysis.safety.scores
        ]
        message.safety.CopyFrom(analysis_pb2.SafetyAnalysis(scores=scores))
    return message


def analysis_from_proto(message: analysis_pb2.Analysis) -> Analysis:
    """Returns what was found."""
    return Analysis(
        metadata=_metadata(message.metadata) if message.HasField("metadata") else None,
        safety=_safety(message.safety) if message.HasField("safety") else None,
    )


def _metadata_proto(metadata: ImageMetadata) -> analysis_pb2.ImageMetadata:
    message = analysis_pb2.ImageMetadata(**{name: getattr(metadata, name) for name in METADATA_FIELDS})
    for entry in metadata.entries:
        value = value_to_proto(entry.value)
        message.entries.append(analysis_pb2.MetadataEntry(group=entry.group, name=entry.name, value=value))
    return message


def _metadata(message: analysis_pb2.ImageMetadata) -> ImageMetadata:
    entries = tuple(MetadataEntry(entry.group, entry.name, value_from_proto(entry.value)) for entry in message.entries)
    return ImageMetadata(**{name: getattr(message, name) for name in METADATA_FIELDS}, entries=entries)


def _safety(message: analysis_pb2.SafetyAnalysis) -> SafetyAnalysis:
    return SafetyAnalysis(tuple(SafetyScore(each.category, each.score, each.network) for each in message.scores))
