"""Settings and options of the local provider."""

import os
from typing import Annotated

from pydantic import Field

from celeste_image.providers.base import Options, ProviderSettings

__all__ = ["LocalOptions", "LocalSettings"]


class LocalSettings(ProviderSettings):
    """`[providers.local]`; `threads` are those of one engine's numeric work."""

    concurrency: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: max(1, (os.cpu_count() or 2) // 2))
    threads: Annotated[int, Field(ge=1)] = 2


class LocalOptions(Options):
    """`options.provider_options["local"]`; None is the model's default.

    Attributes:
        tile: Side of an upscaler's tiles in pixels of the source.
        ocr: Whether an analysis looks for text.
        steps: How often a diffusion model takes noise away.
        guidance: How much a diffusion model minds the words; up to 1 it reads them alone, and no negative prompt.
    """

    tile: Annotated[int, Field(ge=32, le=512)] | None = None
    ocr: bool = True
    steps: Annotated[int, Field(ge=1, le=150)] | None = None
    guidance: Annotated[float, Field(ge=0, le=30)] | None = None
