"""A database for each kind that the ledger can be on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.spending import Place, empty_place


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with empty_place(request.param, tmp_path, lambda: request.getfixturevalue("postgres")) as made:
        yield made
