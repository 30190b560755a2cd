"""Converts artifacts between core values and protobuf."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from celeste_image.core.artifact import Artifact, Lineage
from celeste_image.core.request import OperationKind
from celeste_image.v1 import artifact_service_pb2, operation_pb2
from celeste_image.wire.values import enum_number, enum_word

__all__ = ["artifact_from_proto", "artifact_to_proto"]


def artifact_to_proto(artifact: Artifact, *, lineages: bool = True) -> artifact_service_pb2.Artifact:
    """Returns the message of an artifact."""
    return artifact_service_pb2.Artifact(
        name=artifact.name,
        media_type=artifact.media_type,
        size_bytes=artifact.size_bytes,
        width=artifact.width,
        height=artifact.height,
        create_time=_timestamp(artifact.created),
        expire_time=_timestamp(artifact.expires),
        lineages=[_lineage_to_proto(lineage) for lineage in artifact.lineages] if lineages else [],
    )


def artifact_from_proto(message: artifact_service_pb2.Artifact) -> Artifact:
    """Returns the artifact of a message."""
    return Artifact(
        name=message.name,
        media_type=message.media_type,
        size_bytes=message.size_bytes,
        width=message.width,
        height=message.height,
        created=_time(message.create_time) if message.HasField("create_time") else None,
        expires=_time(message.expire_time) if message.HasField("expire_time") else None,
        lineages=tuple(_lineage(lineage) for lineage in message.lineages),
    )


def _lineage_to_proto(lineage: Lineage) -> artifact_service_pb2.ArtifactLineage:
    message = artifact_service_pb2.ArtifactLineage(
        request_id=lineage.request_id,
        operation=enum_number(operation_pb2.OperationKind, lineage.operation),
        model=lineage.model,
        parents=lineage.parents,
        time=_timestamp(lineage.time),
    )
    if lineage.seed is not None:
        message.seed = lineage.seed
    return message


def _lineage(message: artifact_service_pb2.ArtifactLineage) -> Lineage:
    return Lineage(
        request_id=message.request_id,
        operation=OperationKind(enum_word(operation_pb2.OperationKind, message.operation)),
        model=message.model,
        time=_time(message.time),
        seed=message.seed if message.HasField("seed") else None,
        parents=tuple(message.parents),
    )


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def _time(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)
