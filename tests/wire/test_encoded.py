"""Responses that are encoded by hand are those of protobuf, byte for byte or in another order of fields."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import strategies

from celeste_image.core.result import ImageOutput, OperationResult
from celeste_image.v1 import event_pb2, image_service_pb2
from celeste_image.wire.encoded import completed_bytes, response_bytes
from celeste_image.wire.results import result_to_proto

RESPONSES = (
    image_service_pb2.GenerateResponse,
    image_service_pb2.EditResponse,
    image_service_pb2.UpscaleResponse,
    image_service_pb2.AnalyzeResponse,
)


@settings(max_examples=150, deadline=None)
@given(strategies.results, st.lists(st.binary(max_size=200), max_size=4))
def test_every_response_is_read_as_the_message(result: OperationResult, data: list[bytes]) -> None:
    held = [*data, *[b""] * len(result.images)]
    images = tuple(replace(image, data=some) for image, some in zip(result.images, held, strict=False))
    result = replace(result, images=images)
    encoded = response_bytes(result)
    for response in RESPONSES:
        expected = response(result=result_to_proto(result))
        assert response.FromString(encoded) == expected
        assert len(encoded) == expected.ByteSize(), "no field comes twice"


def test_a_response_with_large_images() -> None:
    images = tuple(ImageOutput("a", "image/png", 1, 1, size, "b", data=bytes(size)) for size in (127, 128, 1 << 21))
    result = OperationResult("id", "model", images)
    message = image_service_pb2.GenerateResponse.FromString(response_bytes(result))
    assert message == image_service_pb2.GenerateResponse(result=result_to_proto(result))


@settings(max_examples=50, deadline=None)
@given(strategies.results, st.binary(max_size=200), st.integers(1, 1 << 40), st.sampled_from(["", "an id"]))
def test_the_last_event_of_a_stream_is_read_as_the_message(
    result: OperationResult, data: bytes, sequence: int, request_id: str
) -> None:
    result = replace(result, images=tuple(replace(image, data=data) for image in result.images))
    encoded = completed_bytes(result, sequence, request_id)
    message = image_service_pb2.StreamResponse.FromString(encoded)
    event = event_pb2.OperationEvent(
        sequence=sequence, time=message.event.time, completed=event_pb2.CompletedEvent(result=result_to_proto(result))
    )
    assert message == image_service_pb2.StreamResponse(event=event, request_id=request_id)
    assert len(encoded) == message.ByteSize()
    assert message.event.time.seconds > 1_700_000_000
