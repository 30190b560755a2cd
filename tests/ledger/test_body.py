"""Requests as JSON: another server reads what one has written."""

import pytest
from hypothesis import given, settings
from tests.support.strategies import requests

from celeste_image.core.image import ImageInput
from celeste_image.core.request import Generate, ImageRequest, Upscale
from celeste_image.ledger import request_from_json, request_to_json


@given(requests)
@settings(max_examples=200)
def test_a_request_comes_back_as_it_was(request_: ImageRequest) -> None:
    data = request_to_json(request_)
    if any(image.data for _, image in request_.images()):
        assert data is None
    else:
        assert data is not None
        assert request_from_json(data) == request_


def test_bytes_of_images_are_not_written() -> None:
    assert request_to_json(Upscale(image=ImageInput(data=b"png"))) is None
    assert request_to_json(Upscale(image=ImageInput(artifact="artifacts/sha256-" + "0" * 64)))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"kind":"dream","edit":"","request":{}}', b'{"kind":1}'])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a request"):
        request_from_json(data)


def test_a_field_of_a_later_version_is_refused() -> None:
    data = request_to_json(Generate(prompt="a fox"))
    assert data
    with pytest.raises(ValueError, match="not a request"):
        request_from_json(data.replace(b'"prompt":', b'"mood":"calm","prompt":'))
