"""local/metadata: what a picture says about itself."""

from celeste_image.core.card import ChoiceRange, ModelCard, Parameter
from celeste_image.core.request import AnalysisKind, Analyze, OperationKind
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import SOURCE
from celeste_image.providers.local.options import LocalOptions

__all__ = ["MODEL"]

CARD = ModelCard(
    id="local/metadata",
    title="Metadata reader",
    summary="Reads what a picture says about itself: format, size, colour, EXIF, GPS, PNG text, ICC profile.",
    parameters={
        OperationKind.ANALYZE: (
            SOURCE,
            Parameter("kinds", ChoiceRange((AnalysisKind.METADATA,)), "Kinds", "What to find; empty means all."),
        )
    },
    checked_on="2026-11-22",
    max_count=0,
)


def task(request: Analyze, options: LocalOptions) -> Task:
    """Returns the engine's task."""
    return {}, (request.image.data,)


MODEL = LocalModel(CARD, "metadata", 1024 * MIB, task)
