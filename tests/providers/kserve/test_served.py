"""End-to-end tests with a real inference server, through our gRPC API."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from tests.providers.kserve.conftest import Served
from tests.support import pictures
from tests.support.proxies import CuttingProxy
from tests.support.servers import Running, running

from celeste_image.client import AsyncClient
from celeste_image.core.call import Call
from celeste_image.core.edits import Instruct, RemoveBackground
from celeste_image.core.errors import CelesteError, InvalidRequest, Violation
from celeste_image.core.events import Completed, Preview, Progress
from celeste_image.core.image import ImageInput
from celeste_image.core.request import AnalysisKind, Edit, Generate, RequestOptions, Upscale
from celeste_image.v1 import ImageInput as ImageMessage
from celeste_image.v1 import ImageServiceStub, UpscaleRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALL = Call("00000000-0000-4000-8000-000000000000")
IN_PROCESS = "local/realesrgan-animevideov3"
TILE = 64
PAINTER = {"operation": "generate", "prompt": "PROMPT", "seed": "SEED", "width": "WIDTH", "height": "HEIGHT"}
IMAGENET = {"input": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "scores": "logits"}
BGR = {"colors": "BGR"}
MODELS: list[dict[str, Any]] = [
    {"id": "x4", "operation": "upscale", "model": "realesrgan", "tile": TILE, "overlap": 12},
    {"id": "bytes", "operation": "upscale", "model": "realesrgan-bytes", "overlap": 18, "input": BGR, "output": BGR},
    {**PAINTER, "id": "painter", "steps": "STEPS"},
    {**PAINTER, "id": "encoder", "constants": {"STEPS": 9}, "multiple_of": 1},
    {
        "id": "colors",
        "operation": "classify",
        "model": "classifier",
        "labels": ["", "red", "green", "blue"],
        **IMAGENET,
    },
    {"id": "short", "operation": "classify", "model": "classifier", "labels": ["red"], **IMAGENET},
    {"id": "cutter", "operation": "remove_background"},
    {"id": "gone", "operation": "upscale", "model": "nobody"},
    {"id": "twisted", "operation": "upscale", "model": "realesrgan", "input": {"layout": "NHWC"}},
    {"id": "renamed", "operation": "upscale", "model": "realesrgan", "output": {"name": "LARGER"}},
    {"id": "x2", "operation": "upscale", "model": "realesrgan", "factor": 2},
    {"id": "sleeper", "operation": "upscale", "tile": TILE, "in_flight": 4},
    {"id": "sizeless", "operation": "generate", "model": "painter", "prompt": "PROMPT", "sizes": [[64, 64]]},
    {**PAINTER, "id": "narrow", "model": "painter", "steps": "FEW"},
]


def table(url: str, **more: Any) -> dict[str, Any]:
    return {"kind": "kserve", "url": url, "models": MODELS, **more}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(served: Served) -> AsyncIterator[Running]:
    down = table("grpc://127.0.0.1:9")
    async with running(providers={"cluster": table(served.url), "down": down}) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server: Running) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.address) as client:
        yield client


def source(width: int = 150, height: int = 110) -> Image.Image:
    """Returns a crop of a photograph that has lines and text."""
    whole = Image.open(Path(__file__).parents[3] / "docs" / "images" / "astronaut.jpg")
    return whole.crop((180, 60, 180 + width, 60 + height))


def encoded(picture: Image.Image) -> bytes:
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


async def upscaled(client: AsyncClient, model: str, picture: Image.Image, **asked: Any) -> np.ndarray:
    result = await client.upscale(encoded(picture), model=model, **asked)
    return np.asarray(Image.open(BytesIO(await client.read(result.images[0]))))


async def refused(client: AsyncClient, model: str) -> CelesteError:
    with pytest.raises(CelesteError) as caught:
        await client.upscale(encoded(source(40, 40)), model=model, factor=4)
    return caught.value


@pytest.mark.parametrize("factor", [4, 6, 1.5])
async def test_an_upscale_equals_the_one_in_this_process(client: AsyncClient, factor: float) -> None:
    """Allows a difference of 1 in 255 with the same tiles; none was measured (ncnn 1.0.20261020)."""
    options = {"local": {"tile": TILE}}
    here = await upscaled(client, IN_PROCESS, source(), factor=factor, provider_options=options)
    there = await upscaled(client, "cluster/x4", source(), factor=factor)
    assert here.shape == there.shape == (round(110 * factor), round(150 * factor), 3)
    assert np.abs(here.astype(int) - there).max() <= 1
    assert here.std() > 30, "there is something to see"


async def test_tiles_of_another_size_and_another_form_of_tensor_change_next_to_nothing(client: AsyncClient) -> None:
    here = await upscaled(client, IN_PROCESS, source(100, 60), factor=4)
    there = await upscaled(client, "cluster/bytes", source(100, 60), factor=4)
    difference = np.abs(here.astype(int) - there)
    assert difference.mean() < 0.05
    assert difference.max() <= 8


async def test_alpha_is_kept_here(client: AsyncClient) -> None:
    picture = source(60, 50).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    options = {"local": {"tile": TILE}}
    here = await upscaled(client, IN_PROCESS, picture, factor=4, provider_options=options)
    there = await upscaled(client, "cluster/x4", picture, factor=4)
    assert there.shape == (200, 240, 4)
    assert np.abs(here.astype(int) - there).max() <= 1


async def test_progress_comes_with_each_tile(client: AsyncClient) -> None:
    options = RequestOptions(preview_count=2)
    request = Upscale(model="cluster/x4", image=ImageInput(data=encoded(source())), factor=4, options=options)
    events = [event async for event in client.stream(request)]
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert len(fractions) == 6, "150 x 110 pixels are three by two tiles of 64"
    assert fractions == sorted(set(fractions))
    assert fractions[-1] == 1
    assert len([event for event in events if isinstance(event, Preview)]) == 2
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize("model", ["painter", "encoder"])
async def test_words_become_a_picture(client: AsyncClient, model: str) -> None:
    request = {"model": f"cluster/{model}", "size": "240x160", "seed": 2**63 + 5}
    first, again = [await client.generate("a red fox", **request) for _ in range(2)]
    assert first.images[0].sha256 == again.images[0].sha256
    assert first.images[0].seed == 2**63 + 5
    made = np.asarray(Image.open(BytesIO(await client.read(first.images[0]))))
    assert made.shape == (160, 240, 3)
    assert [row for row in range(160) if (made[row] == 255).all()] == [40, 80, 120], "a line for each word"
    assert made[0, 0, 0] == (9 if model == "encoder" else 0), "a constant of the table, or nothing"
    other = await client.generate("a red fox", **{**request, "seed": 6})
    assert other.images[0].sha256 != first.images[0].sha256


async def test_options_get_there(client: AsyncClient) -> None:
    options = RequestOptions(provider_options={"cluster": {"steps": 41}})
    result = await client.run(Generate(model="cluster/painter", prompt="a", seed=1, options=options))
    assert np.asarray(Image.open(BytesIO(await client.read(result.images[0]))))[0, 0, 0] == 41


async def test_a_value_that_the_models_input_can_not_hold_is_refused_by_its_field(client: AsyncClient) -> None:
    options = RequestOptions(provider_options={"cluster": {"steps": 256}})
    with pytest.raises(InvalidRequest) as caught:
        await client.run(Generate(model="cluster/narrow", prompt="a", options=options))
    path, text = 'options.provider_options["cluster"].steps', "must fit into the model's input 'FEW' of UINT8, is 256"
    assert caught.value.violations == (Violation(path, text),)


async def test_a_picture_gets_tags(client: AsyncClient) -> None:
    """The image is 0.9 red, 0.5 green, 0.2 blue; the scores are the softmax of ten times these."""
    result = await client.analyze(pictures.plain(200, 100, color="#e68033"), model="cluster/colors")
    assert result.analysis
    content = result.analysis.content
    assert content
    assert [tag.name for tag in content.tags] == ["red"]
    assert content.tags[0].score == pytest.approx(0.981, abs=0.002)
    assert {left.field for left in content.left_out} == {"objects", "colors", "texts"}
    with pytest.raises(CelesteError) as caught:
        await client.analyze(pictures.plain(9, 9), model="cluster/colors", kinds=[AnalysisKind.METADATA])
    assert caught.value.violations[0] == Violation("kinds[0]", "must be one of content for cluster/colors")
    with pytest.raises(CelesteError, match="the model returned 4 scores, but its table has 1 labels"):
        await client.analyze(pictures.plain(9, 9), model="cluster/short")


async def test_a_background_is_removed(client: AsyncClient) -> None:
    picture = Image.new("RGBA", (200, 120), (20, 30, 40, 255))
    picture.paste((250, 240, 230, 255), (50, 30, 150, 90))
    picture.paste((250, 240, 230, 0), (120, 30, 150, 90))
    request = Edit(model="cluster/cutter", image=ImageInput(data=encoded(picture)), edit=RemoveBackground())
    result = await client.run(request)
    made = np.asarray(Image.open(BytesIO(await client.read(result.images[0]))))
    assert made.shape == (120, 200, 4)
    assert (made[40:80, 60:110] == (250, 240, 230, 255)).all()
    assert made[60, 135, 3] == 0, "what was transparent stays so"
    assert made[10, 10, 3] == 0
    refused = Edit(model="cluster/cutter", image=ImageInput(data=encoded(picture)), edit=Instruct("make it blue"))
    with pytest.raises(CelesteError) as caught:
        await client.run(refused)
    assert caught.value.reason == "OPERATION_NOT_OFFERED"


@pytest.mark.parametrize(
    ("model", "reason", "text"),
    [
        ("cluster/gone", "MODEL_NOT_FOUND", "cluster: Model with name nobody does not exist."),
        ("cluster/twisted", "PROVIDER_FAILED", "the model's input has shape [-1, 3, -1, -1], which is not NHWC"),
        ("cluster/renamed", "PROVIDER_FAILED", "cluster: renamed: the model has no output 'LARGER'; it has OUTPUT__0"),
        ("cluster/x2", "PROVIDER_FAILED", "the model turned a tile of 72 x 72 into 288 x 288: its factor is not 2"),
        ("down/x4", "PROVIDER_UNAVAILABLE", "down: "),
    ],
)
async def test_what_goes_wrong_is_said(client: AsyncClient, model: str, reason: str, text: str) -> None:
    error = await refused(client, model)
    assert error.reason == reason
    assert text in error.message
    assert error.metadata["provider"] == model.partition("/")[0]


async def test_what_the_server_refuses_is_the_requests_fault(client: AsyncClient) -> None:
    with pytest.raises(CelesteError) as caught:
        await client.generate("a", model="cluster/sizeless", seed=1)
    assert (caught.value.reason, caught.value.message) == ("INVALID_FIELD", "cluster: HEIGHT is missing")


async def test_a_server_that_is_lost_in_the_middle(served: Served) -> None:
    target = served.url.removeprefix("grpc://")
    async with CuttingProxy(target, [500_000] * 20) as proxy:
        cut = table(f"grpc://{proxy.address}")
        async with running(providers={"cut": cut}) as server, AsyncClient(server.address) as client:
            assert (await refused_upscale(client, "cut/x4")).reason == "PROVIDER_UNAVAILABLE"
            assert proxy.connections > 1, "and it was tried again"


async def refused_upscale(client: AsyncClient, model: str) -> CelesteError:
    with pytest.raises(CelesteError) as caught:
        await client.upscale(encoded(source()), model=model, factor=4)
    return caught.value


async def noted(served: Served, word: str, count: int) -> None:
    """Waits until the sleeper wrote a word `count` times; only the test's timeout ends the wait."""
    async with asyncio.timeout(30):
        while not served.sleeper.exists() or served.sleeper.read_text().split().count(word) < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["cancelled", "too late"])
