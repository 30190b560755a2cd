"""local/compose: draws the things that a prompt names as vector art, over a seeded scene."""

from celeste_image.core.card import ChoiceRange, IntegerRange, ModelCard, Parameter, SizeRange, TextRange
from celeste_image.core.request import Generate, OperationKind
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.restyle import STYLES
from celeste_image.providers.local.models.shared import SEED
from celeste_image.providers.local.options import LocalOptions
from celeste_image.providers.local.weights import packages

__all__ = ["MODEL"]

CARD = ModelCard(
    id="local/compose",
    title="Scene composer",
    summary=(
        "Finds things, counts, colors, relations and settings in a prompt and draws them as vector art over a seeded "
        "scene; a small network can paint the result in one of 26 styles. It reads nouns and the words that relate "
        "them, not sentences. It is not a diffusion model."
    ),
    parameters={
        OperationKind.GENERATE: (
            Parameter("prompt", TextRange(2000), "Prompt", "What to show: things, a setting, a time.", required=True),
            Parameter("negative_prompt", TextRange(2000), "Negative prompt", "Things to leave out."),
            Parameter("size", SizeRange(64, 2048, 4.2, default_width=768, default_height=512), "Size", "Any ratio."),
            Parameter("count", IntegerRange(1, 16, default=1), "Count", "Number of images; each takes one call."),
            SEED,
            Parameter(
                "style",
                ChoiceRange(tuple(STYLES)),
                "Style",
                "Paints the image in a style of local/restyle, whose weights it needs. Default: no style.",
            ),
        )
    },
    license="Apache-2.0 AND MIT",
    source="Noto Emoji from @iconify-json/noto; names from emojibase-data; about 50 drawings of our own",
    checked_on="2026-11-28",
    previews=True,
    trained=False,
)


def task(request: Generate, options: LocalOptions) -> Task:
    """Returns the engine's task. Raises WeightsMissing if a style is requested and its weights are absent."""
    style = None
    if request.style:
        if not packages.installed("restyle"):
            raise packages.missing(packages.named("restyle"), "the weights for a style are not on this machine")
        style = {"number": STYLES[request.style], "folder": str(packages.folder("restyle"))}
    fields = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "width": request.size.width,
        "height": request.size.height,
        "seed": request.seed,
        "preview": request.options.preview_count > 0,
        "style": style,
    }
    return fields, ()


MODEL = LocalModel(CARD, "compose", 3072 * MIB, task, reads="restyle")
