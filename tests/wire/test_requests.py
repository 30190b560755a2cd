"""Requests: core -> Operation -> bytes -> Operation -> core."""

import json
import math

import pytest
from hypothesis import example, given, settings
from tests.support import strategies

from celeste_image.core.edits import Polarity
from celeste_image.core.errors import InvalidRequest
from celeste_image.core.image import ImageInput, Size
from celeste_image.core.request import Generate, RequestOptions, Upscale
from celeste_image.v1 import image_pb2, operation_pb2
from celeste_image.wire.requests import request_from_proto, request_to_operation

LARGEST = 1 << 53


@settings(max_examples=300, deadline=None)
@given(strategies.requests)
@example(Generate(prompt="", size=Size(megapixels=0.25), seed=0))
@example(Generate(prompt="x", seed=2**64 - 1, count=16))
@example(Generate(prompt="x", options=RequestOptions(provider_options={"local": {"a": LARGEST, "b": -LARGEST}})))
@example(Generate(prompt="x", options=RequestOptions(provider_options={"local": {}}, inline_limit_bytes=0)))
@example(Upscale(image=ImageInput(data=b"\x00"), factor=1.5))
def test_every_request_comes_back_as_it_was(request) -> None:
    operation = request_to_operation(request, "some-id")
    read = operation_pb2.Operation.FromString(operation.SerializeToString())
    message = getattr(read, read.WhichOneof("kind"))
    assert read.WhichOneof("kind") == request.kind.value
    assert message.request_id == "some-id"
    assert request_from_proto(message) == request


def test_whole_numbers_of_provider_options_stay_integers() -> None:
    given_options = {"local": {"tile": 128, "steps": [1, 2.5], "deep": {"large": LARGEST}, "yes": True}}
    request = Generate(prompt="x", options=RequestOptions(provider_options=given_options))
    back = request_from_proto(request_to_operation(request).generate).options.provider_options
    assert json.dumps(back, sort_keys=True) == json.dumps(given_options, sort_keys=True), "1 == 1.0 == True"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_the_callers_fault(value: float) -> None:
    message = operation_pb2.GenerateRequest(prompt="x")
    message.options.provider_options["local"].update({"deep": [{"tile": value}]})
    with pytest.raises(InvalidRequest) as caught:
        request_from_proto(message)
    assert [v.field for v in caught.value.violations] == ['options.provider_options["local"]']


def test_what_the_contract_gives_a_default_gets_it() -> None:
    message = operation_pb2.EditRequest()
    message.erase.mask.image.data = b"m"
    edit = request_from_proto(message).edit
    assert edit.pixel_lock is None, "which is on, and not asked for"
    assert edit.mask.polarity is Polarity.WHITE
    message.erase.pixel_lock = False
    message.erase.mask.polarity = image_pb2.MASK_POLARITY_TRANSPARENT
    edit = request_from_proto(message).edit
    assert edit.pixel_lock is False
    assert edit.mask.polarity is Polarity.TRANSPARENT


def test_strictness_unset_and_best_effort_are_one() -> None:
    for strictness, strict in (
        (operation_pb2.STRICTNESS_UNSPECIFIED, False),
        (operation_pb2.STRICTNESS_BEST_EFFORT, False),
        (operation_pb2.STRICTNESS_STRICT, True),
    ):
        message = operation_pb2.GenerateRequest(options=operation_pb2.RequestOptions(strictness=strictness))
        assert request_from_proto(message).options.strict is strict


def test_unknown_fields_travel_with_the_options() -> None:
    assert request_from_proto(operation_pb2.GenerateRequest(), ("size.#9",)).options.unknown == ("size.#9",)
