"""The local models, one file each with its card and its task; facts measured in LOCAL-ENGINES and in `bench/`."""

from celeste_image.providers.local.models import analyze, compose, lanczos, patchmatch, realesrgan

__all__ = ["MODELS"]

MODELS = (compose.MODEL, patchmatch.MODEL, realesrgan.COMPACT, lanczos.MODEL, analyze.MODEL)
"""In the order of preference: for a request that names no model, the first that does it and is ready."""
