"""The guard with a real worker, over good, bad and malicious images."""

import hashlib
import io
import random
import struct
import zlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image, ImageSequence, PngImagePlugin
from tests.support.pictures import bomb, encoded

from celeste_image.core.errors import ImageTooLarge, NotAnImage
from celeste_image.core.image import ImageFacts
from celeste_image.imaging.guard import Guard, ImageLimits
from celeste_image.sandbox.pool import WorkerPool

MIB = 1 << 20
SUFFIXES = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp", "AVIF": "avif"}
WIDTH, HEIGHT = 40, 24


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    """One worker for all tests: it must survive every image, and a start costs as much as fifty images."""
    lines: list[str] = []
    pool = WorkerPool(
        "celeste_image.imaging.guard_engine", memory_bytes=1024 * MIB, cpu_seconds=10, on_log=lines.append
    )
    yield pool
    await pool.close()
    assert not [line for line in lines if "Traceback" in line], "an image raised an unexpected exception in a worker"


@pytest.fixture
def guard(pool: WorkerPool) -> Guard:
    return Guard(pool, ImageLimits())


def picture(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    return image.convert(mode)


def exif(orientation: int, size_bytes: int = 0) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    if size_bytes:
        tags[0x010E] = "x" * size_bytes  # ImageDescription
    return tags


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(png: bytes, new: bytes, before: bytes) -> bytes:
    at = png.index(before) - 4
    return png[:at] + new + png[at:]


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def animated(form: str) -> bytes:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), color) for color in ("red", "green", "blue")]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=100)


# Good images


@pytest.mark.parametrize("form", SUFFIXES)
async def test_the_facts_of_a_good_image(guard: Guard, form: str) -> None:
    data = encoded(picture(), form)
    assert await guard.inspect(data) == ImageFacts(
        media_type=f"image/{SUFFIXES[form]}",
        width=WIDTH,
        height=HEIGHT,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        mode="RGB",
        has_alpha=False,
    )


@pytest.mark.parametrize("form", SUFFIXES)
@pytest.mark.parametrize("orientation", range(1, 9))
async def test_the_size_is_the_one_a_person_sees(guard: Guard, form: str, orientation: int) -> None:
    facts = await guard.inspect(encoded(picture(), form, exif=exif(orientation)))
    assert (facts.width, facts.height) == ((WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))
    assert facts.orientation == orientation


@pytest.mark.parametrize(
    ("form", "mode", "has_alpha"),
    [
        ("PNG", "RGBA", True),
        ("PNG", "LA", True),
        ("PNG", "L", False),
        ("PNG", "1", False),
        ("PNG", "P", False),
        ("PNG", "I;16", False),
        ("JPEG", "L", False),
        ("JPEG", "CMYK", False),
        ("WEBP", "RGBA", True),
        ("AVIF", "RGBA", True),
    ],
)
async def test_how_pixels_are_stored(guard: Guard, form: str, mode: str, has_alpha: bool) -> None:
    image = picture("I").convert(mode) if mode == "I;16" else picture(mode)
    if has_alpha:
        image.putalpha(128)
    facts = await guard.inspect(encoded(image, form))
    assert (facts.mode, facts.has_alpha) == (mode, has_alpha)


async def test_a_palette_with_one_clear_color_has_alpha(guard: Guard) -> None:
    facts = await guard.inspect(encoded(picture("P"), "PNG", transparency=0))
    assert (facts.mode, facts.has_alpha) == ("P", True)


async def test_a_progressive_jpeg_and_one_pixel_are_good(guard: Guard) -> None:
    assert (await guard.inspect(encoded(picture(), "JPEG", progressive=True))).width == WIDTH
    facts = await guard.inspect(encoded(picture(size=(1, 1)), "PNG"))
    assert (facts.width, facts.height) == (1, 1)


