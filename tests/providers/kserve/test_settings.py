"""Settings of inference servers: valid tables, and the messages for invalid ones."""

import os
from pathlib import Path
from typing import Any

import pytest

from celeste_image.app import App, build_app
from celeste_image.config import Settings
from celeste_image.core.card import ChoiceRange, SizeRange
from celeste_image.core.request import OperationKind
from celeste_image.providers.kserve import provider

X4: dict[str, Any] = {"id": "x4", "operation": "upscale"}
PAINT: dict[str, Any] = {"id": "paint", "operation": "generate", "width": "W", "height": "H"}
CUT: dict[str, Any] = {"id": "cut", "operation": "remove_background"}
NORMAL: dict[str, Any] = {"mean": [0, 0, 0], "std": [1, 1, 1]}
TABLE: dict[str, Any] = {"kind": "kserve", "url": "grpc://127.0.0.1:8001", "models": [X4, PAINT]}


def app_of(table: dict[str, Any]) -> App:
    return build_app(Settings(store={"url": "memory:///", "reserve_bytes": 0}, providers={"cluster": table}))  # type: ignore[arg-type]


async def test_a_server_is_a_table() -> None:
    given = {**PAINT, "seed": "S", "steps": "N", "title": "Painter", "license": "MIT", "model": "sdxl"}
    app = app_of({**TABLE, "url": "grpcs://[::1]:8001/", "models": [X4, given]})
    try:
        x4, paint = (app.registry.find(f"cluster/{name}") for name in ("x4", "paint"))
        assert x4.operations == (OperationKind.UPSCALE,)
        assert (x4.name_on_wire, x4.max_count, x4.previews) == ("x4", 1, True)
        assert (paint.title, paint.license, paint.name_on_wire) == ("Painter", "MIT", "sdxl")
        assert app.registry.ready(x4), "the operator said so"
        known = {parameter.path for parameter in paint.parameters[OperationKind.GENERATE]}
        assert known == {"prompt", "size", "seed", 'options.provider_options["cluster"].steps'}
    finally:
        await app.close()


async def test_a_model_of_one_size_needs_no_inputs_for_it() -> None:
    app = app_of({**TABLE, "models": [{"id": "p", "operation": "generate", "sizes": [[512, 768]]}]})
    try:
        size = app.registry.find("cluster/p").parameter(OperationKind.GENERATE, "size")
        assert size
        assert not isinstance(size.range, ChoiceRange)
        assert isinstance(size.range, SizeRange)
        assert size.range.sizes == ((512, 768),)
    finally:
        await app.close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"url": "http://127.0.0.1:8001"}, "url: must be grpc://host:port or grpcs://host:port"),
        ({"url": "grpc://127.0.0.1"}, "must have a port; Triton's is 8001, KServe's is 8081"),
        ({"url": "grpc://host:8001/v2"}, "must be grpc://host:port"),
        ({"url": "grpc://me@host:8001"}, "has a user name in it"),
        ({"url": "grpc://unix:/tmp/x"}, "must be grpc://host:port"),
        ({"url": "grpc://0x7f.1:8001"}, "has no valid address for a host"),
        ({"url": "grpc://a,b:8001"}, "has no valid host"),
        ({"token": "canary"}, "a token and headers need grpcs://"),
        ({"headers": {"x-key": "canary"}}, "a token and headers need grpcs://"),
        ({"url": "grpcs://h:1", "headers": {"grpc-timeout": "1"}}, "'grpc-timeout' can't be set"),
        ({"url": "grpcs://h:1", "headers": {"x-bin": "1"}}, "'x-bin' can't be set"),
        ({"url": "grpcs://h:1", "headers": {"Authorization": "1"}}, "'Authorization' can't be set"),
        ({"url": "grpcs://h:1", "headers": {"authorization": "1"}}, "'authorization' can't be set"),
        ({"url": "grpcs://h:1", "headers": {"x": "canary\n"}}, "the value of 'x' is not printable ASCII"),
        ({"url": "grpcs://h:1", "token": "a", "token_file": "b"}, "token and token_file can't both be set"),
        ({"url": "grpcs://h:1", "cert_file": "a"}, "cert_file and key_file must be set together"),
        ({"ca_file": "a"}, "ca_file and cert_file are for grpcs:// only"),
        ({"models": []}, "models: "),
        ({"models": [X4, X4]}, "two models have the same id"),
        ({"models": [{"id": "a"}]}, "models.0: Unable to extract tag using discriminator 'operation'"),
        (
            {"models": [{"id": "a", "operation": "sing"}]},
            "does not match any of the expected tags: 'upscale', 'generate', 'remove_background', 'classify'",
        ),
        ({"models": [{**X4, "tyle": 3}]}, "models.0.upscale.tyle: "),
        (
            {"models": [{**X4, "input": {"layout": "CWH"}}]},
            "'CWH' is not a layout; the layouts are NCHW, NHWC, CHW, HWC",
        ),
        ({"models": [{**X4, "input": {"black": 0}}]}, "black and white must be set together"),
        ({"models": [{**X4, "input": {"black": 1, "white": 1}}]}, "black and white must differ"),
        ({"models": [{**X4, "output": {"datatype": "BYTES"}}]}, "tiles are tensors of FP32, FP16 or UINT8, not BYTES"),
        ({"models": [{**X4, "tile": 4096}]}, "more than 134217728: set a smaller tile"),
        ({"models": [{**X4, "input": {"mean": [0, 0, 0]}}]}, "mean and std must be set together"),
        ({"models": [{**X4, "input": {"mean": [0, 0, 0], "std": [0, 1, 1]}}]}, "input.std.0: must be greater"),
        ({"models": [{**X4, "input": {**NORMAL, "black": 0, "white": 1}}]}, "either black and white or mean and std"),
        ({"models": [{"id": "a", "operation": "classify"}]}, "set either labels or labels_file"),
        ({"models": [{**CUT, "input": {"datatype": "BYTES"}}]}, "the input must be FP32, FP16 or UINT8, not BYTES"),
        ({"models": [{**PAINT, "height": ""}]}, "width and height must be set together"),
        ({"models": [{**PAINT, "width": "", "height": ""}]}, "has one size: set sizes = [[width, height]]"),
        ({"models": [{**PAINT, "maximum_side": 512}]}, "the default size is larger than maximum_side"),
        ({"models": [{**PAINT, "maximum_side": 4096}]}, "an image may have 201326592 bytes"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"providers\.cluster") as caught:
        app_of({**TABLE, **change})
    assert text in str(caught.value)
    assert "canary" not in str(caught.value)


def test_without_numpy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"providers\.cluster: needs numpy; get it with: .*\[kserve\]"):
        app_of(TABLE)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^providers\.cluster: .*ca\.pem: No such file"):
        app_of({**TABLE, "url": "grpcs://host:8001", "ca_file": os.fspath(tmp_path / "ca.pem")})
