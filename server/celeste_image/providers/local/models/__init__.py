"""The local models, one file each with its card and its task; figures are those of docs/engines and `bench/`."""

from celeste_image.providers.local.models import (
    analyze,
    background,
    compose,
    diffusion,
    lanczos,
    patchmatch,
    realesrgan,
    restyle,
    safety,
)
from celeste_image.providers.local.models.model import LocalModel

__all__ = ["MODELS", "all_models"]

MODELS: tuple[LocalModel, ...] = (
    diffusion.SD_TURBO,
    compose.MODEL,
    patchmatch.MODEL,
    restyle.MODEL,
    background.MODEL,
    realesrgan.COMPACT,
    realesrgan.LARGE,
    lanczos.MODEL,
    analyze.MODEL,
    safety.MODEL,
)
"""In the order of preference: for a request that names no model, the first that does what is asked and is ready."""


def all_models() -> tuple[LocalModel, ...]:
    """Returns these and the diffusion models in the models folder, which stand where the known one does.

    One in the folder takes the place of the one that is known by its name, and never that of another.
    """
    found = {model.card.id: model for model in diffusion.found()}
    models: list[LocalModel] = []
    for model in MODELS:
        if model is diffusion.SD_TURBO:
            models.append(found.pop(model.card.id, model))
            models += [other for id_, other in found.items() if id_ not in {known.card.id for known in MODELS}]
        else:
            models.append(model)
    return tuple(models)
