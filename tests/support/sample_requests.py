"""Sample requests: one for each operation that a model's card offers."""

from collections.abc import Iterator, Sequence

from tests.support import pictures

from celeste_image.core.card import ChoiceRange, ModelCard, NumberRange, SizeRange
from celeste_image.core.edits import (
    EDITS,
    AnyEdit,
    Control,
    Erase,
    Inpaint,
    Instruct,
    Mask,
    Outpaint,
    Recolor,
    Relight,
    RemoveBackground,
    ReplaceBackground,
    Restyle,
    SearchReplace,
    Vary,
)
from celeste_image.core.image import ImageInput, Size
from celeste_image.core.request import Analyze, Edit, Generate, ImageRequest, OperationKind, Upscale

__all__ = ["GROWN", "HOLE", "SIDE", "SOURCE", "edits_for", "requests_for"]

SIDE = 256
"""Width and height of the source image, in pixels; FLUX.1 takes no smaller ones."""
HOLE = (96, 96, 160, 160)
"""The white box of the mask: left, top, right, bottom."""
GROWN = Outpaint(left=16, top=8)
SOURCE = ImageInput(data=pictures.photo(SIDE))
OTHER = ImageInput(data=pictures.plain(SIDE, SIDE))
MASK = Mask(ImageInput(data=pictures.mask(SIDE, SIDE, HOLE)))
SAMPLES: Sequence[AnyEdit] = (
    Erase(MASK),
    Inpaint(MASK, "a bird"),
    GROWN,
    Instruct("make it blue"),
    RemoveBackground(),
    ReplaceBackground("a beach"),
    Restyle(style_image=OTHER),
    Recolor("the hat", "red"),
    SearchReplace("the helmet", "a hat"),
    Relight("warm evening light"),
    Control("", "a robot"),
    Vary(),
)


def requests_for(card: ModelCard) -> Iterator[ImageRequest]:
    """Yields a request for each operation of a card, with a size where the card has no default."""
    for kind in card.operations:
        paths = {parameter.path for parameter in card.parameters[kind]}
        seed = 7 if "seed" in paths else None
        match kind:
            case OperationKind.GENERATE:
                yield Generate(model=card.id, prompt="a boat on the sea", seed=seed, size=_size(card))
            case OperationKind.EDIT:
                for edit in edits_for(card):
                    yield Edit(model=card.id, image=SOURCE, edit=edit, seed=seed)
            case OperationKind.UPSCALE:
                words = "a face" if "prompt" in paths else ""
                yield Upscale(model=card.id, image=SOURCE, prompt=words, factor=_factor(card))
                if "factor" in paths:
                    yield Upscale(model=card.id, image=SOURCE, prompt=words, size=Size(400, 360))
            case OperationKind.ANALYZE:
                yield Analyze(model=card.id, image=SOURCE)


def edits_for(card: ModelCard) -> Iterator[AnyEdit]:
    """Yields an edit of each kind that a card offers."""
    assert {type(sample) for sample in SAMPLES} == set(EDITS.values())
    for sample in SAMPLES:
        if sample.field in card.edits:
            yield Control(_first(card), "a robot") if isinstance(sample, Control) else sample


def _first(card: ModelCard) -> str:
    known = card.parameter(OperationKind.EDIT, "control.control")
    return known.range.values[0] if known and isinstance(known.range, ChoiceRange) else "structure"


def _factor(card: ModelCard) -> float:
    known = card.parameter(OperationKind.UPSCALE, "factor")
    if known is None:
        return 4.0
    return max(2.0, (isinstance(known.range, NumberRange) and known.range.minimum) or 0.0)


def _size(card: ModelCard) -> Size:
    known = card.parameter(OperationKind.GENERATE, "size")
    if known is None or not isinstance(known.range, SizeRange) or known.range.default_width:
        return Size()
    return Size(aspect_ratio="1:1") if known.range.ratios else Size(1024, 1024)
