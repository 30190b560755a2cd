"""Colors that a file declares without a profile, HDR, depth; and files without their end."""

import io
import itertools
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support.color_profiles import adobe_rgb
from tests.support.pictures import encoded, noise, opened

from celeste_image.core.errors import NotAnImage
from celeste_image.core.image import ImageFacts
from celeste_image.imaging import truncated
from celeste_image.imaging.declared import Declared, declared_in, profile_of
from celeste_image.imaging.decode import notes_of, open_image, open_upright
from celeste_image.imaging.limits import ImageLimits

LIMITS = ImageLimits()
P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
BT709 = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(color: object, *chunks: tuple[bytes, bytes], mode: str = "RGB", **parameters: object) -> bytes:
    data = encoded(Image.new(mode, (8, 8), color), "PNG", **parameters)  # type: ignore[arg-type]
    at = 33  # after IHDR
    return data[:at] + b"".join(chunk(*each) for each in chunks) + data[at:]


def gamma(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


def cicp(*codes: int) -> tuple[bytes, bytes]:
    return b"cICP", bytes(codes)


def seen(data: bytes) -> tuple[int, ...]:
    value = open_upright(data, LIMITS).getpixel((3, 3))
    return value if isinstance(value, tuple) else (int(value or 0),)


def near(data: bytes, *color: int) -> bool:
    return max(abs(a - b) for a, b in zip(seen(data), color, strict=True)) <= 2


GREEN = (60, 180, 75)
AS_P3 = (0, 183, 59)
"""Display P3's GREEN in sRGB, with red out of its range."""


@pytest.mark.parametrize(
    ("what", "data", "color"),
    [
        ("nothing", png(GREEN), GREEN),
        ("gamma of sRGB", png(GREEN, gamma(45455)), GREEN),
        ("gamma 1", png((128,) * 3, gamma(100000)), (188, 188, 188)),
        ("gamma 1 of gray", png(128, gamma(100000), mode="L"), (188,)),
        ("gamma 1 with opacity", png((128, 128, 128, 40), gamma(100000), mode="RGBA"), (188, 188, 188, 40)),
        ("gamma 0", png(GREEN, gamma(0)), GREEN),
        ("gamma beyond sense", png(GREEN, gamma(0xFFFFFFFF)), GREEN),
        ("sRGB before gamma", png((128,) * 3, gamma(100000), (b"sRGB", b"\0")), (128, 128, 128)),
        ("primaries of sRGB", png(GREEN, (b"cHRM", BT709), gamma(45455)), GREEN),
        ("primaries all zero", png(GREEN, (b"cHRM", bytes(32))), GREEN),
        ("primaries on a line", png(GREEN, (b"cHRM", struct.pack(">8I", *[31270, 32900] * 4))), GREEN),
        ("cICP of sRGB", png(GREEN, cicp(1, 13, 0, 1)), GREEN),
        ("cICP before gamma", png((128,) * 3, gamma(100000), cicp(1, 13, 0, 1)), (128, 128, 128)),
        ("cICP linear", png((128,) * 3, cicp(1, 8, 0, 1)), (188, 188, 188)),
        ("cICP reserved", png(GREEN, cicp(3, 3, 0, 1)), GREEN),
        ("cICP unspecified", png((128,) * 3, gamma(100000), cicp(2, 2, 0, 1)), (188, 188, 188)),
        ("cICP with a matrix", png(GREEN, cicp(12, 13, 5, 1)), GREEN),
        ("cICP cut", png(GREEN, (b"cICP", b"\x0c")), GREEN),
        ("cICP of video's range", png((126,) * 3, cicp(1, 13, 0, 0)), (128, 128, 128)),
        ("cICP before a profile", png(GREEN, cicp(1, 13, 0, 1), icc_profile=adobe_rgb()), GREEN),
    ],
)
def test_the_color_that_is_meant(what: str, data: bytes, color: tuple[int, ...]) -> None:
    assert near(data, *color), (what, seen(data))


def test_p3_is_converted_however_it_is_said() -> None:
    by_chunks = seen(png(GREEN, (b"cHRM", P3), gamma(45455)))
    by_code = seen(png(GREEN, cicp(12, 13, 0, 1)))
    assert by_chunks == by_code
    assert by_code[1] > 180 and by_code[0] < 40, "P3's green is more vivid in sRGB"


def test_a_profile_is_before_chromaticities() -> None:
    with_profile = png(GREEN, icc_profile=adobe_rgb())
    assert seen(with_profile) == seen(png(GREEN, (b"cHRM", P3), gamma(100000), icc_profile=adobe_rgb())) != GREEN


@pytest.mark.parametrize(("transfer", "name", "white"), [(16, "PQ", 148), (18, "HLG", 191)])
def test_hdr_is_mapped_and_said(transfer: int, name: str, white: int) -> None:
    levels = [seen(png((level,) * 3, cicp(9, transfer, 0, 1)))[0] for level in (0, 64, white, 255)]
    assert levels == sorted(levels) and levels[0] == 0 and levels[-1] >= 250
    assert 225 <= levels[2] <= 250, "the reference white is bright, and not the brightest"
    data = png((9, 9, 9), cicp(9, transfer, 0, 1))
    assert notes_of(open_image(data, LIMITS), data) == [
        f"has HDR colors ({name}); work on its pixels maps them to sRGB"
    ]


def test_avif_says_its_colors_by_nclx() -> None:
    data = encoded(Image.new("RGB", (16, 16), GREEN), "AVIF", quality=100)
    at = data.index(b"nclx")
    assert declared_in(data, False) in (None, Declared())
    for primaries, transfer in ((12, 13), (9, 16), (1, 8), (0xFFFF, 3), (2, 2)):
        changed = data[: at + 4] + struct.pack(">HH", primaries, transfer) + data[at + 8 :]
        assert (seen(changed) == seen(data)) is (primaries in (2, 0xFFFF)), (primaries, transfer)
    assert not declared_in(data, True), "a profile comes first"


def test_sixteen_bits_are_said() -> None:
    for data in (encoded(Image.new("I;16", (8, 8), 9), "PNG"), png((1, 2, 3), (b"sBIT", b"\x08\x08\x08"))):
        image = open_image(data, LIMITS)
        assert bool(notes_of(image, data)) is (data[24] == 16)


@given(
    st.binary(max_size=9),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(["RGB", "L", "RGBA", "LA", "P", "1"]),
)
def test_no_declaration_ends_the_decoder(one: bytes, two: bytes, three: bytes, mode: str) -> None:
    data = png(1 if mode in "LP1" else (1,) * len(mode), (b"cICP", one), (b"gAMA", two), (b"cHRM", three), mode=mode)
    assert open_upright(data, LIMITS).size == (8, 8)


@given(st.tuples(*[st.tuples(st.floats(0, 1), st.floats(0, 1))] * 4), st.integers(0, 20), st.floats(0.1, 10))
def test_any_chromaticities_give_a_profile_or_none(points: object, transfer: int, exponent: float) -> None:
    made = profile_of(Declared(points, transfer, exponent), False)  # type: ignore[arg-type]
    assert made is None or made[36:40] == b"acsp"


PHOTO = noise(24, 16)


def forms() -> dict[str, bytes]:
    image = opened(PHOTO).resize((96, 64)).convert("RGB")
    exif = Image.Exif()
    exif[0x010E] = "a description"
    return {
        "baseline": encoded(image, "JPEG"),
        "progressive": encoded(image, "JPEG", progressive=True),
        "gray": encoded(image.convert("L"), "JPEG"),
        "CMYK": encoded(image.convert("CMYK"), "JPEG"),
        "restarts": encoded(image, "JPEG", restart_marker_blocks=2),
    } | {"webp": encoded(image, "WEBP", exif=exif), "png": encoded(image, "PNG")}


@pytest.mark.parametrize("form", forms())
def test_an_image_without_its_end_is_read(form: str) -> None:
    data = forms()[form]
    cuts = {"webp": (1, 9, 12), "png": (1, 4, 12)}.get(form, (1, 2))
    whole = open_upright(data, LIMITS).tobytes()
    for cut in cuts:
        short = data[:-cut]
        image = open_image(short, LIMITS)
        assert open_upright(short, LIMITS).tobytes() == whole
        assert notes_of(image, short) == ["the end of its file is missing; every row could be decoded"]
    assert not notes_of(open_image(data, LIMITS), data)


@pytest.mark.parametrize("form", forms())
def test_an_image_without_rows_is_refused(form: str) -> None:
    data = forms()[form]
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(NotAnImage):
            open_image(data[: int(len(data) * share)], LIMITS)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize(
    "parameters", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"quality": 100, "optimize": True}], ids=str
)
def test_a_jpeg_that_is_cut_anywhere_is_whole_or_refused(mode: str, parameters: dict[str, object]) -> None:
    """Cuts before a restart marker and between two scans leave no code unfinished, and rows or detail are missing."""
    for image in (opened(noise(16, 16)), Image.new("RGB", (17, 9), (200, 30, 30))):
        data = encoded(image.convert(mode), "JPEG", **parameters)
        whole, read = open_image(data, LIMITS).tobytes(), []
        for cut in range(1, len(data)):
            try:
                found = open_image(data[:-cut], LIMITS).tobytes()
            except NotAnImage:
                continue
            assert found == whole, cut
            read.append(cut)
        assert read in ([1, 2], [1, 2, 3])


