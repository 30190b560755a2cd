"""locking: outside of a mask nothing changes, whatever a provider did there; what it did is found out and told."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image, ImageChops, ImageFilter
from tests.support import pictures
from tests.support.fake_provider import CALL, Fake, FakeProvider, card, collect, fitted, parameter, saved

from celeste_image.core.call import Candidate
from celeste_image.core.card import BoolRange, ChoiceRange, SizeRange, TextRange
from celeste_image.core.edits import AnyEdit, Erase, Inpaint, Instruct, Mask
from celeste_image.core.errors import InvalidRequest, ProviderFailed
from celeste_image.core.events import CandidateRun, Event, Fidelity, Picture, Run, Warned
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.image import ImageFacts, ImageInput, Size
from celeste_image.core.request import Edit, ImageRequest, OperationKind, RequestOptions
from celeste_image.imaging.pixels import Pixels
from celeste_image.pipeline.pixel_lock import pixel_locking
from celeste_image.pipeline.split import splitting

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIDE = 256
PHOTO = pictures.photo(SIDE)
HOLE = (64, 96, 160, 192)
MASK = pictures.mask(SIDE, SIDE, HOLE)
CARDS = (
    card(
        "fake/painter",
        OperationKind.EDIT,
        parameter("inpaint.prompt", TextRange()),
        parameter("inpaint.pixel_lock", BoolRange(default=True)),
        parameter("erase.pixel_lock", BoolRange(default=True)),
        parameter("instruct.prompt", TextRange()),
        parameter("size", SizeRange(64, 1024, 1)),
        parameter("output_media_type", ChoiceRange(("image/png", "image/jpeg", "image/webp"))),
        edits=("inpaint", "erase", "instruct"),
        max_count=2,
    ),
    card("fake/exact", OperationKind.EDIT, edits=("erase",)),
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def work() -> AsyncIterator[Pixels]:
    made = Pixels("pipeline")
    yield made
    await made.close()


def loaded(data: bytes) -> ImageInput:
    image = pictures.opened(data)
    return ImageInput(data, facts=ImageFacts("image/png", *image.size, len(data), "0" * 64, image.mode, False))


def inpaint(lock: bool | None = None, mask: bytes = MASK) -> Inpaint:
    return Inpaint(Mask(loaded(mask)), "a fox", lock)


def asked(edit: AnyEdit, *, strict: bool = False, **fields: Any) -> Edit:
    given = {"model": "fake/painter", "options": RequestOptions(strict=strict), **fields}
    return Edit(image=loaded(PHOTO), edit=edit, **given)


def painted(how: Callable[[Image.Image], Image.Image] = lambda image: image, color: str = "teal") -> Image.Image:
    """Returns the photograph after something was done to all of it, and its hole painted over."""
    image = how(pictures.opened(PHOTO).copy())
    image.paste(color, tuple(side * image.width // SIDE for side in HOLE))
    return image


def picture(image: Image.Image, index: int = 0, form: str = "PNG", **how: Any) -> Picture:
    data = pictures.encoded(image, form, **how)
    return Picture(data, f"image/{form.lower()}", *image.size, index)


class Road:
    """What a provider makes, on the part of the road that has to do with locks; `made` is what would be stored."""

    def __init__(self, work: Pixels, *events: Event) -> None:
        self.provider = Fake(*events)
        self.made: list[Picture] = []
        locked = pixel_locking(self.provider, work.of("fake"))
        self.run: Run = fitted(splitting(self._saving(locked)), FakeProvider(CARDS))

    def _saving(self, run: CandidateRun) -> CandidateRun:
        async def saving(request: ImageRequest, candidate: Candidate) -> Any:
            async with aclosing(run(request, candidate)) as events:
                async for event in events:
                    if isinstance(event, Picture):
                        self.made.append(event)
                        yield saved(event.index, width=event.width, height=event.height, media_type=event.media_type)
                    else:
                        yield event

        return saving

    async def lines(self, request: Edit) -> dict[str, FidelityLine]:
        events = await collect(self.run, request)
        return {event.line.path: event.line for event in events if isinstance(event, Fidelity)}


def without_hole(data: bytes) -> bytes:
    image = pictures.opened(data).convert("RGB")
    image.paste("black", HOLE)
    return image.tobytes()


@pytest.mark.parametrize(
    ("media_type", "kept"), [("", "image/png"), ("image/png", "image/png"), ("image/webp", "image/webp")]
)
@pytest.mark.parametrize("side", [SIDE, SIDE * 2])
async def test_outside_the_mask_every_bit_is_the_sources(work: Pixels, media_type: str, kept: str, side: int) -> None:
    """Also when the provider made it larger, and lossy."""
    answer = painted(lambda image: image.resize((side, side)))
    road = Road(work, picture(answer, form="JPEG", quality=80))
    await road.lines(asked(inpaint(), output_media_type=media_type))
    (made,) = road.made
    assert (made.media_type, made.width, made.height) == (kept, SIDE, SIDE)
    assert pictures.opened(made.data).format == kept.removeprefix("image/").upper()
    assert without_hole(made.data) == without_hole(PHOTO)
    change = ImageChops.difference(pictures.opened(made.data).convert("RGB"), pictures.opened(PHOTO)).getbbox()
    assert change == HOLE
    assert road.provider.asked[0].output_media_type == kept, "the provider makes no JPEG"


async def test_a_lock_that_was_left_on_is_the_default_and_measured(work: Pixels) -> None:
    line = (await Road(work, picture(painted())).lines(asked(inpaint())))["inpaint.pixel_lock"]
    assert (line.outcome, line.asked, line.sent, line.message, line.image_index) == ("defaulted", None, True, "", None)
    hole = pictures.opened(PHOTO).crop(HOLE)
    apart = ImageChops.difference(hole, Image.new("RGB", hole.size, "teal")).tobytes()
    mean = pytest.approx(sum(apart) / len(apart), abs=0.01)
    assert line.measured == {"outside_difference": 0, "inside_difference": mean}
    line = (await Road(work, picture(painted())).lines(asked(inpaint(True), strict=True)))["inpaint.pixel_lock"]
    assert (line.outcome, line.asked, line.sent) == ("honored", True, True)


async def test_jpeg_would_change_what_is_locked(work: Pixels) -> None:
    request = asked(inpaint(), output_media_type="image/jpeg")
    road = Road(work, picture(painted()))
    line = (await road.lines(request))["output_media_type"]
    assert (line.outcome, "image/png" in line.message) == ("adjusted", True)
    assert [made.media_type for made in road.made] == ["image/png"]
    road = Road(work, picture(painted(), form="JPEG"))
    lines = await road.lines(asked(inpaint(False), output_media_type="image/jpeg"))
    assert (lines["output_media_type"].outcome, road.made[0].media_type) == ("honored", "image/jpeg")


async def test_another_size_lets_nothing_be_put_back(work: Pixels) -> None:
    road = Road(work, picture(painted().resize((320, 320)), form="JPEG"))
    request = asked(inpaint(), size=Size(320, 320), output_media_type="image/jpeg")
    events = await collect(road.run, request)
    assert [event.path for event in events if isinstance(event, Warned)] == ["inpaint.pixel_lock"]
    lines = {event.line.path: event.line for event in events if isinstance(event, Fidelity)}
    lock = lines["inpaint.pixel_lock"]
    assert (lock.outcome, "256 x 256" in lock.message, lock.measured["outside_difference"] < 6) == (
        "adjusted",
        True,
        True,
    )
    assert lines["output_media_type"].outcome == "honored"
    assert (road.made[0].width, road.made[0].media_type) == (320, "image/jpeg")
    assert (await Road(work, picture(painted())).lines(asked(inpaint(), size=Size(SIDE, SIDE))))[
        "inpaint.pixel_lock"
    ].outcome == "defaulted", "its own size is no other"


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"output_media_type": "image/jpeg"}, "output_media_type"), ({"size": Size(320, 320)}, "inpaint.pixel_lock")],
)
async def test_strict_refuses_what_a_lock_rules_out_before_it_costs(
    work: Pixels, fields: dict[str, Any], field: str
) -> None:
    road = Road(work, picture(painted()))
    with pytest.raises(InvalidRequest) as caught:
        await collect(road.run, asked(inpaint(), strict=True, **fields))
    assert not road.provider.asked
    (violation,) = caught.value.violations
    assert violation.field == field


@pytest.mark.parametrize("strict", [False, True])
async def test_another_shape_is_kept_since_it_is_paid_for_and_told(work: Pixels, strict: bool) -> None:
    wide = picture(painted().resize((384, 256)))
    road = Road(work, wide)
    line = (await road.lines(asked(inpaint(), strict=strict)))["inpaint.pixel_lock"]
    assert (line.outcome, line.measured) == ("adjusted", None)
    assert line.message == "no pixels were restored: the provider made 384 x 256 of 256 x 256"
    assert road.made == [wide]
    line = (await Road(work, wide).lines(asked(inpaint(False), strict=strict)))["inpaint.pixel_lock"]
    assert (line.outcome, line.message) == ("honored", ""), "nothing was to be put back"


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    return lambda image: pictures.opened(pictures.encoded(image, "JPEG", quality=quality))


HONEST: dict[str, Callable[[Image.Image], Image.Image]] = {
    "to the pixel": lambda image: image,
    "JPEG 75": jpeg(75),
    "JPEG 30": jpeg(30),
    "half the size": lambda image: image.resize((128, 128)),
    "four times the size": lambda image: image.resize((1024, 1024)),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
    "a pixel aside": lambda image: ImageChops.offset(image, 1, 1),
    "a little lighter": lambda image: image.point(lambda value: round(min(255, value * 1.05))),
}


@pytest.mark.parametrize("how", HONEST)
@pytest.mark.parametrize("lock", [None, False])
async def test_an_honest_picture_is_not_suspected(work: Pixels, how: str, lock: bool | None) -> None:
    lines = await Road(work, picture(painted(HONEST[how]))).lines(asked(inpaint(lock)))
    line = lines["inpaint.pixel_lock"]
    assert (line.outcome, line.message) == ("honored" if lock is False else "defaulted", "")
    assert line.measured["outside_difference"] < 11
    assert line.measured["inside_difference"] > 60
    assert lines["inpaint"].outcome == "honored"


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("lock", "end"), [(None, "were restored"), (False, "stay as it made them")])
@pytest.mark.parametrize(
    "all_over",
    [lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), lambda image: image.rotate(90)],
    ids=["mirrored", "turned"],
)
async def test_a_mask_that_was_ignored_is_seen(
    work: Pixels, all_over: Callable[[Image.Image], Image.Image], lock: bool | None, end: str, strict: bool
) -> None:
    answer = picture(all_over(pictures.opened(PHOTO)))
    road = Road(work, answer)
    line = (await road.lines(asked(inpaint(lock), strict=strict)))["inpaint.pixel_lock"]
    assert line.outcome == "adjusted"
    assert line.message == f"the provider also changed pixels outside the mask, which {end}"
    assert line.measured["outside_difference"] > 40
    (made,) = road.made
    assert (without_hole(made.data) == without_hole(PHOTO)) == (lock is None)
    assert (made == answer) == (lock is False)


@pytest.mark.parametrize("how", ["to the pixel", "JPEG 75", "JPEG 30", "half the size", "four times the size"])
async def test_a_mask_with_nothing_changed_inside_is_seen(work: Pixels, how: str) -> None:
    road = Road(work, picture(HONEST[how](pictures.opened(PHOTO))))
    lines = await road.lines(asked(inpaint()))
    assert (lines["inpaint"].outcome, lines["inpaint"].message) == (
        "adjusted",
        "the provider changed nothing inside the mask",
    )
    assert lines["inpaint.pixel_lock"].outcome == "defaulted"
    assert len(road.made) == 1


@pytest.mark.parametrize("box", [(100, 120, 112, 132), (65, 97, 75, 107)])
async def test_a_small_thing_in_a_wide_mask_is_a_change(work: Pixels, box: tuple[int, int, int, int]) -> None:
    image = pictures.opened(PHOTO).copy()
    image.paste("lime", box)
    lines = await Road(work, picture(image)).lines(asked(inpaint()))
    assert lines["inpaint"].outcome == "honored"


async def test_a_change_in_a_mask_of_a_few_pixels_is_a_change(work: Pixels) -> None:
    image, box = pictures.opened(PHOTO).copy(), (128, 128, 131, 131)
    image.paste("lime", box)
    lines = await Road(work, picture(image)).lines(asked(inpaint(mask=pictures.mask(SIDE, SIDE, box))))
    assert lines["inpaint"].outcome == "honored"


@pytest.mark.parametrize(
    ("box", "missing", "outcome"),
    [((0, 0, 0, 0), "inside_difference", "adjusted"), ((0, 0, SIDE, SIDE), "outside_difference", "defaulted")],
)
async def test_a_mask_of_nothing_or_all_has_one_side(
    work: Pixels, box: tuple[int, int, int, int], missing: str, outcome: str
) -> None:
    mask = pictures.mask(SIDE, SIDE, box)
    lines = await Road(work, picture(painted())).lines(asked(inpaint(mask=mask)))
    line = lines["inpaint.pixel_lock"]
    assert {missing} == {"outside_difference", "inside_difference"} - line.measured.keys()
    assert (line.outcome, lines["inpaint"].outcome) == (outcome, "honored")


async def test_every_image_is_measured_by_itself(work: Pixels) -> None:
    ignored = pictures.opened(PHOTO).rotate(180)
    road = Road(work, picture(painted(), 0), picture(ignored, 1))
    events = await collect(road.run, asked(inpaint(), count=4))
    lines = [e.line for e in events if isinstance(e, Fidelity) and e.line.path == "inpaint.pixel_lock"]
    assert [(line.image_index, line.outcome) for line in lines] == [
        (0, "defaulted"),
        (1, "adjusted"),
        (2, "defaulted"),
        (3, "adjusted"),
    ]


async def test_erasing_is_locked_too(work: Pixels) -> None:
    road = Road(work, picture(painted(jpeg(50))))
    lines = await road.lines(asked(Erase(Mask(loaded(MASK)))))
    assert lines["erase.pixel_lock"].measured["outside_difference"] > 1
    assert without_hole(road.made[0].data) == without_hole(PHOTO)


@pytest.mark.parametrize(
    ("request_", "paths"),
    [
        (asked(Instruct("x"), output_media_type="image/jpeg"), []),
        (asked(Erase(Mask(loaded(MASK))), model="fake/exact"), []),
        (asked(Erase(Mask(loaded(MASK)), True), model="fake/exact"), [("erase.pixel_lock", "honored")]),
        (asked(Erase(Mask(loaded(MASK)), False), model="fake/exact"), [("erase.pixel_lock", "dropped")]),
    ],
    ids=["no mask", "left on", "turned on", "turned off"],
)
async def test_what_has_no_lock_goes_through_as_it_is(
    work: Pixels, request_: Edit, paths: list[tuple[str, str]]
) -> None:
    """A model without the parameter keeps to masks by itself: to ask for it is fine, to turn it off does nothing."""
    answer = picture(pictures.opened(PHOTO).rotate(90), form="JPEG")
    road = Road(work, answer)
    lines = await road.lines(request_)
    assert road.made == [answer]
    assert [(path, line.outcome) for path, line in lines.items() if path.endswith("pixel_lock")] == paths
    assert road.provider.asked[0].output_media_type == request_.output_media_type


async def test_what_is_no_picture_is_the_providers_failure(work: Pixels) -> None:
    road = Road(work, Picture(PHOTO[:500], "image/png", SIDE, SIDE))
    with pytest.raises(ProviderFailed, match="fake: its image can't be used") as caught:
        await collect(road.run, asked(inpaint()))
    assert caught.value.metadata["provider"] == "fake"


async def test_closing_early_closes_the_provider(work: Pixels) -> None:
    road = Road(work, picture(painted(), 0), picture(painted(), 1))
    async with aclosing(road.run(asked(inpaint(), count=2), CALL)) as events:
        async for _ in events:
            if road.made:
                break
    assert road.provider.closed == 1
    assert len(road.made) == 1
    assert io.BytesIO(road.made[0].data).read(4) == b"\x89PNG"
