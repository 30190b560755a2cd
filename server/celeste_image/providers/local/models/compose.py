"""local/compose: vector art of what a prompt names, over a seeded scene."""

from celeste_image.core.card import IntegerRange, ModelCard, Parameter, SizeRange, TextRange
from celeste_image.core.request import Generate, OperationKind
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import SEED
from celeste_image.providers.local.options import LocalOptions

__all__ = ["MODEL"]

CARD = ModelCard(
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
            SEED,
        )
    },
    license="Apache-2.0 AND MIT",
    source="Noto Emoji by @iconify-json/noto; names by emojibase-data",
    checked_on="2026-11-22",
    previews=True,
    trained=False,
)


def task(request: Generate, options: LocalOptions) -> Task:
    """Returns the engine's task."""
    fields = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "width": request.size.width,
        "height": request.size.height,
        "seed": request.seed,
        "preview": request.options.preview_count > 0,
    }
    return fields, ()


MODEL = LocalModel(CARD, "compose", 1024 * MIB, task)
