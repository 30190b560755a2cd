"""Converts verdicts of the safety policy between core values and protobuf."""

from celeste_image.core.safety import SafetyAction, SafetyStage, SafetyVerdict
from celeste_image.v1 import safety_pb2
from celeste_image.wire.values import enum_number, enum_word

__all__ = ["verdict_from_proto", "verdict_to_proto"]


def verdict_to_proto(verdict: SafetyVerdict) -> safety_pb2.SafetyVerdict:
    """Returns the message of a verdict."""
    return safety_pb2.SafetyVerdict(
        stage=enum_number(safety_pb2.SafetyStage, verdict.stage),
        action=enum_number(safety_pb2.SafetyAction, verdict.action),
        category=verdict.category,
        score=verdict.score,
        threshold=verdict.threshold,
        path=verdict.path,
        image_index=verdict.image_index,
        engine=verdict.engine,
        owed=verdict.owed,
        message=verdict.message,
    )


def verdict_from_proto(message: safety_pb2.SafetyVerdict) -> SafetyVerdict:
    """Returns the verdict of a message."""
    return SafetyVerdict(
        stage=SafetyStage(enum_word(safety_pb2.SafetyStage, message.stage)),
        action=SafetyAction(enum_word(safety_pb2.SafetyAction, message.action)),
        category=message.category,
        score=message.score if message.HasField("score") else None,
        threshold=message.threshold if message.HasField("threshold") else None,
        path=message.path,
        image_index=message.image_index if message.HasField("image_index") else None,
        engine=message.engine,
        owed=message.owed if message.HasField("owed") else None,
        message=message.message,
    )