async def test_the_server_stops_when_nobody_waits(server: Running, served: Served, how: str) -> None:
    served.sleeper.write_text("")
    request = UpscaleRequest(image=ImageMessage(data=encoded(source())), factor=4, model="cluster/sleeper")
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = ImageServiceStub(channel).Upscale(request, timeout=30 if how == "cancelled" else 1.5)
        if how == "cancelled":
            await noted(served, "began", 4)
            call.cancel()
        else:
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        began = served.sleeper.read_text().split().count("began")
        await noted(served, "cancelled", began)


async def test_no_request_says_where_it_goes(client: AsyncClient, server: Running) -> None:
    """Only the operator's table sets the address; proxies from the environment are ignored."""
    for name in ("url", "host", "endpoint", "model", "headers", "token"):
        options = RequestOptions(provider_options={"cluster": {name: "grpc://127.0.0.1:9"}})
        with pytest.raises(CelesteError) as caught:
            await client.run(Generate(model="cluster/painter", prompt="a", options=options))
        assert caught.value.reason == "INVALID_FIELD"
        assert caught.value.violations[0].field == f'options.provider_options["cluster"].{name}'
    for model in ("cluster/nobody", "grpc://127.0.0.1:9/painter", "cluster/../painter"):
        with pytest.raises(CelesteError) as caught:
            await client.generate("a", model=model)
        assert caught.value.reason == "MODEL_NOT_FOUND"


async def test_no_proxy_of_the_environment_is_used(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with running(providers={"cluster": table(served.url)}) as server:
        events = [event async for event in server.app.run(Generate(model="cluster/painter", prompt="a", seed=1), CALL)]
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize(
    ("models", "code", "text"),
    [
        (MODELS[:7], 0, "OK       cluster          the server and its 7 models are ready"),
        (MODELS[:8], 4, "FAILED   cluster          gone: cluster: Model with name nobody does not exist."),
    ],
    ids=["all", "one too many"],
)
async def test_providers_check(
    served: Served, tmp_path: Path, models: list[dict[str, Any]], code: int, text: str
) -> None:
    lines = ["[providers.cluster]", 'kind = "kserve"', f'url = "{served.url}"']
    for model in models:
        lines.append("[[providers.cluster.models]]")
        for key, value in model.items():
            lines.append(f"{key} = {toml(value)}")
    (tmp_path / "celeste.toml").write_text("\n".join(lines))
    command = [sys.executable, "-m", "celeste_image.cli.main", "providers", "check", "cluster"]
    found = await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout.strip()) == (code, text), found.stderr


def toml(value: Any) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
        case str():
            return f'"{value}"'
        case _:
            return str(value)
