"""Metadata of image files: removed and written in each format, with every pixel unchanged."""

import contextlib
import random
import struct
import zlib

import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from tests.support.pictures import PHOTO, encoded, opened

from celeste_image.core.recipe import RecipeTexts, description, packet, parameters
from celeste_image.engines.metadata.xmp import read_xmp
from celeste_image.imaging.metadata import CannotWriteMetadata, strip_metadata, write_recipe
from celeste_image.imaging.parts import parts_of

RECIPE = {
    "software": "Celeste <1>",
    "model": "a/b",
    "operation": "generate",
    "request_id": "id",
    "size": "64x48",
    "prompt": 'a "fox" & <snow>\n雪 \x01\uffff 🦊',
    "seed": (1 << 64) - 1,
}
DESCRIPTION = description(RECIPE, "trainedAlgorithmicMedia")
TEXTS = RecipeTexts(packet(DESCRIPTION), DESCRIPTION, parameters(RECIPE))
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FORMS = ["PNG", "JPEG", "WEBP", "WEBP lossless", "WEBP alpha"]
THEIRS = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="theirs"/></rdf:RDF></x:xmpmeta>'
)


def photo(form: str) -> Image.Image:
    with Image.open(PHOTO) as image:
        small = image.convert("RGB").resize((65, 47))
    if form == "WEBP alpha":
        small.putalpha(Image.linear_gradient("L").resize(small.size))
    return small


def written(form: str, **more: object) -> bytes:
    if form == "PNG" and (text := more.pop("xmp", None)):
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", text.decode(), zip=True)  # type: ignore[attr-defined]
        more["pnginfo"] = info
    return encoded(photo(form), form.partition(" ")[0], lossless="lossless" in form, **more)


def rich(form: str, orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "secret"
    return written(form, exif=exif, xmp=THEIRS.replace("theirs", "secret").encode(), icc_profile=PROFILE, dpi=(72, 72))


def pixels(data: bytes) -> tuple[str, bytes]:
    image = opened(data)
    return image.mode, image.tobytes()


def xmp_of(data: bytes) -> dict[str, object]:
    return read_xmp(opened(data).info["xmp"])


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("form", FORMS)
def test_a_recipe_is_written_and_no_pixel_changes(form: str) -> None:
    data = written(form)
    made = write_recipe(data, TEXTS)
    assert pixels(made) == pixels(data)
    found = xmp_of(made)
    assert found["xmp:CreatorTool"] == "Celeste <1>"
    assert str(found["Iptc4xmpExt:DigitalSourceType"]).endswith("/trainedAlgorithmicMedia")
    image = opened(made)
    if form == "PNG":
        assert image.info["parameters"] == TEXTS.parameters
    else:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
        assert comment.removeprefix(b"UNICODE\x00").decode("utf-16-be") == TEXTS.parameters
    again = write_recipe(made, TEXTS)  # a file may have several: the last counts
    assert pixels(again) == pixels(data)


@pytest.mark.parametrize("form", FORMS)
def test_other_metadata_stays(form: str) -> None:
    data = rich(form)
    made = write_recipe(data, TEXTS)
    assert pixels(made) == pixels(data)
    assert xmp_of(made)["dc:source"] == "secret" and "celeste:Recipe" in xmp_of(made)
    image = opened(made)
    assert image.getexif()[0x010E] == "secret"
    assert image.info["icc_profile"] == PROFILE


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", [1, 6])
def test_stripping_leaves_what_viewers_need(form: str, orientation: int) -> None:
    data = rich(form, orientation)
    bare = strip_metadata(data)
    assert b"secret" in data and b"secret" not in bare
    assert pixels(bare) == pixels(data)
    image = opened(bare)
    assert image.info["icc_profile"] == PROFILE
    assert dict(image.getexif()) == ({0x0112: 6} if orientation == 6 else {})
    assert "xmp" not in image.info
    assert strip_metadata(bare) == bare
    assert pixels(write_recipe(bare, TEXTS)) == pixels(data)


@pytest.mark.parametrize("form", FORMS)
def test_a_plain_file_has_nothing_to_strip(form: str) -> None:
    data = written(form)
    assert strip_metadata(data) == data


def test_a_progressive_cmyk_jpeg_keeps_its_colors() -> None:
    with Image.open(PHOTO) as photo:
        data = encoded(photo.convert("CMYK").resize((64, 64)), "JPEG", progressive=True, comment="secret")
    assert pixels(strip_metadata(data)) == pixels(data)
    assert b"secret" not in strip_metadata(data)


def test_images_appended_to_a_jpeg_stay_or_go() -> None:
    data = written("JPEG") + written("JPEG", comment="secret")
    assert write_recipe(data, TEXTS).endswith(data[len(written("JPEG")) :])
    assert b"secret" not in strip_metadata(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_content_credentials_are_not_broken(form: str) -> None:
    data, store = written(form), b"\x00\x00\x00\x10jumbc2pa...."
    if form == "PNG":
        data = data[:33] + chunk(b"caBX", store) + data[33:]
    elif form == "JPEG":
        body = b"JP\x00\x01\x00\x00\x00\x01" + store
        data = data[:2] + b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body + data[2:]
    else:
        data = (
            data[:4]
            + struct.pack("<I", len(data) + len(store))
            + data[8:]
            + b"C2PA"
            + struct.pack("<I", len(store))
            + store
        )
    with pytest.raises(CannotWriteMetadata, match="content credentials"):
        write_recipe(data, TEXTS)
    bare = strip_metadata(data)
    assert b"c2pa" not in bare
    assert pixels(write_recipe(bare, TEXTS)) == pixels(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_a_truncated_file_is_refused(form: str, share: float) -> None:
    data = rich(form)
    cut = data[: int(len(data) * share)]
    for change in (strip_metadata, lambda data: write_recipe(data, TEXTS)):
        with pytest.raises(CannotWriteMetadata):
            change(cut)


def damaged(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(changed))
        match draw.randrange(3):
            case 0:
                changed[at] = draw.choice((0, 255, draw.randrange(256)))
            case 1:
                del changed[at : at + draw.randint(1, 50)]
            case 2:
                changed[at:at] = draw.randbytes(draw.randint(1, 8))
    return bytes(changed)


@pytest.mark.parametrize("form", FORMS)
def test_damage_is_refused_or_passed_on(form: str) -> None:
    """Any other exception would count as a bug, and a paid image would be lost."""
    draw, whole = random.Random(form), (rich(form), written(form))
    for _ in range(400):
        data = damaged(draw.choice(whole), draw)
        for change in (strip_metadata, lambda data: write_recipe(data, TEXTS)):
            with contextlib.suppress(CannotWriteMetadata):
                assert change(data)


def test_other_formats_and_too_long_recipes_are_refused() -> None:
    for change in (strip_metadata, lambda data: write_recipe(data, TEXTS)):
        with pytest.raises(CannotWriteMetadata, match="image/avif"):
            change(encoded(photo("PNG"), "AVIF"))
    long = "雪" * 30_000
    with pytest.raises(CannotWriteMetadata, match="room for 65,504"):
        write_recipe(written("JPEG"), RecipeTexts(packet(long), long, long))
    assert opened(write_recipe(written("PNG"), RecipeTexts(packet(long), long, long))).info["parameters"] == long


@pytest.mark.parametrize("form", FORMS)
def test_parts_cover_a_file(form: str) -> None:
    data = rich(form)
    at = 8 if form == "PNG" else 12 if "WEBP" in form else 0
    for part in parts_of(data):
        assert part.start == at
        at = part.end
    assert at == len(data)
