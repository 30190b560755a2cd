"""The upscalers, on images small enough for seconds; Real-ESRGAN with its real weights."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from celeste_image.core.errors import NotAnImage, WeightsMissing
from celeste_image.engines import lanczos, realesrgan, tiling
from celeste_image.engines.canvas import cuts, scaled
from celeste_image.providers.local.models.realesrgan import LARGE_OVERLAP

PHOTO = Path(__file__).parents[2] / "docs/images/astronaut.jpg"
LANCZOS = Image.Resampling.LANCZOS
FACE = (180, 50, 276, 130)

Message = tuple[str, dict[str, Any], bytes]
Values = NDArray[np.float64]


@pytest.fixture(params=[realesrgan, lanczos], ids=["realesrgan", "lanczos"])
def engine(request: pytest.FixtureRequest) -> ModuleType:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def face() -> Image.Image:
    return Image.open(PHOTO).crop(FACE)


class Upscale:
    """Runs an engine and collects its messages."""

    def __init__(self, model_dir: Path) -> None:
        self.task = {"model_dir": str(model_dir), "threads": 2, "tile": 64, "preview_count": 2}
        self.task |= {"overlap": 12, "half": False}

    def __call__(self, engine: ModuleType, source: Image.Image, width: int, height: int, **task: Any) -> "Said":
        encoded = io.BytesIO()
        source.save(encoded, "PNG")
        messages: list[Message] = []

        def emit(kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
            messages.append((kind, fields or {}, payload))

        engine.run(self.task | {"width": width, "height": height} | task, [encoded.getvalue()], emit)
        return Said(messages)


class Said:
    def __init__(self, messages: list[Message]) -> None:
        self.kinds = [kind for kind, _, _ in messages]
        self.fractions = [fields["fraction"] for kind, fields, _ in messages if kind == "progress"]
        self.previews = [(fields, data) for kind, fields, data in messages if kind == "preview"]
        ((self.fields, self.png),) = [(fields, data) for kind, fields, data in messages if kind == "picture"]
        self.picture = Image.open(io.BytesIO(self.png))


@pytest.fixture(scope="session")
def upscale(pulled_model_dir: Path) -> Upscale:
    return Upscale(pulled_model_dir)


def values(picture: Image.Image) -> Values:
    return np.asarray(picture).astype(np.float64)


def psnr(one: Image.Image, other: Image.Image) -> float:
    return float(10 * np.log10(255**2 / np.mean((values(one) - values(other)) ** 2)))


@pytest.mark.parametrize(
    ("size", "passes"),
    [((96, 80), 1), ((131, 97), 1), ((384, 320), 1), ((300, 200), 1), ((577, 481), 2), ((768, 640), 2)],
)
def test_the_size_is_exact(
    engine: ModuleType, upscale: Upscale, face: Image.Image, size: tuple[int, int], passes: int
) -> None:
    said = upscale(engine, face, *size)
    assert said.picture.size == size
    assert said.picture.format == "PNG"
    assert said.fields == {
        "media_type": "image/png",
        "width": size[0],
        "height": size[1],
        "passes": passes if engine is realesrgan else 0,
    }


def test_sixteen_times(engine: ModuleType, upscale: Upscale, face: Image.Image) -> None:
    limits = {"max_pixels": 32 * 24}  # those of the source, as the server sends them: the second pass sees more
    said = upscale(engine, face.crop((20, 20, 52, 44)), 512, 384, limits=limits)
    assert said.picture.size == (512, 384)
    small = said.picture.resize((32, 24), Image.Resampling.BOX)
    assert psnr(small, face.crop((20, 20, 52, 44))) > 25


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_the_mode_is_kept(engine: ModuleType, upscale: Upscale, face: Image.Image, mode: str) -> None:
    assert upscale(engine, face.convert(mode), 192, 160).picture.mode == mode


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_thin_pictures(engine: ModuleType, upscale: Upscale, size: tuple[int, int]) -> None:
    width, height = size[0] * 4, size[1] * 4
    picture = upscale(engine, Image.new("RGB", size, (200, 30, 40)), width, height).picture
    assert picture.size == (width, height)
    assert np.abs(values(picture) - (200, 30, 40)).max() <= 16


def cut_out(face: Image.Image) -> tuple[Image.Image, Image.Image]:
    """A round piece of a face on hidden black, and its alpha."""
    large = Image.new("L", (384, 320))
    ImageDraw.Draw(large).ellipse((60, 40, 320, 280), fill=255)
    alpha = large.resize(face.size, Image.Resampling.BOX)
    hidden = Image.new("RGB", face.size)
    source = Image.composite(face, hidden, alpha.point([0] + [255] * 255))
    source.putalpha(alpha)
    return source, alpha


def test_alpha_is_kept(engine: ModuleType, upscale: Upscale, face: Image.Image) -> None:
    source, alpha = cut_out(face)
    said = upscale(engine, source, 384, 320, tile=40)
    whole = alpha.resize((96, 320), LANCZOS).resize((384, 320), LANCZOS)
    assert said.picture.getchannel("A").tobytes() == whole.tobytes()


def test_hidden_colors_make_no_fringe(engine: ModuleType, upscale: Upscale) -> None:
    white = Image.new("RGB", (96, 80), "white")
    source, _ = cut_out(white)
    made = values(upscale(engine, source, 384, 320).picture)
    seen = made[made[..., 3] > 32][:, :3]
    assert seen.min() > 225


@pytest.mark.parametrize("factor", [4, 6])
def test_progress_is_per_piece_and_never_falls(
    engine: ModuleType, upscale: Upscale, face: Image.Image, factor: int
) -> None:
    said = upscale(engine, face, 96 * factor, 80 * factor, tile=32)
    assert said.fractions == sorted(set(said.fractions))
    assert said.fractions[0] > 0
    assert said.fractions[-1] == 1
    pieces = {4: 9, 6: 9 + 20}[factor] if engine is realesrgan else -(-80 * factor // lanczos.STRIP_ROWS)
    assert len(said.fractions) == pieces
    assert max(np.diff(said.fractions)) < 0.3
    assert said.kinds[-1] == "picture"


def test_previews_are_small_and_like_the_result(engine: ModuleType, upscale: Upscale, face: Image.Image) -> None:
    said = upscale(engine, face, 700, 583, tile=32)
    assert len(said.previews) == 2
    for fields, data in said.previews:
        preview = Image.open(io.BytesIO(data))
        assert (preview.format, preview.size) == ("JPEG", (512, 426))
        assert fields == {"media_type": "image/jpeg", "width": 512, "height": 426}
        assert psnr(preview, said.picture.resize(preview.size)) > 24
    first, second = (Image.open(io.BytesIO(data)) for _, data in said.previews)
    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_previews_come_at_equal_parts(engine: ModuleType, upscale: Upscale, face: Image.Image, count: int) -> None:
    said = upscale(engine, face, 384, 960, tile=16, preview_count=count)
    at = [said.fractions[said.kinds[:index].count("progress") - 1] for index in indices(said.kinds, "preview")]
    assert at == pytest.approx([part / (count + 1) for part in range(1, count + 1)], abs=0.08)


def indices(kinds: list[str], kind: str) -> list[int]:
    return [index for index, each in enumerate(kinds) if each == kind]


def test_no_previews_unless_asked_for(engine: ModuleType, upscale: Upscale, face: Image.Image) -> None:
    assert "preview" not in upscale(engine, face, 384, 320, tile=32, preview_count=0).kinds


def test_two_runs_give_the_same_bytes(engine: ModuleType, upscale: Upscale, face: Image.Image) -> None:
    assert upscale(engine, face, 500, 400).png == upscale(engine, face, 500, 400).png


def test_other_bytes_than_images_are_refused(engine: ModuleType, upscale: Upscale) -> None:
    task = upscale.task | {"width": 8, "height": 8}
    with pytest.raises(NotAnImage):
        engine.run(task, [b"no picture"], lambda *_: None)


def test_a_source_stored_on_its_side_is_set_upright(engine: ModuleType, upscale: Upscale, face: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = io.BytesIO()
    face.rotate(90, expand=True).save(encoded, "PNG", exif=exif)
    made: list[bytes] = []
    task = upscale.task | {"width": 192, "height": 160}
    engine.run(task, [encoded.getvalue()], lambda kind, fields=None, data=b"": made.append(data))
    assert psnr(Image.open(io.BytesIO(made[-1])), face.resize((192, 160), LANCZOS)) > 20


@pytest.mark.parametrize("size", [(384, 320), (331, 277), (50, 40)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_lanczos_strips_are_one_resize(upscale: Upscale, face: Image.Image, size: tuple[int, int], mode: str) -> None:
    source = cut_out(face)[0] if mode == "RGBA" else face
    made = upscale(lanczos, source, *size).picture
    weighted = source.convert("RGBa") if mode == "RGBA" else source
    whole = weighted.resize((source.width, size[1]), LANCZOS).resize(size, LANCZOS).convert(mode)
    # Compared premultiplied: the color of an almost transparent pixel is a large number with a large rounding error.
    weigh = "RGBa" if mode == "RGBA" else "RGB"
    assert np.abs(values(made.convert(weigh)) - values(whole.convert(weigh))).max() <= 2
    if mode == "RGB":  # in one step other values are clipped
        assert np.abs(values(made) - values(source.resize(size, LANCZOS))).mean() < 0.5


@pytest.mark.parametrize("size", [(512, 512), (300, 431), (700, 700)])
def test_tiles_leave_no_seams(upscale: Upscale, size: tuple[int, int]) -> None:
    source = Image.open(PHOTO).crop((170, 40, 298, 168))
    tiled = values(upscale(realesrgan, source, *size, tile=32).picture)
    whole = values(upscale(realesrgan, source, *size, tile=256).picture)
    # Pixels beyond the overlap hardly influence the network, so the tile size hardly matters.
    assert np.abs(tiled - whole).max() <= 16
    assert np.abs(tiled - whole).mean() < 0.15

    for axis in (0, 1):
        steps = np.abs(np.diff(tiled, axis=axis)).mean(axis=(1 - axis, 2))
        border = np.round(np.arange(1, 4) * tiled.shape[axis] / 4).astype(int) - 1
        near = np.concatenate([steps[at + offset] for offset in (-3, -2, -1, 1, 2, 3) for at in [border]])
        assert steps[border].mean() < 1.5 * near.mean()


def test_the_picture_has_no_frame(upscale: Upscale) -> None:
    made = values(upscale(realesrgan, Image.new("RGB", (40, 40), (120, 160, 90)), 160, 160).picture)
    assert np.abs(made - made[80, 80]).max() <= 2


def blurred_edge() -> Image.Image:
    """A photograph's edge: slanted, soft, a little noisy."""
    large = Image.new("L", (192, 192), 60)
    ImageDraw.Draw(large).polygon([(75, 0), (192, 0), (192, 192), (115, 192)], fill=190)
    soft = large.filter(ImageFilter.GaussianBlur(4)).resize((48, 48), Image.Resampling.BOX)
    noise = np.random.default_rng(7).normal(0, 2, (48, 48))
    return Image.fromarray((np.asarray(soft) + noise).clip(0, 255).astype(np.uint8)).convert("RGB")


