"""Analyze with SAFETY: the real networks on ordinary pictures. No other pictures are here, so nothing is found bad."""

from pathlib import Path

import grpc
import pytest
from PIL import Image
from tests.support import pictures
from tests.support.servers import running

from celeste_image.v1 import ANALYSIS_KIND_METADATA, ANALYSIS_KIND_SAFETY, AnalyzeRequest, ImageInput, ImageServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGES = Path(__file__).parents[2] / "docs" / "images"
OF_SEVERAL, NETWORKS = ["explicit", "suggestive"], {"open_nsfw": ["nsfw"]}
NETWORKS["nsfwjs"] = ["drawing", "hentai", "neutral", "porn", "sexy"]


async def scores(channel: grpc.aio.Channel, data: bytes) -> dict[str, float]:
    request = AnalyzeRequest(model="local/safety", image=ImageInput(data=data), kinds=[ANALYSIS_KIND_SAFETY])
    analysis = (await ImageServiceStub(channel).Analyze(request)).result.analysis
    assert not analysis.HasField("metadata")
    found = analysis.safety.scores
    assert [each.category for each in found if not each.network] == OF_SEVERAL
    for network, categories in NETWORKS.items():
        assert [each.category for each in found if each.network == network] == categories
    return {each.category: each.score for each in found}


def fits(found: dict[str, float]) -> bool:
    assert all(0 <= score <= 1 for score in found.values())
    assert sum(found[name] for name in NETWORKS["nsfwjs"]) == pytest.approx(1, abs=1e-5)
    assert found["explicit"] == max(found[name] for name in ("nsfw", "hentai", "porn"))
    return found["suggestive"] >= found["explicit"]


@pytest.mark.parametrize(
    ("name", "kind"), [("fox.png", "drawing"), ("lighthouse.png", "drawing"), ("astronaut.jpg", "neutral")]
)
async def test_ordinary_pictures_are_told_for_what_they_are(channel: grpc.aio.Channel, name: str, kind: str) -> None:
    found = await scores(channel, (IMAGES / name).read_bytes())
    assert fits(found)
    assert found[kind] > 0.6
    assert found["suggestive"] < 0.2


async def test_a_picture_is_seen_upright_and_on_white(channel: grpc.aio.Channel) -> None:
    with Image.open(IMAGES / "fox.png") as fox:
        upright = await scores(channel, pictures.encoded(fox.convert("RGB")))
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = pictures.encoded(fox.convert("RGB").transpose(Image.Transpose.ROTATE_90), exif=exif)
        clear = Image.new("RGBA", (200, 100), (255, 0, 0, 0))
    assert await scores(channel, turned) == pytest.approx(upright, abs=1e-4)
    white = await scores(channel, pictures.plain(200, 100, color="white"))
    assert await scores(channel, pictures.encoded(clear)) == pytest.approx(white, abs=1e-4)
    assert white != pytest.approx(await scores(channel, pictures.plain(200, 100, color="red")), abs=1e-4)


async def test_the_smallest_and_a_long_picture(channel: grpc.aio.Channel) -> None:
    assert fits(await scores(channel, pictures.plain(1, 1)))
    assert fits(await scores(channel, pictures.plain(5000, 2)))


async def test_it_finds_nothing_else(channel: grpc.aio.Channel) -> None:
    kinds = [ANALYSIS_KIND_SAFETY, ANALYSIS_KIND_METADATA]
    request = AnalyzeRequest(model="local/safety", image=ImageInput(data=pictures.plain(8, 8)), kinds=kinds)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ImageServiceStub(channel).Analyze(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith("kinds[1]: ")


async def test_the_default_model_scores_too(channel: grpc.aio.Channel) -> None:
    data = (IMAGES / "fox.png").read_bytes()
    request = AnalyzeRequest(image=ImageInput(data=data), kinds=[ANALYSIS_KIND_SAFETY, ANALYSIS_KIND_METADATA])
    result = (await ImageServiceStub(channel).Analyze(request)).result
    assert result.model == "local/analyze"
    assert result.analysis.metadata.width == 768
    found = {each.category: each.score for each in result.analysis.safety.scores}
    assert found == pytest.approx(await scores(channel, data))


async def test_weights_that_are_not_there_or_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = ImageInput(data=pictures.plain(8, 8))
    requests = [
        AnalyzeRequest(model="local/safety", image=image),
        AnalyzeRequest(model="local/analyze", image=image, kinds=[ANALYSIS_KIND_SAFETY]),
    ]
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(tmp_path))
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        for make in (lambda: None, lambda: damaged(tmp_path / "safety" / "open-nsfw.onnx")):
            make()
            for request in requests:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ImageServiceStub(channel).Analyze(request)
                assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
                trailers = dict(caught.value.trailing_metadata() or ())
                assert b"WEIGHTS_MISSING" in trailers["grpc-status-details-bin"]
                assert b"celeste models pull local/safety" in trailers["grpc-status-details-bin"]


def damaged(path: Path) -> None:
    """Writes a file of the right size and nothing in it."""
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(23_590_724)
