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
    """`options.provider_options["local"]`.

    `tile` is the side of an upscaler's tiles in pixels of the source; `ocr` False leaves out text from an analysis.
    """

    tile: Annotated[int, Field(ge=32, le=512)] | None = None
    ocr: bool = True
