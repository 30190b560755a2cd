"""Converts events and results between core values and protobuf."""

from datetime import UTC, datetime, timedelta

from celeste_image.core.events import (
    Completed,
    Event,
    Fidelity,
    Preview,
    Progress,
    Queued,
    Retrying,
    SafetyJudged,
    Saved,
    Started,
    Submitted,
    Warned,
)
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.result import ImageOutput, OperationResult, ResultSource, Usage
from celeste_image.core.safety import SafetyAction
from celeste_image.v1 import event_pb2, image_pb2, money_pb2, operation_pb2
from celeste_image.wire.analysis import analysis_from_proto, analysis_to_proto
from celeste_image.wire.money import cost_from_proto, cost_to_proto, quantity_from_proto, quantity_to_proto
from celeste_image.wire.safety import verdict_from_proto, verdict_to_proto
from celeste_image.wire.status import error_from_status, status_from_error
from celeste_image.wire.values import enum_number, enum_word, value_from_proto, value_to_proto

__all__ = ["event_from_proto", "event_to_proto", "output_to_proto", "result_from_proto", "result_to_proto"]


def event_to_proto(event: Event, sequence: int) -> event_pb2.OperationEvent | None:
    """Returns the message of an event; None for events that callers see only in the result."""
    message = event_pb2.OperationEvent(sequence=sequence)
    match event:
        case Queued():
            message.queued.position = event.position
        case Started():
            message.started.CopyFrom(
                event_pb2.StartedEvent(provider=event.provider, model=event.model, candidate=event.candidate)
            )
        case Submitted():
            message.submitted.provider = event.provider
        case Retrying():
            message.retrying.reason, message.retrying.next_try = event.reason, event.next_try
            message.retrying.after.FromTimedelta(timedelta(seconds=event.after_seconds))
        case Progress():
            source = event_pb2.PROGRESS_SOURCE_REPORTED if event.reported else event_pb2.PROGRESS_SOURCE_ESTIMATED
            message.progress.CopyFrom(
                event_pb2.ProgressedEvent(fraction=event.fraction, phase=event.phase, source=source)
            )
        case Preview():
            message.preview.CopyFrom(
                event_pb2.PreviewEvent(
                    data=event.data,
                    media_type=event.media_type,
                    width=event.width,
                    height=event.height,
                    image_index=event.index,
                )
            )
        case Saved():
            message.image.output.CopyFrom(output_to_proto(event.image))
        case Warned():
            message.warning.CopyFrom(event_pb2.WarningEvent(path=event.path, message=event.text, reason=event.reason))
        case Fidelity(line) if line.outcome not in (FidelityOutcome.HONORED, FidelityOutcome.DEFAULTED):
            text, reason = line.message or line.outcome.value, line.outcome.value.upper()
            message.warning.CopyFrom(event_pb2.WarningEvent(path=line.path, message=text, reason=reason))
        case SafetyJudged(verdict) if verdict.action is not SafetyAction.ALLOW:
            reason = f"SAFETY_{verdict.action.value.upper()}"
            message.warning.CopyFrom(event_pb2.WarningEvent(path=verdict.path, message=str(verdict), reason=reason))
        case Completed():
            message.completed.result.CopyFrom(result_to_proto(event.result))
        case _:
            return None
    message.time.FromDatetime(datetime.now(UTC))
    return message


def event_from_proto(message: event_pb2.OperationEvent) -> Event | None:
    """Returns the event of a message; None for `failed`, and for kinds that this version does not know."""
    match message.WhichOneof("kind"):
        case "queued":
            return Queued(message.queued.position)
        case "started":
            return Started(message.started.provider, message.started.model, message.started.candidate)
        case "submitted":
            return Submitted("", message.submitted.provider)
        case "retrying":
            after = message.retrying.after.ToTimedelta().total_seconds()
            return Retrying(message.retrying.reason, after, message.retrying.next_try)
        case "progress":
            progress = message.progress
            return Progress(progress.fraction, progress.phase, progress.source != event_pb2.PROGRESS_SOURCE_ESTIMATED)
        case "preview":
            preview = message.preview
            return Preview(preview.data, preview.media_type, preview.width, preview.height, preview.image_index)
        case "image":
            return Saved(_output(message.image.output))
        case "warning":
            return Warned(message.warning.path, message.warning.message, message.warning.reason)
        case "completed":
            return Completed(result_from_proto(message.completed.result))
        case _:
            return None


