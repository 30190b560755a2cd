"""Listings stop at the page: what is read for a page does not grow with the number of artifacts."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from tests.support.stores import OWNER, StoreSetup

from celeste_image.store import ArtifactStore
from celeste_image.store.backend import AT_ONCE, Backend
from celeste_image.store.database_index import PAGE_ROWS

STORED = 150


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns a list that gets the number of entries of each read."""
    reads: list[int] = []
    read_rows, in_turn = Backend.read_rows, Backend.in_turn

    async def rows(backend: Backend, work: Any) -> Any:
        result = await read_rows(backend, work)
        reads.append(len(result))
        return result

    async def one(backend: Backend, read: Any, *arguments: object) -> Any:
        reads.append(1)
        return await in_turn(backend, read, *arguments)

    monkeypatch.setattr(Backend, "read_rows", rows)
    monkeypatch.setattr(Backend, "in_turn", one)
    return reads


PAGES = [(1, 0), (1, 140), (20, 60), (STORED, 0)]


async def filled(store: ArtifactStore) -> list[str]:
    """Stores artifacts and returns their names in order."""
    stored = await asyncio.gather(*(store.put(OWNER, b"%d" % number) for number in range(STORED)))
    return sorted(artifact.name for artifact in stored)


async def test_a_page_reads_a_page(setup: StoreSetup, read: list[int]) -> None:
    names = await filled(setup.store)
    at_once = PAGE_ROWS if setup.backend.database else AT_ONCE
    for page, start in PAGES:
        read.clear()
        found: list[str] = []
        async with aclosing(setup.store.owned(OWNER, names[start - 1] if start else "")) as artifacts:
            async for artifact in artifacts:
                found.append(artifact.name)
                if len(found) == page:
                    break
        assert found == names[start : start + page]
        assert sum(read) <= -(-page // at_once) * at_once


async def test_names_are_listed_a_few_at_a_time(setup: StoreSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    if setup.backend.database:
        pytest.skip("its entries are in the database")
    await filled(setup.store)
    listed = 0
    listing = type(setup.backend.objects).list

    def counted(objects: Any, *arguments: Any, **options: Any) -> Any:
        async def pages() -> Any:
            nonlocal listed
            async for page in listing(objects, *arguments, **options):
                listed += len(page)
                yield page

        return pages()

    monkeypatch.setattr(type(setup.backend.objects), "list", counted)
    async with aclosing(setup.store.owned(OWNER)) as artifacts:
        await anext(artifacts)
    assert listed <= STORED / 3
