"""Sizes: the nearest that a model makes, and true words about the difference."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from celeste_image.core.card import SizeRange
from celeste_image.core.image import Size
from celeste_image.pipeline.fidelity.sizes import fit_size, ratio_of, same_shape, sides, size_json

FREE = SizeRange(64, 4096, 4.2, multiple_of=16, default_width=1024, default_height=768)
FEW = SizeRange(
    1024, 1536, 1.6, default_width=1024, default_height=1024, sizes=((1024, 1024), (1536, 1024), (1024, 1536))
)
RATIOS = ("21:9", "16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16", "9:21")
SHAPED = SizeRange(256, 4096, 4.2, default_width=2752, default_height=1536, ratios=RATIOS)

pixels = st.tuples(st.integers(1, 5000), st.integers(1, 5000)).map(lambda side: Size(*side))
ratios = st.tuples(st.integers(1, 30), st.integers(1, 30)).map(lambda r: f"{r[0]}:{r[1]}")
areas = st.floats(0.01, 10)
sizes = st.one_of(
    st.just(Size()),
    pixels,
    ratios.map(lambda ratio: Size(aspect_ratio=ratio)),
    areas.map(lambda area: Size(megapixels=area)),
    st.builds(lambda ratio, area: Size(aspect_ratio=ratio, megapixels=area), ratios, areas),
)


def within(size: Size, bounds: SizeRange) -> bool:
    return (
        min(size.width, size.height) >= bounds.minimum_side
        and max(size.width, size.height) <= bounds.maximum_side
        and size.width * size.height <= bounds.maximum_megapixels * 1e6
    )


@given(sizes, st.sampled_from([0, 1, 8, 16, 32, 64]))
def test_sides_are_multiples_and_never_nothing(asked: Size, step: int) -> None:
    bounds = SizeRange(64, 4096, 4.2, multiple_of=step, default_width=1024, default_height=768)
    made = fit_size(asked, bounds)
    assert made.size.width % max(1, step) == made.size.height % max(1, step) == 0
    assert min(made.size.width, made.size.height) >= 1
    assert made.sent == {"width": made.size.width, "height": made.size.height}


@settings(max_examples=300)
@given(pixels, st.sampled_from([8, 16, 32, 64]), st.floats(0.1, 4.2))
def test_what_is_legal_stays_legal(asked: Size, step: int, most: float) -> None:
    bounds = SizeRange(64, 4096, most, multiple_of=step, default_width=64, default_height=64)
    assume(within(asked, bounds))
    made = fit_size(asked, bounds).size
    assert made.width * made.height <= most * 1e6
    assert max(made.width, made.height) <= 4096
    assert abs(made.width - asked.width) <= step and abs(made.height - asked.height) <= step


@given(ratios)
def test_all_of_the_megapixels_can_be_asked_for(ratio: str) -> None:
    assume(1 / 4 <= ratio_of(ratio) <= 4)
    made = fit_size(Size(aspect_ratio=ratio, megapixels=4.2), FREE).size
    assert 0.95 * 4.2e6 <= made.width * made.height <= 4.2e6
    assert abs(math.log(made.width / made.height / ratio_of(ratio))) < 0.03


large = st.tuples(st.integers(4120, 9000), st.integers(1, 9000))


@given(large, st.booleans())
def test_what_is_illegal_is_not_made_legal_by_stealth(sides: tuple[int, int], upright: bool) -> None:
    asked = Size(*(sides if upright else sides[::-1]))
    assert not within(fit_size(asked, FREE).size, FREE)


@given(pixels)
def test_there_is_a_note_exactly_where_pixels_differ(asked: Size) -> None:
    made = fit_size(asked, FREE)
    assert bool(made.message) == ((made.size.width, made.size.height) != (asked.width, asked.height))


@given(sizes)
def test_a_few_sizes(asked: Size) -> None:
    made = fit_size(asked, FEW)
    assert (made.size.width, made.size.height) in FEW.sizes
    if asked.width:
        distances = {s: abs(math.log(s[0] / s[1] / (asked.width / asked.height))) for s in FEW.sizes}
        best = distances[made.size.width, made.size.height]
        assert best <= min(distances.values()) + 0.001
        assert bool(made.message) == ((made.size.width, made.size.height) != (asked.width, asked.height))
    if asked.aspect_ratio:
        kept = same_shape(made.size.width / made.size.height, float(ratio_of(asked.aspect_ratio)))
        assert kept or made.message, "a ratio that is not met is told"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Size(), False),
        (Size(aspect_ratio="1:1"), False),
        (Size(aspect_ratio="3:2"), False),
        (Size(aspect_ratio="16:9"), True),
        (Size(megapixels=1.0), False),
        (Size(megapixels=0.25), True),
        (Size(aspect_ratio="3:2", megapixels=1.5), False),
        (Size(aspect_ratio="3:2", megapixels=4), True),
    ],
)
def test_a_few_sizes_and_what_they_are_not(asked: Size, told: bool) -> None:
    assert bool(fit_size(asked, FEW).message) is told


@given(sizes)
def test_ratios(asked: Size) -> None:
    made = fit_size(asked, SHAPED)
    if not asked:
        assert (made.size, made.sent, made.message) == (Size(), None, "")
        return
    assert made.size.aspect_ratio in RATIOS
    assert made.sent == {"aspect_ratio": made.size.aspect_ratio}
    if asked.width or asked.megapixels:
        assert made.message, "how many pixels is the model's business"
    else:
        kept = same_shape(float(ratio_of(made.size.aspect_ratio)), float(ratio_of(asked.aspect_ratio)))
        assert bool(made.message) is not kept


@pytest.mark.parametrize("ratio", RATIOS)
def test_ratios_that_there_are_stay(ratio: str) -> None:
    assert fit_size(Size(aspect_ratio=ratio), SHAPED).size.aspect_ratio == ratio


@pytest.mark.parametrize(("ratio", "nearest"), [("2:1", "16:9"), ("1:2", "9:16"), ("100:1", "21:9"), ("1:100", "9:21")])
def test_nearest_is_by_logarithm(ratio: str, nearest: str) -> None:
    assert fit_size(Size(aspect_ratio=ratio), SHAPED).size.aspect_ratio == nearest


def test_without_a_default_nothing_asked_is_nothing_sent() -> None:
    made = fit_size(Size(), SizeRange(64, 1024, 1))
    assert (made.size, made.sent, made.message) == (Size(), None, "")


def test_without_a_default_a_ratio_is_about_a_megapixel() -> None:
    assert fit_size(Size(aspect_ratio="1:1"), SizeRange(64, 2048, 2)).size == Size(1000, 1000)


@given(st.floats(1e3, 4e7), ratios)
def test_sides_of_an_area(area: float, ratio: str) -> None:
    width, height = sides(area, float(ratio_of(ratio)))
    assert width >= 1 and height >= 1
    exact = math.sqrt(area * ratio_of(ratio))
    assert abs(width - exact) <= 0.5 + 1e-6 and abs(height - area / exact) <= 1 + 1e-6


def test_only_what_is_set_is_said() -> None:
    assert size_json(Size()) == {}
    assert size_json(Size(1, 2)) == {"width": 1, "height": 2}
    assert size_json(Size(aspect_ratio="1:2", megapixels=0.5)) == {"aspect_ratio": "1:2", "megapixels": 0.5}
