"""local/lanczos: classic resampling."""

from celeste_image.core.card import ModelCard
from celeste_image.core.request import OperationKind, Upscale
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import FACTOR, SOURCE, TARGET
from celeste_image.providers.local.options import LocalOptions

__all__ = ["MODEL", "task"]

CARD = ModelCard(
    id="local/lanczos",
    title="Lanczos resampling",
    summary="Classic resampling with a Lanczos filter: invents nothing, needs no weights.",
    parameters={OperationKind.UPSCALE: (SOURCE, FACTOR, TARGET)},
    checked_on="2026-11-22",
    previews=True,
    trained=False,
)


def task(request: Upscale, options: LocalOptions) -> Task:
    """Returns an upscaler's task."""
    return {"width": request.size.width, "height": request.size.height, "tile": options.tile}, (request.image.data,)


MODEL = LocalModel(CARD, "lanczos", 2048 * MIB, task)
