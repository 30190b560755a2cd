"""The local models: one file each, with the model's card and its task. Figures come from docs/engines and `bench/`."""

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
"""All models by preference: a request without a model gets the first ready model that supports it."""


def all_models() -> tuple[LocalModel, ...]:
    """Returns the models of this machine: MODELS, with the diffusion models of the models folder in place of SD_TURBO.

    A folder named `sd-turbo` replaces the built-in SD_TURBO. A folder named like another built-in model is ignored.
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