def result_to_proto(result: OperationResult, *, with_images: bool = True) -> operation_pb2.OperationResult:
    """Returns the message of a result, on request without its images."""
    message = operation_pb2.OperationResult(
        request_id=result.request_id,
        model=result.model,
        images=[output_to_proto(image) for image in result.images] if with_images else (),
        failures=[
            operation_pb2.ImageFailure(index=index, status=status_from_error(error))
            for index, error in result.failures.items()
        ],
        fidelity=[_line_proto(line) for line in result.fidelity],
        usage=money_pb2.Usage(
            images=result.usage.images,
            megapixels=result.usage.megapixels,
            billed=map(quantity_to_proto, result.usage.billed),
        ),
        safety=[verdict_to_proto(verdict) for verdict in result.safety],
        source=enum_number(operation_pb2.ResultSource, result.source),
        costs=map(cost_to_proto, result.costs),
    )
    if result.usage.compute_seconds is not None:
        message.usage.compute_time.FromTimedelta(timedelta(seconds=result.usage.compute_seconds))
    if result.analysis is not None:
        message.analysis.CopyFrom(analysis_to_proto(result.analysis))
    return message


def result_from_proto(message: operation_pb2.OperationResult) -> OperationResult:
    """Returns the result of a message."""
    usage = message.usage
    seconds = usage.compute_time.ToTimedelta().total_seconds() if usage.HasField("compute_time") else None
    return OperationResult(
        request_id=message.request_id,
        model=message.model,
        images=tuple(_output(image) for image in message.images),
        failures={failure.index: error_from_status(failure.status) for failure in message.failures},
        analysis=analysis_from_proto(message.analysis) if message.HasField("analysis") else None,
        fidelity=tuple(_line(line) for line in message.fidelity),
        usage=Usage(usage.images, usage.megapixels, seconds, tuple(map(quantity_from_proto, usage.billed))),
        safety=tuple(verdict_from_proto(verdict) for verdict in message.safety),
        source=ResultSource(enum_word(operation_pb2.ResultSource, message.source)),
        costs=tuple(map(cost_from_proto, message.costs)),
    )


def output_to_proto(image: ImageOutput, *, with_data: bool = True) -> image_pb2.ImageOutput:
    """Returns the message of an image, on request without its bytes."""
    message = image_pb2.ImageOutput(
        artifact=image.artifact,
        media_type=image.media_type,
        width=image.width,
        height=image.height,
        size_bytes=image.size_bytes,
        sha256=image.sha256,
        data=image.data if with_data else b"",
        index=image.index,
        parents=image.parents,
        revised_prompt=image.revised_prompt,
    )
    if image.seed is not None:
        message.seed = image.seed
    return message


def _output(message: image_pb2.ImageOutput) -> ImageOutput:
    return ImageOutput(
        artifact=message.artifact,
        media_type=message.media_type,
        width=message.width,
        height=message.height,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        index=message.index,
        seed=message.seed if message.HasField("seed") else None,
        parents=tuple(message.parents),
        revised_prompt=message.revised_prompt,
        data=message.data,
    )


def _line_proto(line: FidelityLine) -> operation_pb2.FidelityLine:
    message = operation_pb2.FidelityLine(
        path=line.path,
        outcome=enum_number(operation_pb2.FidelityOutcome, line.outcome),
        message=line.message,
    )
    for name in ("asked", "sent", "measured"):
        if (value := getattr(line, name)) is not None:
            getattr(message, name).CopyFrom(value_to_proto(value))
    if line.image_index is not None:
        message.image_index = line.image_index
    return message


def _line(message: operation_pb2.FidelityLine) -> FidelityLine:
    values = {
        name: value_from_proto(getattr(message, name))
        for name in ("asked", "sent", "measured")
        if message.HasField(name)
    }
    return FidelityLine(
        path=message.path,
        outcome=FidelityOutcome(enum_word(operation_pb2.FidelityOutcome, message.outcome)),
        message=message.message,
        image_index=message.image_index if message.HasField("image_index") else None,
        **values,
    )