@pytest.mark.parametrize("junk", [b"", b"junk", b"MM\x00\x2a\xff\xff\xff\xff", b"II\x2a\x00\x08\x00\x00\x00\xff\xff"])
async def test_unreadable_exif_counts_as_absent(guard: Guard, junk: bytes) -> None:
    jpeg = with_segment(encoded(picture(), "JPEG"), 0xE1, b"Exif\x00\x00" + junk)
    png = with_chunk(encoded(picture(), "PNG"), chunk(b"eXIf", junk), before=b"IDAT")
    for data in (jpeg, png):
        facts = await guard.inspect(data)
        assert (facts.width, facts.height) == (WIDTH, HEIGHT)


# Bad images


def bad_pictures() -> dict[str, bytes]:
    png, jpeg = encoded(picture(), "PNG"), encoded(picture(), "JPEG")
    found = {
        "empty": b"",
        "one byte": b"\x89",
        "random": random.Random(1).randbytes(5000),
        "text": b"a picture of a cat",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "gif": encoded(picture("P"), "GIF"),
        "bmp": encoded(picture(), "BMP"),
        "tiff": encoded(picture(), "TIFF"),
        "pdf": b"%PDF-1.7\n",
        "png signature alone": png[:8],
        "jpeg start alone": jpeg[:3],
        "webp in name alone": b"RIFF\x00\x00\x00\x00WEBP",
        "avif in name alone": b"\x00\x00\x00\x1cftypavif" + bytes(16),
        "a gif that says it is a png": png[:8] + encoded(picture("P"), "GIF"),
        "png without its pixels": png[: png.index(b"IDAT") - 4] + chunk(b"IEND", b""),
        "png of no width": png[:8] + chunk(b"IHDR", bytes(13)) + chunk(b"IEND", b""),
        "png with a wrong checksum": png.replace(b"IHDR", b"IHDr"),
    }
    for form in SUFFIXES:
        data = encoded(picture(size=(300, 200)), form)
        for percent in (20, 50, 95):
            found[f"{form} cut at {percent} %"] = data[: len(data) * percent // 100]
        if form in ("AVIF", "WEBP"):
            found[f"{form} with pixels of ones"] = data[:-200] + b"\xff" * 200
    return found


BAD = bad_pictures()


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
async def test_bytes_that_are_no_sound_image_are_refused(guard: Guard, data: bytes) -> None:
    with pytest.raises(NotAnImage):
        await guard.inspect(data)


@pytest.mark.parametrize("form", SUFFIXES)
async def test_images_damaged_at_random_are_read_or_refused(guard: Guard, form: str) -> None:
    data, draw = encoded(picture(), form, exif=exif(6)), random.Random(form)
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 5)):
            damaged[draw.randrange(len(damaged))] = draw.choice([0, 255, draw.randrange(256)])
        try:
            facts = await guard.inspect(bytes(damaged))
        except (NotAnImage, ImageTooLarge):
            continue
        assert facts.sha256 == hashlib.sha256(damaged).hexdigest()


# Images beyond a limit


async def refusal(guard: Guard, data: bytes) -> ImageTooLarge:
    with pytest.raises(ImageTooLarge) as caught:
        await guard.inspect(data)
    error = caught.value
    assert int(error.metadata["value"]) > int(error.metadata["limit"])
    return error


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF"])
async def test_animations_are_refused(guard: Guard, form: str) -> None:
    data = animated(form)
    assert sum(1 for _ in ImageSequence.Iterator(Image.open(io.BytesIO(data)))) == 3
    error = await refusal(guard, data)
    assert (error.metadata["unit"], error.metadata["value"]) == ("frames", "3")


@pytest.mark.parametrize("side", [6400, 8000, 12_000])
async def test_a_bomb_is_refused_by_what_it_claims(guard: Guard, side: int) -> None:
    """Of 40 Mpx allowed: slightly above, above Pillow's warning, above Pillow's error."""
    data = bomb(side, side)
    assert len(data) < MIB
    error = await refusal(guard, data)
    assert error.metadata == {"unit": "pixels", "limit": "40000000", "value": str(side * side)}


