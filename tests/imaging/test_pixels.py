"""Pixels: masks in every form, canvases, pixel locks, previews, blurs; vendors' bytes are decoded in workers."""

import io
import itertools
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngInfo
from tests.support import pictures
from tests.support.mutations import mended
from tests.support.vendors import InProcess

from celeste_image.app import open_tools
from celeste_image.config import ImageSettings, Settings
from celeste_image.core.edits import Mask, Polarity
from celeste_image.core.errors import ProviderFailed
from celeste_image.core.image import ImageFacts, ImageInput
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.pixels import Pixels
from celeste_image.imaging.pixels_engine import run
from celeste_image.off_loop import INLINE_BYTES
from celeste_image.sandbox.frames import Frame


def loaded(data: bytes, kind: str = "image/png") -> ImageInput:
    image = pictures.opened(data)
    return ImageInput(data=data, facts=ImageFacts(kind, *image.size, len(data), "0" * 64, image.mode, False))


def done(*given: Image.Image, **task: Any) -> list[Image.Image]:
    """Runs the engine in this process, on the test's own images, and returns its results."""
    made = []

    def emit(kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        made.append(pictures.opened(payload))

    run({**task, "limits": [ImageLimits().as_task()] * len(given)}, [pictures.encoded(image) for image in given], emit)
    return made


def converted(mask: Image.Image, polarity: Polarity, form: str, feather: int = 0) -> Image.Image:
    (made,) = done(mask, do="mask", polarity=polarity.value, form=form, feather=feather)
    return made


@st.composite
def masks(draw: st.DrawFn) -> Image.Image:
    width, height = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    values = draw(st.lists(st.sampled_from([0, 255]), min_size=width * height, max_size=width * height))
    return Image.frombytes("L", (width, height), bytes(values))


def see_through(mask: Image.Image) -> Image.Image:
    """Returns the same mask in the transparent polarity."""
    black = Image.new("L", mask.size)
    return Image.merge("RGBA", (black, black, black, ImageChops.invert(mask)))


@settings(max_examples=60, deadline=None)
@given(masks())
def test_every_polarity_becomes_every_form(white: Image.Image) -> None:
    forms = {
        "white": white,
        "strict": white,
        "black": ImageChops.invert(white),
        "alpha": see_through(white),
    }
    asked = {
        Polarity.WHITE: white,
        Polarity.BLACK: ImageChops.invert(white),
        Polarity.TRANSPARENT: see_through(white),
    }
    for polarity, mask in asked.items():
        for form, expected in forms.items():
            made = converted(mask, polarity, form)
            assert (made.mode, made.tobytes()) == (expected.mode, expected.tobytes()), (polarity, form)


@settings(max_examples=60, deadline=None)
@given(masks(), st.integers(1, 30))
def test_a_feather_stays_inside_of_the_mask_and_softer_is_less(white: Image.Image, feather: int) -> None:
    hard = converted(white, Polarity.WHITE, "white")
    soft = converted(white, Polarity.WHITE, "white", feather)
    assert all(s <= h for s, h in zip(soft.tobytes(), hard.tobytes(), strict=True))
    whole = Image.new("L", white.size, 255)
    assert converted(whole, Polarity.WHITE, "white", feather).tobytes() == whole.tobytes(), "a border is not an edge"


def test_a_feather_rises_evenly() -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    row = [converted(mask, Polarity.WHITE, "white", 4).getpixel((x, 32)) for x in range(14, 23)]
    assert row == [0, 0, 51, 102, 153, 204, 255, 255, 255]


def test_a_gray_mask_is_cleaned_or_made_strict() -> None:
    gray = Image.frombytes("L", (4, 1), bytes([10, 100, 140, 250]))
    assert list(converted(gray, Polarity.WHITE, "white").tobytes()) == [0, 96, 141, 255]
    assert list(converted(gray, Polarity.WHITE, "strict").tobytes()) == [0, 0, 255, 255]


def test_a_canvas_is_clear_where_its_mask_says_new() -> None:
    source = pictures.opened(pictures.photo(16))
    canvas, mask = done(source, do="pad", left=3, right=0, top=5, bottom=2, form="white")
    assert canvas.size == mask.size == (19, 23)
    assert ImageChops.invert(canvas.getchannel("A")).tobytes() == mask.tobytes()
    assert canvas.crop((3, 5, 19, 21)).convert("RGB").tobytes() == source.tobytes()


async def test_a_lock_puts_the_rest_back_bit_for_bit() -> None:
    source, mask = pictures.photo(64), pictures.mask(64, 64, (16, 16, 48, 48))
    work = Pixels("somebody")
    try:
        for kind in ("image/png", "image/webp"):
            locked, apart = await work.locked(loaded(source), Mask(loaded(mask)), pictures.plain(32, 32), kind)
            assert apart == await work.compared(loaded(source), Mask(loaded(mask)), pictures.plain(32, 32))
            made, hole = pictures.opened(locked), pictures.opened(mask)
            assert await work.facts(locked) == (kind, 64, 64)
            assert made.getpixel((32, 32)) == Image.new("RGB", (1, 1), "teal").getpixel((0, 0))
            black = Image.new("RGB", (64, 64))
            rest = [Image.composite(black, image.convert("RGB"), hole) for image in (made, pictures.opened(source))]
            assert rest[0].tobytes() == rest[1].tobytes()
    finally:
        await work.close()


def apart(source: Image.Image, mask: Image.Image, made: Image.Image) -> tuple[float | None, float | None, float]:
    """Returns outside, inside and peak, measured in this process on the test's own images."""
    told: dict[str, Any] = {}

    def emit(kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        told.update(fields or {})
        assert not payload

    task = {"do": "lock", "media_type": "", "polarity": "white", "feather": 0, "limits": [ImageLimits().as_task()] * 3}
    run(task, [pictures.encoded(image) for image in (source, mask, made)], emit)
    return told["outside"], told["inside"], told["peak"]


@settings(max_examples=60, deadline=None)
@given(masks(), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_differences_are_means_of_levels(white: Image.Image, source: int, kept: int, painted: int) -> None:
    before = Image.new("RGB", white.size, (source, source, source))
    after = Image.composite(Image.new("L", white.size, painted), Image.new("L", white.size, kept), white).convert("RGB")
    outside, inside, peak = apart(before, white, after)
    seen = white.getextrema()
    assert outside == (abs(source - kept) if seen[0] == 0 else None)
    assert inside == (abs(source - painted) if seen[1] == 255 else None)
    assert 0 <= peak <= (inside or 0)


def test_transparency_is_compared_as_seen_on_white() -> None:
    size, clear = (8, 8), Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    hole = Image.new("L", size, 255)
    assert apart(clear, hole, Image.new("RGBA", size, (255, 0, 0, 0))) == (None, 0, 0)
    assert apart(clear, hole, Image.new("RGB", size, "black")) == (None, 255, 255)


async def test_a_failure_names_the_provider_of_the_image() -> None:
    work = Pixels("pipeline")
    try:
        for name in ("one", "other"):
            with pytest.raises(ProviderFailed, match=f"{name}: its image can't be used"):
                await work.of(name).facts(b"<html>")
    finally:
        await work.close()


async def test_a_vendors_image_is_measured_and_its_faults_are_the_vendors() -> None:
    work = Pixels("somebody", limits=ImageLimits(max_pixels=100_000))
    try:
        assert await work.facts(pictures.plain(30, 20, "WEBP")) == ("image/webp", 30, 20)
        for bad in (b"", b"<html>", pictures.plain(64, 64)[:-30], pictures.bomb(5000, 5000)):
            with pytest.raises(ProviderFailed, match="somebody: its image can't be used") as caught:
                await work.facts(bad)
            assert not caught.value.retryable
    finally:
        await work.close()


class Counting(InProcess):
    """Counts the tasks."""

    tasks = 0

    def run(self, task: dict[str, Any], images: Sequence[bytes] = ()) -> AsyncGenerator[Frame, None]:
        self.tasks += 1
        return super().run(task, images)


def sideways(data: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return pictures.encoded(pictures.opened(data), "JPEG", exif=exif)


async def test_a_vendors_image_whose_structure_is_sound_costs_no_process() -> None:
    pool = Counting()
    work = Pixels("somebody", pool=pool)
    for form in ("PNG", "JPEG", "WEBP", "AVIF"):
        assert await work.facts(pictures.plain(30, 20, form)) == (f"image/{form.lower()}", 30, 20)
    assert pool.tasks == 0
    large = pictures.noise(1000, 900)
    assert len(large) > INLINE_BYTES
    assert await work.facts(large) == ("image/png", 1000, 900)
    assert pool.tasks == 0


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (pictures.plain(30, 20) + b"behind its end", ("image/png", 30, 20)),
        (pictures.plain(30, 20)[:-12], ("image/png", 30, 20)),
        (pictures.plain(30, 20, "JPEG")[:-2], ("image/jpeg", 30, 20)),
        (sideways(pictures.plain(30, 20)), ("image/jpeg", 20, 30)),
        (pictures.plain(30, 20, "WEBP")[:-1] + b"\x00\x00", ("image/webp", 30, 20)),
    ],
    ids=["bytes behind its end", "PNG without its end", "JPEG without its end", "turned", "WebP with bytes behind"],
)
async def test_a_doubted_image_is_decoded_and_the_decoders_word_is_final(
    data: bytes, facts: tuple[str, int, int]
) -> None:
    pool = Counting()
    assert await Pixels("somebody", pool=pool).facts(data) == facts
    assert pool.tasks == 1


async def test_an_operator_may_have_every_image_decoded() -> None:
    sound = pictures.noise(40, 30)
    at = sound.index(b"IDAT") + 200
    damaged = mended(sound[:at] + bytes(40) + sound[at + 40 :])
    for decodes in (False, True):
        tools = open_tools(Settings(images=ImageSettings(decode_outputs=decodes)))
        try:
            assert await tools.pixels.of("somebody").facts(sound) == ("image/png", 40, 30)
            if decodes:
                with pytest.raises(ProviderFailed, match="somebody: its image can't be used"):
                    await tools.pixels.of("somebody").facts(damaged)
            else:
                assert await tools.pixels.facts(damaged) == ("image/png", 40, 30)
        finally:
            await tools.pixels.close()


@pytest.mark.parametrize(
    "narrow", [{}, {"max_bytes": 1024}, {"max_pixels": 4096}, {"max_side": 64}, {"max_text_bytes": 100}], ids=str
)
async def test_the_operators_limits_hold_for_images_of_vendors(narrow: dict[str, int]) -> None:
    texts = PngInfo()
    texts.add_text("a", "b" * 200)
    image = pictures.encoded(Image.effect_noise((80, 60), 50), pnginfo=texts)
    tools = open_tools(Settings(images=ImageSettings(**narrow)))
    work = tools.pixels.of("somebody")
    try:
        if not narrow:
            assert await work.facts(image) == ("image/png", 80, 60)
            return
        for call in (work.facts(image), work.preview(image)):
            with pytest.raises(ProviderFailed, match=r"used: has .* are allowed"):
                await call
    finally:
        await work.close()


async def test_a_preview_is_small() -> None:
    work = Pixels("somebody")
    try:
        large = pictures.noise(600, 400)
        data, kind, width, height = await work.preview(large)
        assert len(data) <= 256 << 10 < len(large)
        assert (kind, width, height) == ("image/jpeg", 512, 341)
        small = pictures.plain(40, 30)
        assert await work.preview(small) == (small, "image/png", 40, 30)
    finally:
        await work.close()


async def test_a_png_is_upright_and_has_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    out = io.BytesIO()
    Image.new("RGB", (40, 20)).save(out, "JPEG", exif=exif)
    work = Pixels("somebody")
    try:
        data = await work.png(loaded(out.getvalue(), "image/jpeg"))
    finally:
        await work.close()
    assert pictures.opened(data).size == (20, 40)
    assert b"camera" not in data


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (640, 480)])
def test_a_blur_leaves_the_size_and_no_edge(size: tuple[int, int]) -> None:
    half = Image.new("RGB", size, "white")
    half.paste("black", (0, 0, size[0] // 2, size[1]))
    (blurred,) = done(half, do="blur", media_type="image/png")
    assert (blurred.size, blurred.mode) == (size, "RGB")
    row = [blurred.convert("L").getpixel((x, size[1] // 2)) for x in range(size[0])]
    assert max((abs(a - b) for a, b in itertools.pairwise(row)), default=0) <= (255 if size[0] < 32 else 8)


def test_a_blur_hides_the_colors_of_transparent_pixels() -> None:
    picture = Image.new("RGBA", (64, 64), (0, 0, 255, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 32, 64))
    (blurred,) = done(picture, do="blur", media_type="image/png")
    assert blurred.mode == "RGBA"
    red, _, blue, alpha = blurred.getpixel((32, 32))
    assert red > 200
    assert blue < 30
    assert 60 < alpha < 200
    (flat,) = done(picture, do="blur", media_type="image/jpeg")
    assert flat.format == "JPEG"
