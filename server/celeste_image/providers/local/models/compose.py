"""local/compose: vector art of what a prompt names, over a seeded scene."""

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
        "Finds the things in a prompt, how they lie to one another, settings, counts and colors, and composes vector "
        "art of them over a seeded scene; a small network can paint it in one of 26 styles. It reads nouns and what "
        "joins them, not sentences. It is not a diffusion model."
    ),
    parameters={
        OperationKind.GENERATE: (
            Parameter("prompt", TextRange(2000), "Prompt", "What to show: things, a setting, a time.", required=True),
            Parameter("negative_prompt", TextRange(2000), "Negative prompt", "Things to leave out."),
            Parameter("size", SizeRange(64, 2048, 4.2, default_width=768, default_height=512), "Size", "Any ratio."),
            Parameter("count", IntegerRange(1, 16, default=1), "Count", "One call makes one; more are split."),
            SEED,
            Parameter(
                "style",
                ChoiceRange(tuple(STYLES)),
                "Style",
                "Paints the picture in one of the styles of local/restyle, whose weights it needs; none by itself.",
            ),
        )
    },
    license="Apache-2.0 AND MIT",
    source="Noto Emoji by @iconify-json/noto; names by emojibase-data; about 50 drawings of our own",
    checked_on="2026-11-28",
    previews=True,
    trained=False,
)


def task(request: Generate, options: LocalOptions) -> Task:
    """Returns the engine's task. Raises WeightsMissing where a style is asked for that can't be painted now."""
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


MODEL = LocalModel(CARD, "compose", 3072 * MIB, task)
