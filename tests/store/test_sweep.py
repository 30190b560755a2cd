"""Sweeps: expired and abandoned things are removed, young ones stay, and a concurrent put loses nothing."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any

import pytest
from obstore.store import S3Store
from tests.support.changing_objects import meddled
from tests.support.stores import LARGE_BYTES, OTHER, OWNER, StoreSetup, name_of, path_of, swept

from celeste_image.core.artifact import Lineage
from celeste_image.core.errors import ArtifactNotFound
from celeste_image.database import Database
from celeste_image.store import ArtifactStore, blobs

HOUR = timedelta(hours=1)
ONE, TWO, PART = b"one" * 100, b"two" * 100, b"part" * 100
LARGE, OTHER_LARGE = b"1" * LARGE_BYTES, b"2" * LARGE_BYTES


async def begin(store: ArtifactStore, data: bytes) -> None:
    async with store.upload(OWNER, name_of(data)) as upload:
        await store.write(upload, len(data), 0, data[:7])


async def test_nothing_young_goes(setup: StoreSetup) -> None:
    store = setup.again(retention_hours=24)
    await store.put(OWNER, ONE)
    await setup.write(path_of(name_of(TWO)), TWO)  # written, not yet in the index
    await begin(store, PART)
    for ahead in (0.0, 0.99):
        setup.clock.ahead = ahead * HOUR
        assert await swept(store) == (0, 0, 0)
    assert await store.get(OWNER, name_of(ONE)) == ONE
    assert await store.committed(OWNER, name_of(PART)) == (7, None)
    assert (await store.put(OWNER, TWO)).name == name_of(TWO)


async def test_an_expired_artifact_goes_with_its_bytes(setup: StoreSetup) -> None:
    store = setup.again(retention_hours=24)
    artifact = await store.put(OWNER, ONE)
    assert artifact.expires is not None
    assert artifact.created is not None
    assert artifact.expires - artifact.created == 24 * HOUR
    setup.clock.ahead = 23.9 * HOUR
    assert await swept(store) == (0, 0, 0)
    assert await store.get(OWNER, artifact.name) == ONE
    setup.clock.ahead = 24.1 * HOUR
    for ask in (store.get, store.open, store.find):  # at once, not at the next sweep
        with pytest.raises(ArtifactNotFound):
            await ask(OWNER, artifact.name)
    assert [found async for found in store.owned(OWNER)] == []
    assert await store.missing(OWNER, [artifact.name]) == [artifact.name]
    assert await swept(store) == (1, 1, 0)
    assert await setup.paths() == []
    assert await swept(store) == (0, 0, 0)


async def test_without_retention_artifacts_stay_forever(setup: StoreSetup) -> None:
    assert (await setup.store.put(OWNER, ONE)).expires is None
    setup.clock.ahead = 24 * 365 * 50 * HOUR
    assert await swept(setup.store) == (0, 0, 0)
    assert await setup.store.get(OWNER, name_of(ONE)) == ONE


async def test_storing_again_postpones_expiry(on_disk: StoreSetup) -> None:
    store = on_disk.again(retention_hours=24)
    await store.put(OWNER, ONE)
    on_disk.clock.ahead = 23 * HOUR
    await store.put(OWNER, ONE)
    on_disk.clock.ahead = 25 * HOUR
    assert await swept(store) == (0, 0, 0)
    assert await store.get(OWNER, name_of(ONE)) == ONE
    on_disk.clock.ahead = 48 * HOUR
    assert await swept(store) == (1, 1, 0)


async def test_an_expired_artifact_starts_afresh_when_it_is_stored_again(setup: StoreSetup) -> None:
    store = setup.again(retention_hours=1)
    made = Lineage("a-request", "generate", "local/compose", setup.clock())
    await store.put(OWNER, ONE, width=5, height=5, lineage=made)
    setup.clock.ahead = 2 * HOUR
    artifact = await store.put(OWNER, ONE)
    assert (artifact.lineages, artifact.width) == ((), 0)
    assert artifact.created is not None
    assert setup.clock() - artifact.created < HOUR


async def test_bytes_go_an_hour_after_the_last_owner(setup: StoreSetup) -> None:
    store = setup.store
    for owner in (OWNER, OTHER):
        await store.put(owner, LARGE)
    await store.put(OTHER, OTHER_LARGE)
    await store.delete(OWNER, name_of(LARGE))
    setup.clock.ahead = 2 * HOUR
    assert await swept(store) == (0, 0, 0)
    assert await store.get(OTHER, name_of(LARGE)) == LARGE
    await store.delete(OTHER, name_of(LARGE))
    setup.clock.ahead = 0 * HOUR
    assert await swept(store) == (0, 0, 0)
    setup.clock.ahead = 2 * HOUR
    assert await swept(store) == (0, 1, 0)
    assert await setup.paths("sha256/") == [path_of(name_of(OTHER_LARGE))]
    assert await store.get(OTHER, name_of(OTHER_LARGE)) == OTHER_LARGE


async def test_few_bytes_on_a_disk_go_with_their_last_owner(on_disk: StoreSetup) -> None:
    store = on_disk.store
    for owner in (OWNER, OTHER):
        await store.put(owner, ONE)
    await store.delete(OWNER, name_of(ONE))
    assert await store.get(OTHER, name_of(ONE)) == ONE
    await store.delete(OTHER, name_of(ONE))
    assert await on_disk.blobs() == []
    await store.put(OTHER, ONE)
    assert await store.get(OTHER, name_of(ONE)) == ONE


async def test_the_room_of_few_bytes_goes_back_to_the_disk(on_disk: StoreSetup) -> None:
    store = on_disk.again(retention_hours=1)
    kept = await store.put(OTHER, TWO)
    await asyncio.gather(*(store.put(OWNER, bytes([n]) * 100_000) for n in range(60)))

    async def size() -> int:
        ((pages,),) = await on_disk.rows("PRAGMA page_count")
        return int(pages) * 4096

    assert await size() > 60 * 100_000
    on_disk.clock.ahead = 0.5 * HOUR
    await store.put(OTHER, TWO)
    on_disk.clock.ahead = 1.1 * HOUR
    assert await swept(store) == (60, 60, 0)
    assert await size() < 60 * 100_000 / 2
    assert await store.get(OTHER, kept.name) == TWO


async def test_idle_uploads_go_after_a_day(setup: StoreSetup) -> None:
    store = setup.store
    await begin(store, PART)
    setup.clock.ahead = 23 * HOUR
    assert await swept(store) == (0, 0, 0)
    setup.clock.ahead = 25 * HOUR
    async with store.upload(OWNER, name_of(PART)):
        assert await swept(store) == (0, 0, 0), "a writer has it open"
    assert await swept(store) == (0, 0, 1)
    assert setup.parts() == []
    assert await store.committed(OWNER, name_of(PART)) == (0, None)


async def test_unfinished_files_of_a_killed_server_go(on_disk: StoreSetup) -> None:
    await on_disk.store.put(OWNER, ONE)
    folder = on_disk.backend.folder
    assert folder
    earlier = f"records/{OWNER}/{name_of(ONE)[17:]}.json#12"
    staged = [folder / (path_of(name_of(ONE)) + "#1"), folder / earlier]
    for path in staged:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert await swept(on_disk.store) == (0, 0, 0)
    on_disk.clock.ahead = 2 * HOUR
    assert await swept(on_disk.store) == (0, 2, 0)
    assert not any(path.exists() for path in staged)
    assert await on_disk.store.get(OWNER, name_of(ONE)) == ONE


async def test_foreign_objects_stay(setup: StoreSetup) -> None:
    strangers = ["sha256/notes.txt", f"sha256/00/{'1' * 64}", "sha256/ab/cd", f"records/{OWNER}/notes.json", "other"]
    for path in strangers:
        await setup.write(path, b"mine")
    await setup.store.put(OWNER, ONE)
    setup.clock.ahead = 24 * 365 * HOUR
    assert await swept(setup.again(retention_hours=1)) == (1, 1, 0)
    assert await setup.paths() == sorted(strangers)
    assert [found async for found in setup.store.owned(OWNER)] == []


# Concurrent puts


async def listed_before(setup: StoreSetup, monkeypatch: pytest.MonkeyPatch, prefix: str, meanwhile: Any) -> None:
    """Runs `meanwhile` between a sweep's listing and its deletions."""
    listing = type(setup.backend).list

    async def list_then(backend: Any, wanted: str, offset: str | None = None) -> AsyncGenerator[Any, None]:
        metas = [meta async for meta in listing(backend, wanted, offset)]
        if wanted == prefix:
            monkeypatch.setattr(type(setup.backend), "list", listing)
            await meanwhile()
        for meta in metas:
            yield meta

    monkeypatch.setattr(type(setup.backend), "list", list_then)


