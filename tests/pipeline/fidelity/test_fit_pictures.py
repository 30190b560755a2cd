"""fitting, where a card says what pictures it takes, how far it grows them, and that it chooses the pixels itself."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.fake_provider import Fake, FakeProvider, card, collect, fitted, parameter, saved

from celeste_image.core.card import ImageRange, IntegerRange, SizeRange, TextRange
from celeste_image.core.edits import Instruct, Outpaint
from celeste_image.core.errors import InvalidRequest
from celeste_image.core.events import Fidelity
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.image import ImageFacts, ImageInput, ImageReference, Size
from celeste_image.core.request import (
    Edit,
    Generate,
    ImageRequest,
    OperationKind,
    RequestOptions,
)

EDITOR = card(
    "fake/editor",
    OperationKind.EDIT,
    parameter("image", ImageRange(("image/png", "image/jpeg"), 1)),
    parameter("references", ImageRange(("image/png",), 1, maximum_count=2)),
    parameter("instruct.prompt", TextRange()),
    parameter("outpaint.left", IntegerRange(0, 100)),
    edits=("instruct", "outpaint"),
    outpaint=SizeRange(1, 9000, 40),
)
SHAPED = card(
    "fake/shaped",
    OperationKind.GENERATE,
    parameter("prompt", TextRange()),
    parameter("size", SizeRange(256, 2048, 4, default_width=1024, default_height=1024, ratios=("1:1", "3:2"))),
)


def picture(media_type: str = "image/png", width: int = 100, height: int = 100) -> ImageInput:
    return ImageInput(b"-", facts=ImageFacts(media_type, width, height, 1, "0" * 64, "RGB", False))


def edited(image: ImageInput, *references: ImageInput, **fields: Any) -> Edit:
    return Edit(
        **{
            "model": EDITOR.id,
            "image": image,
            "references": tuple(map(ImageReference, references)),
            "edit": Instruct("x"),
        }
        | fields
    )


async def lines_of(request: ImageRequest, *made: Any) -> dict[str, FidelityLine]:
    events = await collect(fitted(Fake(*made), FakeProvider((EDITOR, SHAPED))), request)
    return {event.line.path: event.line for event in events if isinstance(event, Fidelity)}


@pytest.mark.parametrize(
    ("request_", "field", "text"),
    [
        (edited(picture("image/avif")), "image", "image/png, image/jpeg"),
        (edited(picture(width=2000, height=1000)), "image", "1 megapixels"),
        (edited(picture(), picture(), picture("image/jpeg")), "references[1].image", "image/png"),
        (edited(picture(), picture(), picture(), picture()), "references", "2 images"),
        (edited(picture(), edit=Outpaint(left=101)), "outpaint.left", "at most 100"),
        (edited(picture(), edit=Outpaint(right=9000)), "outpaint", "9,000"),
    ],
)
async def test_pictures_that_a_model_does_not_take_are_refused(request_: Edit, field: str, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await lines_of(request_)
    assert text in {v.field: v.text for v in caught.value.violations}[field]


async def test_pictures_that_it_takes_pass() -> None:
    lines = await lines_of(edited(picture("image/jpeg"), picture(), edit=Outpaint(left=100, right=500)))
    assert {line.outcome for line in lines.values()} == {FidelityOutcome.HONORED}


@pytest.mark.parametrize(
    ("size", "made", "outcome"),
    [
        (Size(aspect_ratio="3:2"), (1216, 816), FidelityOutcome.HONORED),
        (Size(aspect_ratio="3:2"), (1024, 1024), FidelityOutcome.ADJUSTED),
        (Size(1500, 1000), (1216, 816), FidelityOutcome.ADJUSTED),
        (Size(1500, 1000), (1500, 1000), FidelityOutcome.HONORED),
        (Size(megapixels=2), (1024, 1024), FidelityOutcome.ADJUSTED),
        (Size(aspect_ratio="2:1"), (1216, 816), FidelityOutcome.ADJUSTED),
        (Size(), (1024, 1024), FidelityOutcome.DEFAULTED),
    ],
)
async def test_pixels_asked_of_a_model_that_takes_ratios(
    size: Size, made: tuple[int, int], outcome: FidelityOutcome
) -> None:
    request = Generate(model=SHAPED.id, prompt="x", size=size)
    line = (await lines_of(request, saved(width=made[0], height=made[1])))["size"]
    assert line.outcome is outcome
    assert line.measured == {"width": made[0], "height": made[1]}
    assert bool(line.message) == (outcome is FidelityOutcome.ADJUSTED)


async def test_strict_refuses_pixels_that_nobody_can_promise() -> None:
    request = Generate(model=SHAPED.id, prompt="x", size=Size(1500, 1000), options=RequestOptions(strict=True))
    with pytest.raises(InvalidRequest, match="chooses the pixels"):
        await lines_of(request)
    await lines_of(replace(request, size=Size(aspect_ratio="3:2")), saved(width=1216, height=816))
