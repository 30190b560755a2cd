"""local/lanczos: upscales by classic resampling."""

from celeste_image.core.card import ModelCard
from celeste_image.core.request import OperationKind, Upscale, UpscaleMode
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import FACTOR, SOURCE, TARGET, mode
from celeste_image.providers.local.options import LocalOptions

__all__ = ["MODEL"]

CARD = ModelCard(
    id="local/lanczos",
    title="Lanczos resampling",
    summary="Classic resampling with a Lanczos filter: adds no detail, needs no weights.",
    parameters={OperationKind.UPSCALE: (SOURCE, FACTOR, TARGET, mode(UpscaleMode.CONSERVATIVE, UpscaleMode.FAST))},
    checked_on="2026-11-22",
    previews=True,
    trained=False,
)


def task(request: Upscale, options: LocalOptions) -> Task:
    """Returns the engine's task."""
    return {"width": request.size.width, "height": request.size.height}, (request.image.data,)


MODEL = LocalModel(CARD, "lanczos", 2048 * MIB, task, small_megapixels=16)
