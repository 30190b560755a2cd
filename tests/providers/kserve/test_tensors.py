"""Conversion between pixels and tensors, and tensor forms from a model's metadata."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeste_image.core.errors import InvalidRequest, ProviderFailed, Violation
from celeste_image.providers.kserve.forms import LAYOUTS, Form
from celeste_image.providers.kserve.inputs import inputs_of
from celeste_image.providers.kserve.settings import PictureTensor
from celeste_image.providers.kserve.signature import Signature, Tensor, form_of, layout_of
from celeste_image.providers.kserve.tensors import matte_of, pixels_of, scores_of, tensor_of

PIXELS = np.random.default_rng(3).integers(0, 256, (5, 7, 3), np.uint8)
RANGES = [("UINT8", 0, 255), ("FP32", 0, 1), ("FP32", -1, 1), ("FP32", 255, 0), ("FP16", 0, 1), ("FP16", -1, 1)]


def ends(black: float, white: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return (black,) * 3, (white,) * 3


@given(st.sampled_from(LAYOUTS), st.sampled_from(["RGB", "BGR"]), st.sampled_from(RANGES))
def test_what_is_written_is_read(layout: str, colors: str, kind: tuple[str, float, float]) -> None:
    form = Form("x", kind[0], layout, colors, *ends(*kind[1:]))
    shape, data = tensor_of(PIXELS, form)
    assert [dict(zip(layout, shape, strict=True)).get(axis) for axis in "HWC"] == [5, 7, 3]
    assert (pixels_of(data, kind[0], shape, form) == PIXELS).all()


def test_planes_of_blue_first() -> None:
    shape, data = tensor_of(PIXELS, Form("x", "FP32", "NCHW", "BGR", *ends(-1, 1)))
    values = np.frombuffer(data, "<f4").reshape(shape)
    assert values[0, 0, 2, 3] == pytest.approx(PIXELS[2, 3, 2] / 127.5 - 1, abs=1e-6)


def test_channels_may_have_means_and_deviations() -> None:
    found = PictureTensor(mean=(0.5, 0.4, 0.25), std=(0.5, 0.2, 0.25)).ends
    assert found
    assert np.allclose(found, [(-1, -2, -1), (1, 3, 3)])
    form = Form("x", "FP32", "HWC", "BGR", *found)
    shape, data = tensor_of(PIXELS, form)
    assert np.frombuffer(data, "<f4").reshape(shape)[1, 2, 1] == pytest.approx((PIXELS[1, 2, 1] / 255 - 0.4) / 0.2)
    assert (pixels_of(data, "FP32", shape, form) == PIXELS).all()


def test_a_matte_is_one_plane() -> None:
    data = np.array([[0, 1, 0.5], [0.2, 2, -1]], "<f2").tobytes()
    for shape in ([2, 3], [1, 1, 2, 3], [1, 2, 3, 1]):
        assert matte_of(data, "FP16", shape, "probabilities").tolist() == [[0, 255, 128], [51, 255, 0]]
    assert matte_of(bytes(12), "FP16", [2, 3], "logits").tolist() == [[128] * 3] * 2
    for shape in ([6], [1, 6], [1, 2, 2, 3], [2, 1, 1, 3]):
        with pytest.raises(ProviderFailed, match="not one plane"):
            matte_of(data, "FP16", shape, "probabilities")


@pytest.mark.parametrize(
    ("form", "scores"),
    [("probabilities", [0, 0.5, 1]), ("logits", [0.0996, 0.1642, 0.7361]), ("independent", [0.5, 0.622, 0.881])],
)
def test_scores_are_from_0_to_1(form: str, scores: list[float]) -> None:
    data = np.array([[0, 0.5, 2]], "<f4").tobytes()
    assert np.allclose(scores_of(data, "FP32", [1, 3], form), scores, atol=1e-3)


@pytest.mark.parametrize(
    ("datatype", "shape"), [("UINT8", [12]), ("FP64", [1]), ("FP32", [4]), ("FP16", [3]), ("FP32", [0])]
)
def test_what_is_no_scores_is_refused(datatype: str, shape: list[int]) -> None:
    data = b"" if shape == [0] else np.array([1, 2, 3], "<f4").tobytes()
    with pytest.raises(ProviderFailed, match="scores"):
        scores_of(data, datatype, shape, "logits")


def test_a_form_of_fixed_size_is_filled_by_what_is_at_the_border() -> None:
    shape, data = tensor_of(PIXELS, Form("x", "UINT8", "HWC", "RGB", *ends(0, 255), height=8, width=9))
    assert shape == [8, 9, 3]
    values = np.frombuffer(data, np.uint8).reshape(shape)
    assert (values[:5, :7] == PIXELS).all()
    assert (values[7, 8] == PIXELS[4, 6]).all()


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "text"),
    [
        ("FP64", [1, 3, 2, 2], bytes(96), "a tensor of FP64 and shape [1, 3, 2, 2], not of FP32"),
        ("FP32", [3, 2, 2], bytes(48), "not an image of layout NCHW"),
        ("FP32", [1, 4, 2, 2], bytes(64), "not an image of layout NCHW"),
        ("FP32", [1, 3, 0, 2], b"", "not an image of layout NCHW"),
        ("FP32", [2, 3, 2, 2], bytes(96), "which is more than one image"),
        ("FP32", [1, 3, 2, 2], bytes(44), "with 11 values"),
        ("FP32", [1, 3, 2, 2], struct.pack("<12f", *[float("nan")] * 12), "values that are not numbers"),
    ],
)
def test_what_is_no_picture_is_refused(datatype: str, shape: list[int], data: bytes, text: str) -> None:
    with pytest.raises(ProviderFailed) as caught:
        pixels_of(data, datatype, shape, Form("x", "FP32", "NCHW"))
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((-1, 3, -1, -1), "NCHW"),
        ((1, 512, 512, 3), "NHWC"),
        ((3, 640, 640), "CHW"),
        ((-1, -1, 3), "HWC"),
        ((-1, -1, -1, -1), "NCHW"),
        ((1000,), ""),
    ],
)
def test_layouts_are_read_off_shapes(shape: tuple[int, ...], layout: str) -> None:
    assert layout_of(shape) == layout


def test_metadata_says_what_the_table_does_not() -> None:
    offered = [Tensor("scale", "FP32", (1,)), Tensor("image", "UINT8", (-1, 96, 64, 3))]
    assert form_of(PictureTensor(), offered, "input") == Form("image", "UINT8", "NHWC", "RGB", *ends(0, 255), 96, 64)
    assert form_of(PictureTensor(name="x", layout="CHW"), [], "input") == Form("x", "FP32", "CHW")
    given = PictureTensor(name="image", black=-1, white=1, colors="BGR", datatype="FP16")
    assert form_of(given, offered, "input") == Form("image", "FP16", "NHWC", "BGR", *ends(-1, 1), 96, 64)


@pytest.mark.parametrize(
    ("wanted", "offered", "text"),
    [
        ({}, [], "the model's metadata has no tensor for an image: set input.name in its table"),
        ({}, [("a", "FP32", (1, 3, 8, 8)), ("b", "FP32", (1, 3, 8, 8))], "has a, b for an image: set input.name"),
        ({"name": "c"}, [("a", "FP32", (1, 3, 8, 8))], "the model has no input 'c'; it has a"),
        ({}, [("a", "INT64", (1, 3, 8, 8))], "the model's input is of INT64; an image is of FP32, FP16, UINT8"),
        ({}, [("a", "BYTES", (1,))], "the model's input is of BYTES; an image is of"),
        ({"name": "a"}, [("a", "FP32", (1, 3))], "has shape [1, 3], which is not NCHW"),
        ({"layout": "CHW"}, [("a", "FP32", (1, 3, 8, 8))], "has shape [1, 3, 8, 8], which is not CHW"),
        ({"layout": "NHWC"}, [("a", "FP32", (-1, 3, -1, -1))], "which is not NHWC"),
    ],
)
def test_what_does_not_go_together_is_said(wanted: dict[str, Any], offered: list[Any], text: str) -> None:
    with pytest.raises(ProviderFailed) as caught:
        form_of(PictureTensor(**wanted), [Tensor(*each) for each in offered], "input")
    assert text in caught.value.message


SIGNATURE = Signature(
    (
        Tensor("prompt", "BYTES", (-1, 1)),
        Tensor("seed", "INT32", (1,)),
        Tensor("steps", "UINT8", ()),
        Tensor("scale", "FP16", (1, 1)),
        Tensor("tall", "BOOL", (1,)),
        Tensor("box", "FP32", (4,)),
        Tensor("odd", "COMPLEX", (1,)),
    )
)


def test_values_get_the_type_and_the_shape_that_the_model_has() -> None:
    values = {"prompt": "größer", "seed": 2**31 + 7, "steps": 20, "scale": 1.5, "tall": True}
    prompt, seed, steps, scale, tall = inputs_of(values, SIGNATURE, {"seed": "seed"})
    assert (prompt.datatype, prompt.shape, prompt.data) == ("BYTES", [1, 1], b"\x08\0\0\0gr\xc3\xb6\xc3\x9fer")
    assert (seed.datatype, seed.data) == ("INT32", b"\x07\0\0\0")
    assert (steps.shape, steps.data) == ([], b"\x14")
    assert (scale.shape, scale.data) == ([1, 1], struct.pack("<e", 1.5))
    assert tall.data == b"\1"


def test_without_a_signature_values_have_types_of_their_own() -> None:
    found = inputs_of({"a": "b", "c": 3, "d": 0.5, "e": False}, Signature())
    assert [(each.datatype, each.shape) for each in found] == [
        (kind, [1]) for kind in ("BYTES", "INT64", "FP32", "BOOL")
    ]


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        ({"nobody": 1}, ProviderFailed, "the model has no input 'nobody'; it has prompt, seed"),
        ({"box": 1.0}, ProviderFailed, "the model's input 'box' has shape [4], not one value"),
        ({"odd": 1}, ProviderFailed, "is of COMPLEX, which can't hold int"),
        ({"steps": "many"}, ProviderFailed, "is of UINT8, which can't hold str"),
        ({"steps": 300}, ProviderFailed, "300 does not fit into the model's input 'steps' of UINT8"),
        ({"scale": 1e6}, ProviderFailed, "does not fit into the model's input 'scale' of FP16"),
    ],
)
def test_constants_that_do_not_fit_are_the_operators_fault(
    values: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        inputs_of(values, SIGNATURE)
    assert text in str(caught.value)


def test_a_value_of_the_request_that_does_not_fit_names_its_field() -> None:
    with pytest.raises(InvalidRequest) as caught:
        inputs_of({"steps": 300}, SIGNATURE, {"steps": "size.width"})
    text = "must fit into the model's input 'steps' of UINT8, is 300"
    assert caught.value.violations == (Violation("size.width", text),)