def rise(picture: Image.Image) -> float:
    """The width of an edge in pixels, from a quarter to three quarters of its height, mean of the rows."""
    rows = values(picture.convert("L").filter(ImageFilter.BoxBlur(1)))[40:-40]
    return float(np.mean([(row > 157).argmax() - (row > 93).argmax() for row in rows]))


@pytest.fixture(params=["animevideov3", "x4plus"])
def network(request: pytest.FixtureRequest, pulled: Callable[[str], Path]) -> dict[str, Any]:
    """The fields of the task that depend on the network, as its model sets them."""
    folder = str(pulled(f"realesrgan-{request.param}"))
    large = {"overlap": LARGE_OVERLAP, "half": True} if request.param == "x4plus" else {}
    return {"model_dir": folder, "tile": 128} | large


def test_real_esrgan_makes_sharper_edges_than_a_resize(upscale: Upscale, network: dict[str, Any]) -> None:
    source = blurred_edge()
    drawn = upscale(realesrgan, source, 192, 192, **network).picture
    resampled = upscale(lanczos, source, 192, 192).picture
    assert rise(drawn) < 0.75 * rise(resampled)


def test_real_esrgan_scaled_down_again_matches_its_source(
    upscale: Upscale, network: dict[str, Any], face: Image.Image
) -> None:
    face = face.crop((20, 20, 68, 60))
    made = upscale(realesrgan, face, 192, 160, **network).picture
    assert psnr(made.resize(face.size, Image.Resampling.BOX), face) >= 30


