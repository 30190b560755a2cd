"""The style that local/compose paints its pictures in, through the API."""

from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from tests.support import pictures

from celeste_image.v1 import GenerateRequest, ImageServiceStub, OperationResult, Size

pytestmark = pytest.mark.asyncio(loop_scope="module")

STYLE = "style"


def request(style: str, prompt: str = "a lighthouse by the sea") -> GenerateRequest:
    asked = GenerateRequest(model="local/compose", prompt=prompt, seed=3, size=Size(width=160, height=96))
    if style:
        asked.style = style
    return asked


async def made(channel: grpc.aio.Channel, style: str, prompt: str = "a lighthouse by the sea") -> OperationResult:
    return (await ImageServiceStub(channel).Generate(request(style, prompt))).result


def values(result: OperationResult) -> np.ndarray:
    return np.asarray(pictures.opened(result.images[0].data)).astype(np.float64)


async def test_a_style_is_painted_and_repeats(channel: grpc.aio.Channel) -> None:
    plain, night, again, comic = [await made(channel, s) for s in ("", "starry-night", "starry-night", "thick-comic")]
    assert night.images[0].sha256 == again.images[0].sha256
    looks = [values(result) for result in (plain, night, comic)]
    assert {look.shape for look in looks} == {(96, 160, 3)}
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(looks[one] - looks[other]).mean() > 12
    # What was drawn is still there: where the plain picture is light, the styled one is lighter too.
    gray = [look.mean(axis=2).reshape(12, 8, 20, 8).mean(axis=(1, 3)).ravel() for look in looks]
    assert np.corrcoef(gray[0], gray[1])[0, 1] > 0.3
    (line,) = [line for line in night.fidelity if line.path == STYLE]
    assert line.measured.struct_value["worked_at"]["width"] == 160
    assert STYLE not in [line.path for line in plain.fidelity]


async def test_an_abstract_may_have_a_style(channel: grpc.aio.Channel) -> None:
    result = await made(channel, "ember", "qwzx blorp")
    (warning,) = [
        line.message for line in result.fidelity if line.path == "prompt" and "qwzx, blorp" in line.message
    ] or [""]
    assert warning
    assert np.abs(values(result) - values(await made(channel, "", "qwzx blorp"))).mean() > 12


async def test_a_recipe_tells_whether_a_network_had_a_part(channel: grpc.aio.Channel) -> None:
    for style, told in (("", b"/algorithmicMedia"), ("ember", b"/trainedAlgorithmicMedia")):
        asked = request(style)
        asked.options.embed_recipe = True
        result = (await ImageServiceStub(channel).Generate(asked)).result
        assert told in result.images[0].data


async def failed(channel: grpc.aio.Channel, asked: GenerateRequest) -> tuple[error_details_pb2.ErrorInfo, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ImageServiceStub(channel).Generate(asked)
    trailing = dict(caught.value.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return info, str(status)


async def test_an_unknown_style_is_refused_with_those_there_are(channel: grpc.aio.Channel) -> None:
    info, text = await failed(channel, request("baroque"))
    assert info.reason == "INVALID_FIELD"
    assert "must be one of warm-pastel, " in text
    assert STYLE.replace('"', '\\"') in text


async def test_a_style_needs_its_weights_and_a_picture_does_not(
    channel: grpc.aio.Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(tmp_path))
    info, _ = await failed(channel, request("starry-night"))
    assert (info.reason, info.metadata["command"]) == ("WEIGHTS_MISSING", "celeste models pull local/restyle")
    assert (await made(channel, "")).images