def backdated(setup: StoreSetup, monkeypatch: pytest.MonkeyPatch, until: datetime) -> None:
    """Makes objects written until a time look two hours older; stores can't set that time."""
    listing, changed = type(setup.backend).list, type(setup.backend).changed

    def shown(time: datetime) -> datetime:
        return time - 2 * HOUR if time <= until else time

    async def old_list(backend: Any, prefix: str, offset: str | None = None) -> AsyncGenerator[Any, None]:
        async for meta in listing(backend, prefix, offset):
            yield {**meta, "last_modified": shown(meta["last_modified"])}

    async def old_changed(backend: Any, path: str) -> datetime | None:
        time = await changed(backend, path)
        return time and shown(time)

    monkeypatch.setattr(type(setup.backend), "list", old_list)
    monkeypatch.setattr(type(setup.backend), "changed", old_changed)


@pytest.mark.parametrize("prefix", ["sha256/", "records/"])
async def test_a_put_during_a_sweep_is_kept(setup: StoreSetup, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    if setup.backend.database and prefix == "records/":
        pytest.skip("its entries are in the database")
    store = setup.again(retention_hours=1)
    await store.put(OWNER, LARGE)
    if prefix == "sha256/":
        await store.delete(OWNER, name_of(LARGE))
    coarse = 1 if isinstance(setup.backend.objects, S3Store) else 0.02  # resolution of the store's times, in seconds
    await asyncio.sleep(coarse + 0.1)
    backdated(setup, monkeypatch, setup.clock() - timedelta(seconds=coarse))

    async def put() -> None:
        setup.clock.ahead = 2 * HOUR  # the writer sees old bytes, so it writes them again
        await store.put(OWNER, LARGE)
        setup.clock.ahead = 0 * HOUR

    assert await store.sweep() == (0, 0, 0), "found"
    await listed_before(setup, monkeypatch, prefix, put)
    assert await store.sweep() == (0, 0, 0), "stored again"
    monkeypatch.undo()
    assert await setup.again().get(OWNER, name_of(LARGE)) == LARGE


async def test_a_put_between_a_sweep_of_the_database_and_its_deletions_is_kept(
    on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = on_disk.again(retention_hours=1)
    await store.put(OWNER, ONE)
    on_disk.clock.ahead = 2 * HOUR
    assert await store.sweep() == (0, 0, 0), "found"
    write = Database.write

    async def put_first(database: Database, work: Any) -> Any:
        monkeypatch.setattr(Database, "write", write)
        await store.put(OWNER, ONE)
        return await write(database, work)

    monkeypatch.setattr(Database, "write", put_first)
    assert await store.sweep() == (0, 0, 0), "stored again"
    assert Database.write is write
    assert await store.get(OWNER, name_of(ONE)) == ONE
    assert await swept(store) == (0, 0, 0)


async def test_puts_deletes_and_sweeps_at_once_lose_nothing(
    on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an hour of one second. The last acknowledged operation decides whether an artifact is there."""
    monkeypatch.setattr(blobs, "ORPHAN_AGE", timedelta(seconds=1))
    store, removed = on_disk.store, 0
    until = on_disk.clock() + timedelta(seconds=2.5)
    datas = [bytes([n]) * (LARGE_BYTES if n % 2 else 50) for n in range(4)]

    async def one(owner: str, data: bytes) -> None:
        while on_disk.clock() < until:
            await store.put(owner, data)
            assert await store.get(owner, name_of(data)) == data
            await store.delete(owner, name_of(data))
            assert await store.missing(owner, [name_of(data)])
            await asyncio.sleep(data[0] * 0.4)  # long enough for some to be swept
        await store.put(owner, data)

    async def sweeping() -> None:
        nonlocal removed
        while True:
            removed += (await store.sweep())[1]
            await asyncio.sleep(0)

    sweeps = asyncio.create_task(sweeping())
    await asyncio.gather(*(one(owner, data) for owner in (OWNER, OTHER) for data in datas))
    sweeps.cancel()
    assert removed
    for owner in (OWNER, OTHER):
        for data in datas:
            assert await store.get(owner, name_of(data)) == data
    assert store.damaged == 0


@pytest.mark.parametrize("ask", ["get", "open"])
async def test_bytes_that_are_deleted_during_a_read_are_not_lost(setup: StoreSetup, ask: str) -> None:
    async def deleted_and_swept() -> None:
        await setup.store.delete(OWNER, name_of(LARGE))
        setup.clock.ahead = 2 * HOUR
        assert await swept(setup.store) == (0, 1, 0)
        setup.clock.ahead = 0 * HOUR

    store = meddled(setup, path_of(name_of(LARGE)), before_read=deleted_and_swept)
    await setup.store.put(OWNER, LARGE)
    with pytest.raises(ArtifactNotFound):
        await getattr(store, ask)(OWNER, name_of(LARGE))
    assert store.damaged == 0
