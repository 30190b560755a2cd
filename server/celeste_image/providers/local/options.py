"""Settings (`[providers.local]`) and per-request options of the local provider."""

import os
from typing import Annotated

from pydantic import Field

from celeste_image.providers.base import Options, ProviderSettings

__all__ = ["LocalOptions", "LocalSettings"]


def _cores() -> int:
    """Returns the CPUs that this process may use; a container may have fewer than its machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalSettings(ProviderSettings):
    """`[providers.local]`: the engines of this machine."""

    concurrency: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: max(1, _cores() // 2))
    """Calls that may run at a time; half the CPUs by default."""
    small_concurrency: Annotated[int, Field(ge=0)] = Field(default_factory=lambda: max(1, _cores() - _cores() // 2))
    """Calls of small work that may run beside `concurrency`, in processes of their own; the other CPUs by default,
    since most small work has one thread."""
    threads: Annotated[int, Field(ge=1)] = 2
    """CPU threads of one engine."""
    engine_seconds: Annotated[float, Field(gt=0)] = 1800
    """Longest time that an engine may work for one call."""


class LocalOptions(Options):
    """The options in `options.provider_options["local"]`; None means the model's default.

    Attributes:
        tile: Side of an upscaler's tiles, in source pixels.
        ocr: Whether an analysis reads text in the image.
        steps: Denoising steps of a diffusion model.
        guidance: How strongly a diffusion model follows the prompt. At 1 or less guidance is off and the negative
            prompt is ignored.
    """

    tile: Annotated[int, Field(ge=32, le=512)] | None = None
    ocr: bool = True
    steps: Annotated[int, Field(ge=1, le=150)] | None = None
    guidance: Annotated[float, Field(ge=0, le=30)] | None = None
