"""The local models, one file each with its card and its task; figures are those of docs/engines and `bench/`."""

from celeste_image.providers.local.models import (
    analyze,
    background,
    compose,
    lanczos,
    patchmatch,
    realesrgan,
    restyle,
    safety,
)

__all__ = ["MODELS"]

MODELS = (
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
"""In the order of preference: for a request that names no model, the first that does it and is ready."""
