"""The inspector: what it says of whole images, what it doubts, and that no mutated file makes it say more."""

import itertools
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.support.color_profiles import adobe_rgb
from tests.support.hostile_images import (
    animated,
    claims,
    header_last,
    jpeg_exif,
    late_palette,
    mpo,
    packed_text,
    plain_text,
    png_and_zip,
    small_webp,
    with_chunks,
    with_segments,
)
from tests.support.mutations import (
    LIMITS,
    PIXELS,
    READ,
    XMP,
    Judge,
    chunk,
    in_small_chunks,
    load,
    mended,
    mutants,
    photograph,
    pixels_of,
    sources,
)
from tests.support.pictures import bomb, encoded, noise, opened
from tests.support.vendors import InProcess

from celeste_image.core.errors import ProviderFailed
from celeste_image.imaging.inspector import Inspected, inspect
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.parts import parts_of
from celeste_image.imaging.pixels import Pixels

ROOT = Path(__file__).parents[2]
FILES = [*(ROOT / "docs/images").rglob("*.*g"), *(ROOT / "tests/providers/recordings/fixtures").glob("*.png")]
SIZE = (72, 56)
PNG, JPEG, WEBP, AVIF = (sources()[name] for name in ("png", "jpeg", "webp with metadata", "avif"))
DEPTHS = {"png of 1 bit": 1, "png of 16 bits": 16, "png with a palette": 4, "png with a palette and a clear color": 4}


@pytest.mark.parametrize("name", sources())
def test_a_whole_image_leaves_no_doubt(name: str) -> None:
    data = sources()[name]
    kind = f"image/{'png' if 'png' in name else 'jpeg' if 'jpeg' in name else name.removeprefix('lossless ')[:4]}"
    assert inspect(data, LIMITS) == Inspected(kind, *SIZE, frames=1, depth=DEPTHS.get(name, 8), doubt="")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_of_this_repository_leave_no_doubt(path: Path) -> None:
    data = path.read_bytes()
    found = inspect(data, ImageLimits())
    assert ((found.width, found.height), found.doubt) == (opened(data).size, "")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 300), (16_384, 1), (255, 256), (257, 513)])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_sizes(form: str, width: int, height: int) -> None:
    if (width, form) == (16_384, "WEBP"):
        width -= 1  # the format's limit
    found = inspect(encoded(Image.new("RGB", (width, height)), form), ImageLimits())
    assert (found.width, found.height, found.doubt) == (width, height, "")


# Doubts


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def without(data: bytes, *kinds: bytes) -> bytes:
    """Returns a file without its parts of some kinds."""
    parts = list(parts_of(data))
    kept = [data[part.start : part.end] for part in parts if part.kind not in kinds]
    return mended(data[: parts[0].start] + b"".join(kept))


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def many_scans() -> bytes:
    data = sources()["progressive jpeg"]
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 50 + data[-2:]


