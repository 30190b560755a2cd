"""What becomes of edits on their way to a model: done, dropped with a line, or refused before any work."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import cast

import pytest
from tests.support.fake_provider import fitted

from celeste_image.core.call import Call, Candidate
from celeste_image.core.card import ModelCard, Parameter, TextRange
from celeste_image.core.edits import Erase, Inpaint, Mask, Outpaint, Restyle
from celeste_image.core.errors import InvalidRequest
from celeste_image.core.events import Event, Fidelity, Progress
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.image import ImageFacts, ImageInput
from celeste_image.core.request import Edit, ImageRequest, OperationKind, RequestOptions
from celeste_image.providers.base import Provider
from celeste_image.providers.local.models.patchmatch import CARD as PATCHMATCH
from celeste_image.providers.local.provider import LocalOptions

PAINTER = replace(
    PATCHMATCH,
    id="local/painter",
    parameters={OperationKind.EDIT: (Parameter("outpaint.prompt", TextRange(), "Prompt", ""),)},
    edits=("recolor", "outpaint", "restyle"),
)


class Local:
    name = "local"
    Options = LocalOptions

    def __init__(self, *cards: ModelCard) -> None:
        self.cards = cards


def picture(width: int = 64, height: int = 48) -> ImageInput:
    return ImageInput(b"-", facts=ImageFacts("image/png", width, height, 1, "0" * 64, "RGB", False))


def edit(
    change: Erase | Inpaint | Outpaint | Restyle,
    source: ImageInput | None = None,
    model: str = PATCHMATCH.id,
    strict: bool = False,
) -> Edit:
    options = RequestOptions(strict=strict)
    return Edit(model=model, image=source or picture(), edit=change, options=options)


async def fit(request: Edit, *cards: ModelCard) -> tuple[dict[str, FidelityLine], ImageRequest]:
    """Returns the lines by their paths, and the request as the model gets it."""
    got: list[ImageRequest] = []

    async def run(concrete: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        got.append(concrete)
        yield Progress(1.0)

    provider = cast(Provider, Local(*(cards or (PATCHMATCH,))))
    events = [event async for event in fitted(run, provider, draw=lambda: 5)(request, Call("id"))]
    (concrete,) = got
    return {event.line.path: event.line for event in events if isinstance(event, Fidelity)}, concrete


async def test_an_erasure_is_honored_and_gets_a_seed() -> None:
    lines, concrete = await fit(edit(Erase(Mask(picture()))))
    assert {path: line.outcome for path, line in lines.items()} == {
        "erase": FidelityOutcome.HONORED,
        "seed": FidelityOutcome.DEFAULTED,
    }
    assert isinstance(concrete, Edit)
    assert concrete.seed == 5


async def test_what_work_does_not_keep_of_an_image_is_a_line_that_refuses_nothing() -> None:
    notes = ("has 16 bits a channel; work on its pixels uses 8", "the end of its file is missing")
    source = picture()
    assert source.facts
    source = replace(source, facts=replace(source.facts, notes=notes))
    lines, _ = await fit(edit(Erase(Mask(picture())), source, strict=True))
    assert (lines["image"].outcome, lines["image"].message) == (FidelityOutcome.ADJUSTED, "; ".join(notes))
    lines, _ = await fit(edit(Erase(Mask(source))))
    assert lines["erase.mask.image"].message == "; ".join(notes)
    assert "image" not in lines


async def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"erase\.mask\.image: must be as large"):
        await fit(edit(Erase(Mask(picture(48, 64)))))


async def test_a_prompt_that_the_model_can_not_use_is_dropped() -> None:
    lines, _ = await fit(edit(Outpaint(left=8, prompt="more sky")))
    assert lines["outpaint"].outcome is FidelityOutcome.HONORED
    assert lines["outpaint.prompt"].outcome is FidelityOutcome.DROPPED
    assert lines["outpaint.prompt"].message.startswith(
        "local/patchmatch does not read it; it fills with what is around;"
    )
    with pytest.raises(InvalidRequest, match=r"outpaint\.prompt"):
        await fit(edit(Outpaint(left=8, prompt="more sky"), strict=True))


async def test_zero_of_an_optional_number_is_a_value() -> None:
    lines, _ = await fit(edit(Restyle(prompt="ink", strength=0.0), model=PAINTER.id), PAINTER)
    assert lines["restyle.strength"].outcome is FidelityOutcome.DROPPED
    assert lines["restyle.strength"].asked == 0
    with pytest.raises(InvalidRequest, match=r"restyle\.strength"):
        await fit(edit(Restyle(prompt="ink", strength=0.0), model=PAINTER.id, strict=True), PAINTER)


async def test_an_inpainting_goes_without_a_prompt_that_the_model_can_not_use() -> None:
    lines, _ = await fit(edit(Inpaint(Mask(picture(), feather=3), "a cat")))
    assert {path: line.outcome.value for path, line in lines.items() if path != "seed"} == {
        "inpaint": "honored",
        "inpaint.mask.feather": "honored",
        "inpaint.prompt": "dropped",
    }
    with pytest.raises(InvalidRequest, match=r"inpaint\.prompt"):
        await fit(edit(Inpaint(Mask(picture()), "a cat"), strict=True))


async def test_a_prompt_that_the_model_reads_is_honored() -> None:
    lines, _ = await fit(edit(Outpaint(left=8, prompt="more sky"), model=PAINTER.id), PAINTER)
    assert lines["outpaint.prompt"].outcome is FidelityOutcome.HONORED


@pytest.mark.parametrize("card", [PATCHMATCH, PAINTER])
@pytest.mark.parametrize(
    ("source", "change", "good"),
    [
        (picture(8_192, 10), Outpaint(left=8_192), True),
        (picture(8_193, 10), Outpaint(left=8_192), False),
        (picture(10, 8_193), Outpaint(top=8_000, bottom=192), False),
        (picture(4_000, 4_000), Outpaint(left=3_000, right=3_000), True),
        (picture(4_000, 4_000), Outpaint(left=3_000, right=3_001), False),
    ],
)
async def test_the_grown_picture_is_within_the_limits(
    card: ModelCard, source: ImageInput, change: Outpaint, good: bool
) -> None:
    request = edit(change, source, model=card.id)
    if good:
        await fit(request, card)
        return
    with pytest.raises(InvalidRequest, match="outpaint: must make at most 16,384 pixels a side") as caught:
        await fit(request, card)
    assert [violation.field for violation in caught.value.violations] == ["outpaint"]
