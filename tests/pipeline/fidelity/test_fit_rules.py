"""fitting: what is asked becomes concrete for a model, and every difference has a line or is refused."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_provider import (
    CALL,
    OPTIONS,
    PAINTER,
    PLAIN,
    UPSCALER,
    Fake,
    FakeProvider,
    card,
    collect,
    fitted,
    loaded,
    parameter,
    saved,
)

from celeste_image.core.card import ModelCard, SizeRange
from celeste_image.core.errors import CelesteError, InvalidRequest, UnknownField
from celeste_image.core.events import Event, Fidelity, Progress
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.image import Size
from celeste_image.core.request import (
    AnalysisKind,
    Analyze,
    Generate,
    ImageRequest,
    OperationKind,
    RequestOptions,
    Upscale,
)

HONORED, ADJUSTED, DROPPED, DEFAULTED = (
    FidelityOutcome.HONORED,
    FidelityOutcome.ADJUSTED,
    FidelityOutcome.DROPPED,
    FidelityOutcome.DEFAULTED,
)
SEED = 1234


async def fit(request: ImageRequest, *images: Event, cards: tuple[ModelCard, ...] = (PAINTER, PLAIN, UPSCALER)) -> Any:
    """Returns the concrete request, and the lines by their paths."""
    fake = Fake(*images)
    events = await collect(fitted(fake, FakeProvider(cards), draw=lambda: SEED), request)
    (concrete,) = fake.asked
    lines: dict[str, FidelityLine] = {}
    for event in events:
        if isinstance(event, Fidelity):
            assert event.line.path not in lines, "one line each"
            lines[event.line.path] = event.line
    return concrete, lines


async def refusal(request: ImageRequest, error: type[CelesteError] = InvalidRequest) -> dict[str, str]:
    """Returns the texts of the violations by their fields; nothing was begun."""
    fake = Fake()
    with pytest.raises(error) as caught:
        await collect(fitted(fake, FakeProvider()), request)
    assert type(caught.value) is error
    assert fake.asked == []
    return {violation.field: violation.text for violation in caught.value.violations}


def painted(**fields: Any) -> Generate:
    options = RequestOptions(
        **{k: fields.pop(k) for k in ("strict", "unknown", "provider_options", "preview_count") if k in fields}
    )
    return Generate(**{"model": PAINTER.id, "prompt": "a fox", "options": options} | fields)


def upscaled(width: int, height: int, **fields: Any) -> Upscale:
    return Upscale(model=UPSCALER.id, image=loaded(width, height), **fields)


# Sizes


async def test_what_is_left_open_gets_a_default_and_a_line() -> None:
    concrete, lines = await fit(painted(), saved(width=512, height=256))
    assert (concrete.size, concrete.seed, concrete.count) == (Size(512, 256), SEED, 0)
    assert lines["size"].outcome is DEFAULTED
    assert lines["size"].sent == {"width": 512, "height": 256} == lines["size"].measured
    assert lines["seed"] == FidelityLine("seed", DEFAULTED, sent=SEED)
    assert lines["prompt"] == FidelityLine("prompt", HONORED), "long texts are not repeated"
    assert set(lines) == {"size", "seed", "prompt"}


async def test_what_is_asked_and_can_be_done_is_honored() -> None:
    asked = painted(size=Size(640, 480), seed=7, count=3, negative_prompt="cats")
    concrete, lines = await fit(asked, saved(width=640, height=480))
    assert concrete == asked
    assert {path: line.outcome for path, line in lines.items()} == dict.fromkeys(
        ("prompt", "negative_prompt", "count", "seed", "size"), HONORED
    )
    assert (lines["seed"].asked, lines["count"].asked) == (7, 3)
    assert lines["size"].asked == lines["size"].sent == lines["size"].measured == {"width": 640, "height": 480}


async def test_a_seed_beyond_json_numbers_keeps_its_digits() -> None:
    concrete, lines = await fit(painted(seed=2**64 - 1))
    assert concrete.seed == 2**64 - 1
    assert lines["seed"].asked == "18446744073709551615"


async def test_the_nearest_size_that_the_model_can_make_is_an_adjustment() -> None:
    concrete, lines = await fit(painted(size=Size(643, 477)), saved(width=640, height=480))
    assert concrete.size == Size(640, 480)
    line = lines["size"]
    assert (line.outcome, line.asked, line.sent) == (
        ADJUSTED,
        {"width": 643, "height": 477},
        {"width": 640, "height": 480},
    )
    assert "8" in line.message


@pytest.mark.parametrize(
    ("size", "sent"),
    [
        (Size(aspect_ratio="1:1"), Size(360, 360)),
        (Size(aspect_ratio="2:1"), Size(512, 256)),
        (Size(aspect_ratio="1:2", megapixels=0.03), Size(120, 248)),
        (Size(megapixels=0.26), Size(512, 512)),
        (Size(aspect_ratio="16:9", megapixels=0.4), Size(840, 472)),
    ],
)
async def test_ratios_and_areas_become_pixels(size: Size, sent: Size) -> None:
    concrete, lines = await fit(painted(size=size), saved(width=sent.width, height=sent.height))
    assert concrete.size == sent
    assert lines["size"].outcome is HONORED
    assert lines["size"].sent == {"width": sent.width, "height": sent.height}


ratios = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=60, deadline=None)
@given(ratios, st.floats(0.05, 0.45))
def test_any_ratio_and_area_is_met_within_the_models_step(ratio: tuple[int, int], megapixels: float) -> None:
    across, down = ratio
    asked = painted(size=Size(aspect_ratio=f"{across}:{down}", megapixels=megapixels))
    fake = Fake()
    try:
        asyncio.run(collect(fitted(fake, FakeProvider()), asked))
    except InvalidRequest:  # too narrow or too wide for the card: said so below
        exact = (megapixels * 1e6 * across / down) ** 0.5
        assert not (70 < exact < 1018 and 70 < exact * down / across < 1018)
        return
    (concrete,) = fake.asked
    assert isinstance(concrete, Generate)
    width, height = concrete.size.width, concrete.size.height
    assert width % 8 == height % 8 == 0
    exact = (megapixels * 1e6 * across / down) ** 0.5
    assert abs(width - exact) <= 5
    assert abs(height - exact * down / across) <= 5


@pytest.mark.parametrize(
    ("size", "fields"),
    [
        (Size(32, 512), {"size.width"}),
        (Size(512, 2048), {"size.height", "size"}),
        (Size(1024, 1024), {"size"}),
        (Size(8, 8), {"size.width", "size.height"}),
        (Size(aspect_ratio="9999:1"), {"size.width", "size.height"}),
        (Size(megapixels=40), {"size.width", "size.height", "size"}),
    ],
)
async def test_sizes_beyond_the_model_are_refused_with_what_is_allowed(size: Size, fields: set[str]) -> None:
    texts = await refusal(painted(size=size))
    assert set(texts) == fields
    for field, text in texts.items():
        assert ("0.5 megapixels" if field == "size" else "64 to 1,024 pixels") in text


async def test_a_picture_of_another_size_than_was_sent_is_told() -> None:
    _, lines = await fit(painted(size=Size(640, 480)), saved(width=600, height=480))
    assert lines["size"].outcome is ADJUSTED
    assert lines["size"].measured == {"width": 600, "height": 480}
    assert lines["size"].message


async def test_pictures_of_several_sizes_have_a_line_each() -> None:
    fake = Fake(saved(0, width=640, height=480), saved(1, width=600, height=480))
    events = await collect(fitted(fake, FakeProvider()), painted(size=Size(640, 480), count=2))
    lines = [event.line for event in events if isinstance(event, Fidelity) and event.line.path == "size"]
    assert [(line.image_index, line.outcome) for line in lines] == [(0, HONORED), (1, ADJUSTED)]


async def test_events_of_the_work_pass() -> None:
    fake = Fake(Progress(0.5), saved(width=512, height=256))
    events = await collect(fitted(fake, FakeProvider()), painted())
    assert [event for event in events if not isinstance(event, Fidelity)] == [
        Progress(0.5),
        saved(width=512, height=256),
    ]


# What a model does not read, and strictness


async def test_what_the_model_does_not_read_is_dropped_with_a_line() -> None:
    asked = painted(
        model=PLAIN.id,
        negative_prompt="cats",
        seed=7,
        size=Size(64, 64),
        preview_count=2,
        provider_options={"fake": {"strength": 0.1}},
    )
    concrete, lines = await fit(asked)
    dropped = {path: line for path, line in lines.items() if line.outcome is DROPPED}
    assert set(dropped) == {"negative_prompt", "seed", "size", "options.preview_count", f"{OPTIONS}.strength"}
    assert all(PLAIN.id in line.message for line in dropped.values())
    assert all(line.sent is None for line in dropped.values())
    assert dropped["seed"].asked == 7
    assert concrete.seed is None


async def test_a_model_without_seeds_gets_none_and_no_line() -> None:
    concrete, lines = await fit(painted(model=PLAIN.id))
    assert (concrete.seed, concrete.size) == (None, Size())
    assert set(lines) == {"prompt"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"size": Size(643, 477)}, "size"),
        ({"model": PLAIN.id, "negative_prompt": "cats"}, "negative_prompt"),
        ({"model": PLAIN.id, "seed": 1}, "seed"),
        ({"model": PLAIN.id, "size": Size(64, 64)}, "size"),
        ({"model": PLAIN.id, "preview_count": 1}, "options.preview_count"),
        ({"model": PLAIN.id, "provider_options": {"fake": {"glow": True}}}, f"{OPTIONS}.glow"),
    ],
)
async def test_strict_refuses_every_difference_before_any_work(change: dict[str, Any], field: str) -> None:
    await fit(painted(**change))
    assert set(await refusal(painted(strict=True, **change))) == {field}


async def test_strict_takes_what_can_be_done_to_the_letter_and_defaults() -> None:
    asked = painted(strict=True, size=Size(640, 480), preview_count=3, provider_options={"fake": {"strength": 0.1}})
    concrete, lines = await fit(asked)
    assert concrete.size == asked.size
    assert {line.outcome for line in lines.values()} == {HONORED, DEFAULTED}


async def test_fields_of_a_newer_client_are_dropped_or_with_strict_refused() -> None:
    _, lines = await fit(painted(unknown=("size.#9", "#77")))
    assert {lines["size.#9"].outcome, lines["#77"].outcome} == {DROPPED}
    assert set(await refusal(painted(strict=True, unknown=("size.#9", "#77")), UnknownField)) == {"size.#9", "#77"}
    mixed = painted(strict=True, unknown=("#77",), size=Size(643, 477))
    assert set(await refusal(mixed, InvalidRequest)) == {"#77", "size"}, "not only for want of a newer server"


# Texts and options


async def test_texts_longer_than_the_model_takes_are_refused_all_at_once() -> None:
    texts = await refusal(painted(prompt="x" * 21, negative_prompt="x" * 11, size=Size(8, 512)))
    assert set(texts) == {"prompt", "negative_prompt", "size.width"}
    assert "20 characters" in texts["prompt"]
    await fit(painted(prompt="x" * 20, negative_prompt="x" * 10))
    await fit(painted(model=PLAIN.id, prompt="x" * 32_000))


async def test_options_that_the_provider_knows_have_a_line_each() -> None:
    given_options = {"fake": {"strength": 0.25, "glow": True}, "other": {"whatever": 1}}
    concrete, lines = await fit(painted(provider_options=given_options))
    assert concrete.options.provider_options["fake"] == given_options["fake"]
    assert lines[f"{OPTIONS}.strength"] == FidelityLine(f"{OPTIONS}.strength", HONORED, asked=0.25)
    assert lines[f"{OPTIONS}.glow"].asked is True


@pytest.mark.parametrize(
    ("given_options", "texts"),
    [
        ({"strenght": 1}, {"strenght": "the options are: glow, mode, strength"}),
        ({"strength": "strong"}, {"strength": "number"}),
        ({"glow": 7, "Strength": 1}, {"glow": "boolean", "Strength": "is not an option of fake"}),
    ],
)
async def test_options_misspelt_or_of_another_type_are_refused(
    given_options: dict[str, Any], texts: dict[str, str]
) -> None:
    found = await refusal(painted(provider_options={"fake": given_options}))
    assert set(found) == {f"{OPTIONS}.{name}" for name in texts}
    for name, text in texts.items():
        assert text in found[f"{OPTIONS}.{name}"]


# Upscale and analyze


@pytest.mark.parametrize(
    ("source", "fields", "sent"),
    [
        ((100, 50), {"factor": 2.0}, Size(200, 100)),
        ((101, 33), {"factor": 1.5}, Size(152, 50)),
        ((1, 1), {"factor": 16.0}, Size(16, 16)),
        ((100, 50), {"factor": 1.0}, Size(100, 50)),
        ((100, 50), {"size": Size(300, 300)}, Size(300, 300)),
        ((100, 50), {"size": Size(megapixels=0.02)}, Size(200, 100)),
        ((300, 100), {"size": Size(megapixels=0.12)}, Size(600, 200)),
    ],
)
async def test_the_target_of_an_upscale_is_in_pixels(
    source: tuple[int, int], fields: dict[str, Any], sent: Size
) -> None:
    concrete, lines = await fit(upscaled(*source, **fields), saved(width=sent.width, height=sent.height))
    assert concrete.size == sent
    assert lines["size"].sent == lines["size"].measured == {"width": sent.width, "height": sent.height}
    assert {line.outcome for line in lines.values()} <= {HONORED, DEFAULTED}
    assert ("factor" in lines) == ("factor" in fields)


@pytest.mark.parametrize(
    "size", [Size(99, 100), Size(200, 49), Size(megapixels=0.001)], ids=["narrower", "lower", "smaller"]
)
async def test_an_upscale_never_makes_smaller(size: Size) -> None:
    texts = await refusal(upscaled(100, 50, size=size))
    assert "100 x 50" in texts["size"]


async def test_an_upscale_beyond_the_model_is_refused() -> None:
    assert "0.5 megapixels" in (await refusal(upscaled(900, 500, factor=1.1)))["size"]
    assert set(await refusal(upscaled(900, 1, factor=2))) == {"size.width"}


async def test_an_analysis_has_a_line_for_each_kind() -> None:
    reader = card("fake/reader", OperationKind.ANALYZE)
    asked = Analyze(model=reader.id, image=loaded(1, 1), kinds=(AnalysisKind.METADATA,))
    concrete, lines = await fit(asked, cards=(reader,))
    assert concrete == asked
    assert lines == {"kinds[0]": FidelityLine("kinds[0]", HONORED, asked="metadata")}


# All of it


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 1200), st.integers(1, 1200), st.sampled_from([1, 8, 64]), st.booleans())
def test_a_size_is_honored_adjusted_or_refused_and_strict_never_adjusts(
    width: int, height: int, step: int, strict: bool
) -> None:
    bounds = SizeRange(64, 1024, 0.5, multiple_of=step, default_width=512, default_height=256)
    model = card("fake/sized", OperationKind.GENERATE, parameter("prompt", PLAIN_TEXT), parameter("size", bounds))
    asked = replace(painted(size=Size(width, height), strict=strict), model=model.id)
    fake = Fake(lambda request: saved(width=request.size.width, height=request.size.height))
    try:
        events = asyncio.run(collect(fitted(fake, FakeProvider([model])), asked, CALL))
    except InvalidRequest as error:
        refused = error
    else:
        refused = None
    if refused:
        assert {violation.field for violation in refused.violations} <= {"size", "size.width", "size.height"}
        return
    (made,) = (request.size for request in fake.asked if isinstance(request, Generate))
    (line,) = (event.line for event in events if isinstance(event, Fidelity) and event.line.path == "size")
    assert made.width % step == made.height % step == 0
    room = made.width * made.height + step * max(made.width, made.height) <= 0.5e6
    for made_side, side in ((made.width, width), (made.height, height)):
        near = step / 2 if room else step  # the nearest, or the next one where that is beyond the area
        assert abs(made_side - max(side, step)) <= near, "the nearest, and one step at least"
    assert min(made.width, made.height) >= 64 and max(made.width, made.height) <= 1024
    assert made.width * made.height <= 0.5e6
    assert line.outcome is (HONORED if made == Size(width, height) else ADJUSTED)
    assert not strict or line.outcome is HONORED


PLAIN_TEXT = PLAIN.parameters[OperationKind.GENERATE][0].range


@pytest.mark.parametrize(("previews", "sent"), [(True, 2), (False, 0)])
async def test_no_previews_are_made_for_a_caller_who_sees_none(previews: bool, sent: int) -> None:
    """The line of the field says the same for both: a unary call asks for no previews, whatever the number is."""
    fake, request = Fake(saved()), Generate(model="fake/one", prompt="a", options=RequestOptions(preview_count=2))
    events = await collect(fitted(fake, FakeProvider()), request, replace(CALL, is_watched=previews))
    assert [asked.options.preview_count for asked in fake.asked] == [sent]
    lines = [event.line for event in events if isinstance(event, Fidelity)]
    assert [line.outcome for line in lines if line.path == "options.preview_count"] == [HONORED]