ORIENTED = XMP.replace(b"<rdf:RDF/>", b'<rdf:RDF tiff:Orientation="6"/>')
JPEG_FRAME, JPEG_SCAN = JPEG.index(b"\xff\xc0"), JPEG.index(b"\xff\xda")
DOUBTS: dict[str, tuple[Callable[[], bytes], str]] = {
    # Of any format
    "no byte": (lambda: b"", "is not PNG, JPEG, WebP or AVIF"),
    "GIF": (lambda: encoded(Image.new("P", (8, 8)), "GIF"), "is not PNG, JPEG, WebP or AVIF"),
    **{
        f"{form} without its last byte": (lambda form=form: encoded(photograph(40, 30), form)[:-1], "cut")
        for form in ("PNG", "JPEG", "WEBP", "AVIF")
    },
    **{
        f"{form} with a byte behind its end": (lambda form=form: encoded(photograph(40, 30), form) + b"\n", "cut")
        for form in ("PNG", "JPEG", "WEBP", "AVIF")
    },
    **{f"animated {form}": (lambda form=form: animated(form), "animated") for form in ("PNG", "WEBP")},
    "animated AVIF": (lambda: animated("AVIF"), "is a sequence"),
    **{
        f"{form} that is turned": (
            lambda form=form: encoded(photograph(40, 30), form, exif=turned(6)),
            "may be turned by its EXIF",
        )
        for form in ("PNG", "JPEG", "WEBP")
    },
    "AVIF that is turned": (lambda: encoded(photograph(40, 30), "AVIF", exif=turned(6)), "turned or cut out"),
    "JPEG that is turned by XMP": (lambda: encoded(photograph(40, 30), "JPEG", xmp=ORIENTED), "turned by its XMP"),
    "WebP that is turned by XMP": (lambda: encoded(photograph(40, 30), "WEBP", xmp=ORIENTED), "turned by its XMP"),
    "PNG that is turned by XMP": (
        lambda: with_chunks(PNG, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + ORIENTED)),
        "turned by its XMP",
    ),
    "PNG of 6,400 x 6,400": (lambda: bomb(6400, 6400), "40,960,000 pixels"),
    # PNG
    "PNG with a flipped bit in its pixels": (lambda: changed(PNG, len(PNG) // 2, b"\xaa"), "wrong checksum"),
    "PNG whose size says more than its pixels can hold": (
        lambda: mended(changed(bomb(800, 800), 16, b"\0\0\x30\0")),
        "rows",
    ),
    "PNG without its palette": (lambda: without(sources()["png with a palette"], b"PLTE"), "lacks its palette"),
    "PNG with its palette behind its pixels": (late_palette, "behind its pixels"),
    "PNG whose header comes last": (header_last, "does not begin with its header"),
    "PNG with pixels in two places": (
        lambda: (
            with_chunks(in_small_chunks(PNG, 2000), chunk(b"tEXt", b"a\0b"), before=b"IEND")[:-12]
            + chunk(b"IDAT", b"")
            + chunk(b"IEND", b"")
        ),
        "not in one place",
    ),
    "PNG without pixels": (lambda: without(PNG, b"IDAT"), "no pixels"),
    "PNG that is a ZIP": (png_and_zip, "behind its end"),
    "PNG with an unknown critical chunk": (lambda: with_chunks(PNG, chunk(b"CgBI", bytes(4))), "unknown kind"),
    "PNG with zTXt that unpacks to 2 MiB": (lambda: packed_text(b"zTXt", 2 << 20), "more text"),
    "PNG with iTXt that unpacks to 2 MiB": (lambda: packed_text(b"iTXt", 2 << 20), "more text"),
    "PNG with 3 MiB of text": (lambda: plain_text(3 << 20), "large text"),
    "PNG with a profile that may be large": (
        lambda: with_chunks(PNG, chunk(b"iCCP", b"a\0\0" + bytes(5000))),
        "profile",
    ),
    "PNG with EXIF in a text": (lambda: with_chunks(PNG, chunk(b"zTXt", b"Raw profile type exif\0\0")), "by a text"),
    "PNG of a depth that does not exist": (lambda: mended(changed(PNG, 24, b"\x03")), "no PNG has"),
    "PNG of many small chunks": (lambda: with_chunks(PNG, chunk(b"prIv", b"") * 1000), "many small parts"),
    "PNG whose pixels are not packed": (
        lambda: without(PNG, b"IDAT", b"IEND") + chunk(b"IDAT", bytes(9000)) + chunk(b"IEND", b""),
        "not packed",
    ),
    # JPEG
    "MPO, as phones save it": (mpo, "several images"),
    "JPEG with EXIF in several segments": (lambda: jpeg_exif(200_000), "several segments"),
    "progressive JPEG of 60 scans": (many_scans, "too many scans"),
    "JPEG that claims no height": (lambda: changed(JPEG, JPEG_FRAME + 5, b"\0\0"), "rare kind"),
    "JPEG with arithmetic codes": (lambda: changed(JPEG, JPEG_FRAME + 1, b"\xc9"), "no frame"),
    "JPEG without its codes": (lambda: without(JPEG, b"\xc4"), "before its tables"),
    "JPEG without its quantization": (lambda: without(JPEG, b"\xdb"), "before its tables"),
    "JPEG whose codes are too many": (lambda: changed(JPEG, JPEG.index(b"\xff\xc4") + 5, b"\x03"), "wrong codes"),
    "JPEG whose scan is of another color": (lambda: changed(JPEG, JPEG.index(b"\xff\xda") + 5, b"\x09"), "no color"),
    "JPEG that lacks two colors": (
        lambda: JPEG[:JPEG_SCAN] + bytes.fromhex("ffda 0008 01 0100 003f00") + JPEG[JPEG_SCAN + 14 :],
        "lacks the scan of a color",
    ),
    "JPEG with bytes between its segments": (
        lambda: JPEG.replace(b"\xff\xdb", b"\0\xff\xdb", 1),
        "between its segments",
    ),
    "JPEG with a marker in its pixels": (
        lambda: changed(JPEG, JPEG.index(b"\xff\xda") + 40, b"\xff\xc8\0\4\0\0"),
        "rare kind",
    ),
    "JPEG of two frames": (lambda: with_segments(JPEG, (0xC0, JPEG[JPEG_FRAME + 4 : JPEG_FRAME + 19])), "two frames"),
    "JPEG of 0xFF and 0x00": (lambda: JPEG[:-2] + b"\xff\x00" * 50_000 + JPEG[-2:], "may begin a marker"),
    "JPEG with a short JFIF header": (lambda: with_segments(JPEG, (0xE0, b"JFIF")), "short JFIF"),
    "JPEG with Photoshop's metadata": (lambda: with_segments(JPEG, (0xED, b"Photoshop 3.0\0")), "Photoshop"),
    # WebP
    "WebP of 36 bytes that claims 16,000 x 16,000": (lambda: small_webp(16_000), "256,000,000 pixels"),
    "WebP whose frame has another size": (lambda: changed(WEBP, 24, b"\x10"), "another size"),
    "WebP with unknown flags": (lambda: changed(WEBP, 20, bytes([WEBP[20] | 0x80])), "header of a rare kind"),
    "WebP without its frame": (lambda: without(WEBP, b"VP8 "), "no frame"),
    "WebP with an unknown chunk": (lambda: mended(WEBP + b"ABCD" + bytes(4)), "unknown kind"),
    "WebP with chunks behind its frame": (lambda: mended(sources()["webp"] + b"EXIF" + bytes(4)), "behind its frame"),
    "WebP with its opacity behind its frame": (
        lambda: mended(sources()["webp with alpha"] + b"ALPH\x02\0\0\0\x01\0"),
        "twice",
    ),
    # AVIF
    "AVIF that claims another size": (
        lambda: changed(AVIF, AVIF.index(b"ispe") + 8, struct.pack(">I", 99)),
        "differs from that of its pixels",
    ),
    "AVIF whose pixels are not there": (lambda: without(AVIF, b"mdat") + box(b"mdat", bytes(9)), "is cut: a piece"),
    "AVIF with pixels of no item": (
        lambda: AVIF[: AVIF.index(b"mdat") - 4] + box(b"mdat", pixels_of(AVIF) + b"\0"),
        "not where it should be",
    ),
    "AVIF whose depth is not that of its pixels": (
        lambda: changed(AVIF, AVIF.index(b"pixi") + 9, b"\x0a\x0a\x0a"),
        "property of a rare kind",
    ),
    "AVIF with a rotation": (lambda: AVIF.replace(b"pixi", b"irot"), "turned or cut out"),
    "AVIF with an unknown box": (lambda: AVIF + box(b"moov", bytes(9)), "unknown boxes"),
    "AVIF without boxes": (lambda: AVIF[:12], "header"),
}


@pytest.mark.parametrize(("make", "words"), DOUBTS.values(), ids=DOUBTS)
def test_a_doubt_says_why(make: Callable[[], bytes], words: str) -> None:
    found = inspect(make(), ImageLimits())
    assert found.doubt
    assert words in found.doubt


def test_a_claim_is_told_beside_a_doubt() -> None:
    huge = claims(encoded(photograph(40, 30), "JPEG", progressive=True), 13_200, 13_200)
    for data, size in ((bomb(6400, 6400), (6400, 6400)), (small_webp(6000), (6000, 6000)), (huge, (13_200, 13_200))):
        found = inspect(data, ImageLimits())
        assert (found.width, found.height) == size
    assert inspect(animated("PNG"), ImageLimits()).frames == inspect(animated("WEBP"), ImageLimits()).frames == 3
    for name, data in sources().items():
        found = inspect(data[:-8], LIMITS)
        assert ((found.width, found.height), bool(found.doubt)) == (SIZE, True), name


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (ImageLimits(max_bytes=3000), "bytes"),
        (ImageLimits(max_side=71), "71"),
        (ImageLimits(max_pixels=4000), "4,000"),
        (ImageLimits(max_text_bytes=20), "EXIF"),
        (ImageLimits(max_profile_bytes=200), "profile"),
    ],
)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_what_is_beyond_the_operators_limits_is_doubted(form: str, limits: ImageLimits, words: str) -> None:
    data = encoded(opened(noise(*SIZE)), form, exif=turned(1), icc_profile=adobe_rgb(), quality=100)
    assert not inspect(data, ImageLimits()).doubt
    assert words in inspect(data, limits).doubt