def test_tiles_of_the_large_network_leave_no_seams(
    upscale: Upscale, pulled: Callable[[str], Path], face: Image.Image
) -> None:
    how = {"model_dir": str(pulled("realesrgan-x4plus")), "overlap": LARGE_OVERLAP, "half": True}
    source = face.crop((0, 0, 64, 64))
    tiled, whole = (values(upscale(realesrgan, source, 256, 256, tile=tile, **how).picture) for tile in (32, 64))
    for axis in (0, 1):
        steps, smooth = (np.abs(np.diff(made, axis=axis)).mean(axis=(1 - axis, 2)) for made in (tiled, whole))
        # Compared with the same place without a border too, since a face is not flat everywhere.
        assert steps[127] / np.delete(steps, 127).mean() < 1.5
        assert steps[127] < 1.5 * smooth[127]


def test_missing_and_damaged_weights_are_reported(
    upscale: Upscale, face: Image.Image, tmp_path: Path, pulled_model_dir: Path
) -> None:
    with pytest.raises(WeightsMissing, match="not on this machine"):
        upscale(realesrgan, face, 192, 160, model_dir=str(tmp_path / "net"))
    for file in pulled_model_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 1000 if file.suffix == ".bin" else None])
    with pytest.raises(WeightsMissing, match="damaged"):
        upscale(realesrgan, face, 192, 160, model_dir=str(tmp_path))


