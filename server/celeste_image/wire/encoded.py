"""Encodes responses with large images by hand, so that an image is copied once: into the bytes on the wire.

A message of protobuf would hold a copy, and its serialization another.
"""

from google.protobuf.message import Message

from celeste_image.core.result import ImageOutput, OperationResult
from celeste_image.v1 import event_pb2, image_pb2, image_service_pb2, operation_pb2
from celeste_image.wire.results import output_to_proto, result_to_proto

__all__ = ["LENGTH_PREFIXED", "completed_bytes", "response_bytes", "varint"]

LENGTH_PREFIXED = 2
"""Wire type of a field with its length before it."""


def _number(message: type[Message], field: str) -> int:
    return int(message.DESCRIPTOR.fields_by_name[field].number)


RESPONSE_RESULT = _number(image_service_pb2.GenerateResponse, "result")
RESPONSE_EVENT = _number(image_service_pb2.StreamResponse, "event")
COMPLETED = _number(event_pb2.OperationEvent, "completed")
COMPLETED_RESULT = _number(event_pb2.CompletedEvent, "result")
IMAGES = _number(operation_pb2.OperationResult, "images")
DATA = _number(image_pb2.ImageOutput, "data")


def response_bytes(result: OperationResult) -> bytes:
    """Returns the bytes of a GenerateResponse with a result. The responses of all unary operations have this form."""
    return b"".join(_field(RESPONSE_RESULT, _result(result)))


def completed_bytes(result: OperationResult, sequence: int, request_id: str = "") -> bytes:
    """Returns the bytes of a StreamResponse with the event `completed`; `request_id` is for the first message only."""
    event = event_pb2.OperationEvent(sequence=sequence)
    event.time.GetCurrentTime()
    completed = _field(COMPLETED, _field(COMPLETED_RESULT, _result(result)))
    rest = image_service_pb2.StreamResponse(request_id=request_id)
    return b"".join([*_field(RESPONSE_EVENT, [event.SerializeToString(), *completed]), rest.SerializeToString()])


def _result(result: OperationResult) -> list[bytes]:
    """Returns the bytes of an OperationResult, in parts."""
    parts = [result_to_proto(result, with_images=False).SerializeToString()]
    for image in result.images:
        parts += _field(IMAGES, _image(image))
    return parts


def _image(image: ImageOutput) -> list[bytes]:
    """Returns the bytes of an ImageOutput, in parts."""
    facts = output_to_proto(image, with_data=False).SerializeToString()
    return [facts, *_field(DATA, [image.data])] if image.data else [facts]


def _field(number: int, parts: list[bytes]) -> list[bytes]:
    """Returns a field whose value is in parts: protobuf's encoding, "Length-Delimited Records"."""
    return [varint(number << 3 | LENGTH_PREFIXED), varint(sum(map(len, parts))), *parts]


def varint(number: int) -> bytes:
    """Returns a number of 0 or more in protobuf's encoding, "Base 128 Varints"."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
