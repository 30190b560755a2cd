from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from celeste_image.sandbox.pool import WorkerPool


@pytest.fixture
def lines() -> list[str]:
    """Lines that the workers wrote to standard error."""
    return []


@pytest.fixture
async def make_pool(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> AsyncIterator[Callable[..., WorkerPool]]:
    """Makes pools of the engine `acts`, and closes them."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pools: list[WorkerPool] = []

    def make(module: str = "tests.sandbox.engines.acts", **parameters: Any) -> WorkerPool:
        pools.append(WorkerPool(module, **({"on_log": lines.append} | parameters)))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()
