"""Erasing and outpainting by PatchMatch, on a photograph and on images made for checks pixel by pixel."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tests.support import pictures

from celeste_image.core.edits import Polarity
from celeste_image.core.errors import EngineMemory, ImageTooLarge, InvalidRequest
from celeste_image.engines import patchmatch
from celeste_image.engines.mask import weights

Box = tuple[int, int, int, int]
Message = tuple[str, dict[str, Any], bytes]
Values = NDArray[np.float64]

HOLE = (30, 40, 60, 64)
MASKED = {"field": "erase", "polarity": "white", "feather": 0}


class Said:
    """The messages of the engine for one task."""

    def __init__(self, task: dict[str, Any], *given: Image.Image | bytes) -> None:
        self.messages: list[Message] = []
        sent = [one if isinstance(one, bytes) else pictures.encoded(one) for one in given]
        patchmatch.run({"seed": 7, "preview_count": 0} | task, sent, self._emit)
        self.warnings = [(f["path"], f["text"]) for kind, f, _ in self.messages if kind == "warned"]
        self.measured = [f for kind, f, _ in self.messages if kind == "measured"]
        self.progress = [(f["fraction"], f["phase"]) for kind, f, _ in self.messages if kind == "progress"]
        ((self.facts, self.png),) = [(f, data) for kind, f, data in self.messages if kind == "picture"]
        self.picture = pictures.opened(self.png)

    def _emit(self, kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        self.messages.append((kind, fields or {}, payload))


def erase(source: Image.Image, mask: Image.Image | bytes, seed: int = 7, **how: Any) -> Said:
    return Said({"fill": MASKED | how, "seed": seed}, source, mask)


def outpaint(source: Image.Image, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0) -> Said:
    return Said({"outpaint": {"left": left, "right": right, "top": top, "bottom": bottom}}, source)


def marked(size: tuple[int, int], *boxes: Box) -> Image.Image:
    """A mask with white boxes; right and bottom of a box are exclusive."""
    mask = Image.new("L", size)
    for left, top, right, bottom in boxes:
        ImageDraw.Draw(mask).rectangle((left, top, right - 1, bottom - 1), fill=255)
    return mask


def values(picture: Image.Image) -> Values:
    return np.asarray(picture).astype(np.float64)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(pictures.PHOTO).convert("RGB")


@pytest.fixture(scope="module")
def part(photo: Image.Image) -> Image.Image:
    return photo.crop((0, 140, 128, 268))


@pytest.mark.parametrize(
    ("box", "margin"),
    [((20, 150, 60, 190), 9), ((410, 90, 440, 120), 11), ((240, 380, 270, 410), 5)],
    ids=["flag", "rocket", "strap"],
)
def test_a_filling_beats_the_mean_color_around_it(photo: Image.Image, box: Box, margin: float) -> None:
    """Checked on stripes and edges. On mottled cloth and hair the mean color scores better than any filling."""
    left, top, right, bottom = box
    place = np.s_[top:bottom, left:right]
    original = values(photo)
    ring = np.asarray(marked(photo.size, (left - 8, top - 8, right + 8, bottom + 8))) > 0
    ring[place] = False

    def psnr(made: Values) -> float:
        return float(10 * np.log10(255**2 / np.mean((made - original[place]) ** 2)))

    filled = psnr(values(erase(photo, marked(photo.size, box)).picture)[place])
    assert filled > psnr(original[ring].mean(axis=0)) + margin


@pytest.mark.parametrize("feather", [0, 5, 256])
def test_pixels_outside_the_mask_stay_bit_for_bit(part: Image.Image, feather: int) -> None:
    mask = marked(part.size, HOLE, (100, 100, 128, 128))
    made = np.asarray(erase(part, mask, feather=feather).picture)
    kept = np.asarray(mask) == 0
    assert (made[kept] == np.asarray(part)[kept]).all()
    assert (made[~kept] != np.asarray(part)[~kept]).any()


def test_pixels_under_the_mask_do_not_influence_the_filling(part: Image.Image) -> None:
    marred = part.copy()
    marred.paste((0, 255, 0), HOLE)
    mask = marked(part.size, HOLE)
    assert erase(marred, mask).png == erase(part, mask).png


def test_the_same_seed_gives_the_same_bytes(part: Image.Image) -> None:
    mask = marked(part.size, HOLE)
    one, again, other = erase(part, mask), erase(part, mask), erase(part, mask, seed=8)
    assert one.png == again.png != other.png
    assert one.facts == {"media_type": "image/png", "width": 128, "height": 128, "seed": 7}
    assert outpaint(part, left=20).png == outpaint(part, left=20).png
    assert erase(part, mask, seed=7 + (1 << 32)).png == one.png
    assert erase(part, mask, seed=(1 << 64) - 1).facts["seed"] == (1 << 64) - 1


def test_the_polarities_agree(part: Image.Image) -> None:
    white = marked(part.size, HOLE)
    black = white.point(lambda value: 255 - value)
    transparent = Image.new("RGBA", part.size, "red")
    transparent.putalpha(black)
    expected = erase(part, white).png
    assert erase(part, black, polarity="black").png == expected
    assert erase(part, transparent, polarity="transparent").png == expected


def test_transparent_pixels_of_a_mask_mark_nothing(part: Image.Image) -> None:
    for polarity in ("white", "black"):
        layer = Image.new("RGBA", part.size, (255, 255, 255, 0) if polarity == "white" else (0, 0, 0, 0))
        layer.paste(polarity, HOLE)
        assert erase(part, layer, polarity=polarity).png == erase(part, marked(part.size, HOLE)).png


def test_a_mask_as_jpeg_marks_little_more(part: Image.Image) -> None:
    mask = marked(part.size, HOLE)
    coded = pictures.opened(pictures.encoded(mask, "JPEG", quality=75))
    exact, loose = (weights(one, Polarity.WHITE, 0) for one in (mask, coded))
    assert (exact == (np.asarray(mask) > 0)).all()
    assert loose[exact == 1].min() > 0.95
    far = np.asarray(marked(part.size, (HOLE[0] - 8, HOLE[1] - 8, HOLE[2] + 8, HOLE[3] + 8))) == 0
    assert loose[far].max() == 0


def test_a_feather_rises_inwards_from_the_edge() -> None:
    weight = weights(marked((60, 40), (10, 0, 60, 40)), Polarity.WHITE, 4)
    assert (weight[:, :10] == 0).all()
    assert weight[20, 10:16] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    assert (weight[:, 15:] == 1).all(), "the image's own border is not an edge"


def test_gray_is_a_soft_border() -> None:
    mask = Image.new("L", (3, 1))
    mask.putdata([0, 128, 255])
    assert weights(mask, Polarity.WHITE, 0)[0] == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_mode_and_alpha_are_kept(part: Image.Image, mode: str) -> None:
    source = part.convert(mode)
    if mode == "RGBA":
        source.putalpha(Image.linear_gradient("L").resize(part.size))
    made = erase(source, marked(part.size, HOLE)).picture
    assert made.mode == mode
    assert made.getchannel(mode[-1]).tobytes() == source.getchannel(mode[-1]).tobytes() or mode != "RGBA"
    grown = outpaint(source, left=9, bottom=5).picture
    assert (grown.mode, grown.size) == (mode, (137, 133))
    assert grown.crop((9, 0, 137, 128)).tobytes() == source.tobytes()


def test_hidden_colors_are_not_copied() -> None:
    source = Image.new("RGBA", (96, 96), (0, 255, 0, 0))
    source.paste((200, 30, 40, 255), (24, 24, 72, 72))
    made = values(erase(source, marked((96, 96), (40, 20, 60, 60))).picture)
    assert (made[24:60, 40:60] == (200, 30, 40, 255)).all()
    assert (made[:24, :, 3] == 0).all()
    grown = values(outpaint(source.crop((24, 12, 72, 72)), bottom=20).picture)
    assert (grown[60:] == (200, 30, 40, 255)).all()


def test_an_empty_mask_is_refused_with_the_values_found(part: Image.Image) -> None:
    with pytest.raises(InvalidRequest) as caught:
        erase(part, Image.new("L", part.size, 1))
    (violation,) = caught.value.violations
    assert violation.field == "erase.mask.image"
    assert "values are 1, and 240 to 255 change" in violation.text


def test_a_large_mask_warns(part: Image.Image) -> None:
    ((path, text),) = erase(part, marked(part.size, (0, 0, 64, 64))).warnings
    assert (path, text[:26]) == ("erase.mask.image", "marks 25% of the image; la")
    assert not erase(part, marked(part.size, (0, 0, 40, 40))).warnings


@pytest.mark.parametrize(
    ("source", "mask"),
    [
        (Image.new("RGB", (32, 32)), Image.new("L", (32, 31), 255)),
        (Image.new("RGB", (32, 32)), Image.new("L", (32, 32), 255)),
        (Image.new("RGBA", (32, 32)), marked((32, 32), (4, 4, 8, 8))),
    ],
    ids=["other size", "all", "nothing visible"],
)
def test_unusable_masks_are_refused(source: Image.Image, mask: Image.Image) -> None:
    with pytest.raises(InvalidRequest, match=r"^erase\.mask\.image: ") as caught:
        erase(source, mask)
    assert [violation.field for violation in caught.value.violations] == ["erase.mask.image"]


def scratched(part: Image.Image, width: int) -> tuple[Image.Image, Image.Image]:
    """An image with a line across it, and the mask of that line."""
    marred, mask = part.copy(), Image.new("L", part.size)
    for image, fill in ((marred, (0, 255, 0)), (mask, 255)):
        ImageDraw.Draw(image).line((10, 20, 110, 100), fill=fill, width=width)
    return marred, mask


@pytest.mark.parametrize(("width", "method"), [(3, "telea"), (7, "telea"), (12, "patchmatch")])
def test_a_thin_mask_is_done_by_telea(part: Image.Image, width: int, method: str) -> None:
    marred, mask = scratched(part, width)
    said = erase(marred, mask)
    assert said.measured == [{"path": "erase", "value": {"method": method}}]
    hole = np.asarray(mask) > 0
    mended, worse = (np.abs(values(one) - values(part))[hole].mean() for one in (said.picture, marred))
    assert mended < worse / 8
    assert (np.asarray(said.picture)[~hole] == np.asarray(part)[~hole]).all()


def test_a_thin_mask_beside_hidden_pixels_is_not_done_by_telea(part: Image.Image) -> None:
    marred, mask = scratched(part, 3)
    marred = marred.convert("RGBA")
    marred.paste((255, 0, 255, 0), (60, 0, 128, 60))
    said = erase(marred, mask)
    assert said.measured == [{"path": "erase", "value": {"method": "patchmatch"}}]


def test_inpainting_is_filling(part: Image.Image) -> None:
    mask = marked(part.size, HOLE)
    said = erase(part, mask, field="inpaint")
    assert said.png == erase(part, mask).png
    assert said.measured == [{"path": "inpaint", "value": {"method": "patchmatch"}}]
    ((path, _),) = erase(part, marked(part.size, (0, 0, 64, 64)), field="inpaint").warnings
    assert path == "inpaint.mask.image"


def test_limits_apply_to_the_mask(part: Image.Image) -> None:
    with pytest.raises(ImageTooLarge):
        Said(
            {"fill": MASKED, "limits": {"max_side": 200}},
            part,
            Image.new("L", (300, 8)),
        )


def test_the_librarys_memory_error_becomes_engine_memory(part: Image.Image) -> None:
    def fail(*_: object, **__: object) -> NDArray[np.uint8]:
        raise RuntimeError("patchmatch failed: OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed")

    hole = np.asarray(marked(part.size, HOLE)) > 0
    with pytest.raises(EngineMemory):
        patchmatch.filled(np.asarray(part), hole, np.zeros_like(hole), inpaint=fail)


def test_a_hole_too_large_for_the_memory_is_refused_at_once() -> None:
    source = Image.new("L", (4_100, 4_100))
    with pytest.raises(EngineMemory, match="at most 16,000,000 pixels"):
        erase(source, marked(source.size, (1, 1, 4_099, 4_099)))


def test_progress_of_an_erasure_is_its_phases(part: Image.Image) -> None:
    said = erase(part, marked(part.size, HOLE))
    assert said.progress == [(0.0, "decode"), (0.1, "fill"), (0.9, "encode"), (1.0, "encode")]
    assert said.messages[-1][0] == "picture"


def test_progress_of_an_outpainting_is_what_was_filled(part: Image.Image) -> None:
    fractions = [fraction for fraction, phase in outpaint(part, 40, 40, 40, 40).progress if phase == "fill"]
    assert len(fractions) == 1 + 4 * 2
    assert fractions == sorted(set(fractions))
    assert fractions[1] == pytest.approx(0.1 + 0.8 * 32 * 128 / (208 * 208 - 128 * 128))
    assert fractions[-1] == pytest.approx(0.9)


@pytest.mark.parametrize("sides", [(30, 0, 0, 0), (0, 30, 0, 0), (0, 0, 30, 0), (0, 0, 0, 30), (5, 17, 40, 2)])
def test_outpainting_adds_to_the_sides_asked_for(part: Image.Image, sides: tuple[int, int, int, int]) -> None:
    left, right, top, bottom = sides
    picture = outpaint(part, *sides).picture
    assert picture.size == (128 + left + right, 128 + top + bottom)
    assert picture.crop((left, top, left + 128, top + 128)).tobytes() == part.tobytes()
    assert (values(picture).sum(axis=2) > 0).mean() > 0.99, "all of the border is filled"


def test_an_outpainting_continues_stripes() -> None:
    row = np.arange(200) // 10 % 2 * 200
    whole = Image.fromarray(np.repeat(row[:, np.newaxis], 120, axis=1).astype(np.uint8))
    made = outpaint(whole.crop((30, 0, 90, 200)), 30, 30).picture
    assert np.abs(values(made) - values(whole)).mean() < 4


def test_colors_stay_within_the_range_of_the_source() -> None:
    row = 20 + np.arange(120) // 10 % 2 * 180
    source = Image.fromarray(np.repeat(row[:, np.newaxis], 60, axis=1).astype(np.uint8))
    assert outpaint(source, 30, 30, 40, 200).picture.getextrema() == (20, 200)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    made = outpaint(Image.new("RGB", size, (200, 30, 40)), 20, 3, 0, 7).picture
    assert made.size == (size[0] + 23, size[1] + 7)
    assert (values(made) == (200, 30, 40)).all()


def test_a_rotated_source_is_set_upright_first(part: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    turned = io.BytesIO()
    wide = part.crop((0, 0, 128, 60))
    wide.save(turned, "PNG", exif=exif)
    mask = marked((60, 128), (20, 50, 40, 70))
    said = Said({"fill": MASKED}, turned.getvalue(), mask)
    upright = np.asarray(wide.transpose(Image.Transpose.ROTATE_270))
    kept = np.asarray(mask) == 0
    assert (np.asarray(said.picture)[kept] == upright[kept]).all()