def test_scans_of_colors_that_are_missing_are_no_rows() -> None:
    """A JPEG with a scan for each color, cut after the first."""
    data = encoded(opened(noise(24, 17)), "JPEG", subsampling=0)
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    one = data[: scan + 2] + bytes([0, 8, 1, 1, 0, 0, 63, 0]) + data[scan + 14 :]
    assert data[frame + 9] == 3
    with pytest.raises(NotAnImage):
        open_image(one[:-2], LIMITS)


def test_the_cost_of_a_truncated_jpeg_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A progressive one of 40 million pixels without its last two bytes took the decoder's CPU time."""
    monkeypatch.setattr(truncated, "MAX_PROGRESSIVE_PIXELS", 24 * 17 - 1)
    assert open_image(encoded(opened(noise(24, 17)), "JPEG")[:-2], LIMITS)
    with pytest.raises(NotAnImage):
        open_image(encoded(opened(noise(24, 17)), "JPEG", progressive=True)[:-2], LIMITS)


def test_a_truncated_avif_is_refused() -> None:
    data = encoded(opened(PHOTO), "AVIF")
    with pytest.raises(NotAnImage):
        open_image(data[:-1], LIMITS)


def facts(data: bytes, width: int, height: int) -> ImageFacts:
    return ImageFacts("image/png", width, height, len(data), "0" * 64, "RGB", False)


def test_limits_of_inspected_images_let_them_pass() -> None:
    """The text of a small file may unpack to more than the file, and an operator may allow more than the default."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("comment", "x" * 5_000_000, zip=True)
    out = io.BytesIO()
    Image.new("RGB", (8, 9)).save(out, "PNG", pnginfo=info)
    data = out.getvalue()
    assert len(data) < 8000
    assert open_image(data, ImageLimits.of([facts(data, 8, 9), None])).size == (8, 9)


@given(st.lists(st.tuples(st.integers(1, 16_384), st.integers(1, 16_384), st.integers(1, 1 << 26)), max_size=4))
def test_limits_hold_for_each_of_the_images(images: list[tuple[int, int, int]]) -> None:
    limits = ImageLimits.of(ImageFacts("image/png", w, h, size, "", "RGB", False) for w, h, size in images)
    for width, height, size in images:
        limits.check_bytes(size)
        limits.check_size(width, height)
    assert limits.max_side == max(itertools.chain.from_iterable(image[:2] for image in images), default=0)