async def test_a_bomb_that_lies_about_its_size_is_refused(guard: Guard) -> None:
    """16,384 pixels square in 36 bytes: a decoder that believes it takes a gigabyte."""
    header = b"\x2f" + struct.pack("<I", 16383 | 16383 << 14)
    webp = b"RIFF" + struct.pack("<I", 28) + b"WEBPVP8L" + struct.pack("<I", 16) + header + bytes(11)
    assert len(webp) == 36
    with pytest.raises((ImageTooLarge, NotAnImage)):
        await guard.inspect(webp)


async def test_a_side_beyond_its_limit_is_refused(guard: Guard) -> None:
    error = await refusal(guard, bomb(20_000, 8))
    assert error.metadata == {"unit": "pixels a side", "limit": "16384", "value": "20000"}


async def test_bytes_beyond_the_limit_never_reach_a_worker() -> None:
    small = Guard(WorkerPool("celeste_image.there.is.no.such.engine"), ImageLimits(max_bytes=1000))
    error = await refusal(small, bytes(1001))
    assert error.metadata == {"unit": "bytes", "limit": "1000", "value": "1001"}


def texts() -> dict[str, bytes]:
    png, jpeg = encoded(picture(), "PNG"), encoded(picture(), "JPEG")
    plain, packed = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
    plain.add_text("Comment", "x" * 2_000_000)
    packed.add_text("Comment", "x" * 5_000_000, zip=True)
    international, many = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
    international.add_itxt("Comment", "x" * 5_000_000, zip=True)
    for i in range(100):
        many.add_text(f"Comment {i}", "x" * 20_000)
    large = exif(1, 60_000).tobytes()
    many_large = jpeg
    for _ in range(20):
        many_large = with_segment(many_large, 0xE1, large)
    icc = b"".join(
        struct.pack(">BBH", 0xFF, 0xE2, 2 + 14 + 60_000) + b"ICC_PROFILE\x00" + bytes([i, 80]) + b"x" * 60_000
        for i in range(1, 81)
    )
    return {
        "png text": encoded(picture(), "PNG", pnginfo=plain),
        "png packed text": encoded(picture(), "PNG", pnginfo=packed),
        "png international text": encoded(picture(), "PNG", pnginfo=international),
        "png texts": encoded(picture(), "PNG", pnginfo=many),
        "png text after the pixels": with_chunk(png, chunk(b"tEXt", b"a\x00" + b"x" * 2_000_000), before=b"IEND"),
        "png exif": encoded(picture(), "PNG", exif=exif(1, 2_000_000)),
        "png exif after the pixels": with_chunk(png, chunk(b"eXIf", exif(1, 2_000_000).tobytes()[6:]), before=b"IEND"),
        "png icc": encoded(picture(), "PNG", icc_profile=bytes(5_000_000)),
        "jpeg exif in twenty segments": many_large,
        "jpeg icc": jpeg[:2] + icc + jpeg[2:],
        "webp exif": encoded(picture(), "WEBP", exif=exif(1, 2_000_000)),
        "webp xmp": encoded(picture(), "WEBP", xmp=b"x" * 2_000_000),
        "avif exif": encoded(picture(), "AVIF", exif=exif(1, 2_000_000)),
        "avif icc": encoded(picture(), "AVIF", icc_profile=random.Random(1).randbytes(5_000_000)),
    }


TEXTS = texts()


@pytest.mark.parametrize("data", TEXTS.values(), ids=TEXTS.keys())
async def test_more_text_than_allowed_is_refused(guard: Guard, data: bytes) -> None:
    error = await refusal(guard, data)
    assert error.metadata["limit"] == str(4 * MIB if error.metadata["unit"].endswith("icc_profile") else MIB)


async def test_a_worker_is_kept_whatever_it_had_to_decode(guard: Guard, pool: WorkerPool) -> None:
    good = encoded(picture(), "PNG")
    await guard.inspect(good)
    (pid,) = pool.pids
    for data in (b"", BAD["gif"], bomb(12_000, 12_000), TEXTS["png text"]):
        with pytest.raises((NotAnImage, ImageTooLarge)):
            await guard.inspect(data)
    await guard.inspect(good)
    assert pool.pids == [pid]