def test_the_network_is_loaded_once(upscale: Upscale, face: Image.Image, pulled_model_dir: Path) -> None:
    upscale(realesrgan, face, 192, 160)
    assert realesrgan.load(str(pulled_model_dir), 2, False) is realesrgan.load(str(pulled_model_dir), 2, False)


def test_the_network_gets_at_most_a_tile(face: Image.Image) -> None:
    """So its memory depends on the tile and not on the image."""
    seen: list[tuple[int, ...]] = []
    messages: list[Message] = []

    def enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        seen.append(pixels.shape)
        return pixels.repeat(4, axis=0).repeat(4, axis=1)

    def emit(kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        messages.append((kind, fields or {}, payload))

    cut = tiling.Tiling(factor=4, tile=64, overlap=12)
    tiling.upscale(face.resize((700, 500)), (2_100, 6_000), partial(map, enlarged), cut, emit, preview_count=2)
    assert Said(messages).picture.size == (2_100, 6_000)
    assert len(seen) > 2 * 11 * 8
    assert max(max(shape) for shape in seen) <= 64 + 2 * 12 + 2


@pytest.mark.parametrize(("size", "columns", "rows"), [((100, 70), 3, 2), ((5, 1), 9, 4), ((64, 64), 1, 1)])
def test_cuts_cover_every_pixel_once(size: tuple[int, int], columns: int, rows: int) -> None:
    covered = np.zeros((size[1], size[0]), int)
    for left, top, right, bottom in cuts(size, columns, rows):
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


def test_scaled_is_whole_at_a_whole_factor() -> None:
    assert scaled((12, 20, 48, 52), (400, 800), (100, 200)) == (3, 5, 12, 13)