# Mutations


@pytest.mark.filterwarnings("ignore::UserWarning")  # of odd EXIF; a worker process ignores them, too
@pytest.mark.parametrize("seed", range(3))
async def test_no_mutated_file_makes_it_say_more_than_it_knows(seed: int) -> None:
    """The short form of `bench/inspector.py`: no error, and Pillow reads what it passes, but for the judge's rules."""
    judge, verdicts = Judge(sources()), Counter[str]()
    pixels = Pixels("vendor", limits=LIMITS, pool=InProcess())
    for mutant in itertools.islice(mutants(seed, sources()), 700):
        found, loaded = inspect(mutant.data, LIMITS), load(mutant.data)
        is_right, why = judge.verdict(mutant.data, found, loaded)
        assert is_right, (mutant.source, mutant.mutation, why)
        if loaded.outcome == READ and found.doubt and found.frames == 1:
            facts = await pixels.facts(mutant.data)
            assert facts[1:] == loaded.size, "what Pillow reads is never lost"
        verdicts[why] += 1
    assert len(verdicts) >= 3, verdicts


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "name",
    ["jpeg with metadata", "progressive jpeg", "webp with metadata", "webp with alpha", "avif", "avif with alpha"],
)
def test_every_bit_of_a_header_counts(name: str) -> None:
    data, judge = sources()[name], Judge(sources())
    headers = [place for part in parts_of(data) if part.kind not in PIXELS for place in range(part.start, part.end)]
    for place, bit in itertools.product([*range(12), *headers], range(8)):
        flipped = changed(data, place, bytes([data[place] ^ 1 << bit]))
        found = inspect(flipped, LIMITS)
        if not found.doubt:
            assert judge.verdict(flipped, found, load(flipped))[0], (place, bit)


async def test_what_is_passed_without_being_read() -> None:
    """The rule of decision 0021: encoded pixels are not read. A decoder would refuse these."""
    parts = list(parts_of(PNG))
    first = next(part for part in parts if part.kind == b"IDAT")
    damaged = mended(changed(PNG, first.body + 300, b"\0" * 50))
    assert pixels_of(damaged) != pixels_of(PNG)
    assert load(damaged).outcome != READ
    assert not inspect(damaged, LIMITS).doubt
    with pytest.raises(ProviderFailed):
        await Pixels("vendor", decode_outputs=True, pool=InProcess()).facts(damaged)
