"""Stores that are full, read-only or down: refused before work begins, and healed without a restart.

`bench/disk_faults.py` does the same with real disks that are full.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from tests.support.full_disks import full_at
from tests.support.proxies import FaultyProxy
from tests.support.s3 import S3
from tests.support.stores import OTHER, OWNER, StoreSetup, name_of, path_of, setup_at
from tests.support.uploads import begin, send

from celeste_image.core.errors import StorageFull, StorageUnavailable
from celeste_image.store import CHUNK_BYTES
from celeste_image.store import open as opening
from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.file_uploads import FileUploads
from celeste_image.store.open import DATABASE, open_backend

SMALL = b"small"
LARGE = os.urandom(3 * CHUNK_BYTES)
ROOM = CHUNK_BYTES + 1000


def files(setup: StoreSetup) -> list[str]:
    """Returns the files of the store's folder, without the database's."""
    assert setup.backend.folder
    return [str(p) for p in setup.backend.folder.rglob("*") if p.is_file() and not p.name.startswith(DATABASE)]


# Full


async def test_a_full_store_takes_nothing_leaves_nothing_and_heals(on_disk: StoreSetup) -> None:
    store = on_disk.store
    await store.put(OWNER, SMALL)
    before = sorted(files(on_disk))
    with full_at(ROOM):
        for _ in range(2):
            with pytest.raises(StorageFull) as caught:
                await store.put(OWNER, LARGE)
            assert caught.value.retry_after
        assert await store.get(OWNER, name_of(SMALL)) == SMALL
        assert sorted(files(on_disk)) == before, "a partial file stayed"
        assert await store.missing(OWNER, [name_of(LARGE)])
    await store.put(OWNER, LARGE)
    assert await store.get(OWNER, name_of(LARGE)) == LARGE


async def test_a_store_that_is_full_when_an_upload_ends_leaves_the_upload(on_two_disks: StoreSetup) -> None:
    store, name = on_two_disks.store, name_of(LARGE)
    await begin(store, len(LARGE), LARGE, name)
    with full_at(ROOM):
        with pytest.raises(StorageFull):
            await send(store, LARGE, name, start=len(LARGE))
        assert files(on_two_disks) == []
    assert await store.committed(OWNER, name) == (len(LARGE), None)
    await send(store, LARGE, name, start=len(LARGE))
    assert await store.get(OWNER, name) == LARGE
    assert on_two_disks.parts() == []


async def test_an_upload_on_the_disk_of_the_store_needs_no_room_there_when_it_ends(on_disk: StoreSetup) -> None:
    store, name = on_disk.store, name_of(LARGE)
    await begin(store, len(LARGE), LARGE, name)
    with full_at(ROOM):
        await send(store, LARGE, name, start=len(LARGE))
    assert await store.get(OWNER, name) == LARGE
    assert on_disk.parts() == []


async def test_a_full_spool_keeps_what_it_had_and_takes_no_results_with_it(on_disk: StoreSetup) -> None:
    store, name = on_disk.store, name_of(LARGE)
    with full_at(ROOM):
        with pytest.raises(StorageFull):
            await send(store, LARGE, name, step=CHUNK_BYTES)
        assert await store.committed(OWNER, name) == (CHUNK_BYTES, None), "the chunk that did not fit must not count"
        await store.put(OWNER, SMALL)
    await send(store, LARGE, name, start=CHUNK_BYTES)
    assert await store.get(OWNER, name) == LARGE


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_every_error_of_a_full_disk_is_storage_full(
    on_disk: StoreSetup, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(StorageFull):
            await on_disk.store.put(OWNER, LARGE)
    await on_disk.store.put(OWNER, LARGE)


async def test_a_full_disk_under_the_database_is_storage_full_and_heals(on_disk: StoreSetup) -> None:
    store = on_disk.store
    first = await store.put(OWNER, b"first")
    with full_at(2000):
        for _ in range(2):
            with pytest.raises(StorageFull):
                await store.put(OWNER, SMALL)
            with pytest.raises(StorageFull):
                await store.check_room()
        assert await store.get(OWNER, first.name) == b"first"
        assert await store.missing(OWNER, [name_of(SMALL)])
    await store.check_room()
    await store.put(OWNER, SMALL)
    assert await on_disk.again().get(OWNER, name_of(SMALL)) == SMALL


async def test_below_the_reserve_nothing_begins(on_disk: StoreSetup) -> None:
    store = ArtifactStore(on_disk.backend, FileUploads(on_disk.spool, 0), 0, reserve_bytes=1 << 60)
    with pytest.raises(StorageFull):
        await store.check_room()
    with pytest.raises(StorageFull):
        await send(store)
    assert on_disk.parts() == []


async def test_below_the_reserve_of_the_spool_only_uploads_stop(on_disk: StoreSetup) -> None:
    store = ArtifactStore(on_disk.backend, FileUploads(on_disk.spool, 1 << 60))
    await store.check_room()
    await store.put(OWNER, SMALL)
    with pytest.raises(StorageFull):
        await send(store)
    assert on_disk.parts() == []


# Read-only and broken


@contextlib.contextmanager
def ordinary_user(*folders: Path) -> Iterator[None]:
    """Becomes an unprivileged user who owns some folders."""
    if os.geteuid():
        yield
        return
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 65534, 65534)
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest_asyncio.fixture
async def setup_for_others() -> AsyncGenerator[StoreSetup, None]:
    """A store in a folder that other users can reach; pytest's own are private."""
    folder = Path(tempfile.mkdtemp())
    os.chmod(folder, 0o755)
    setup = setup_at(open_backend((folder / "store").as_uri(), {}), folder / "spool")
    yield setup
    await setup.store.close()
    shutil.rmtree(folder)


def parent_of(setup: StoreSetup) -> Path:
    assert setup.backend.folder
    return setup.backend.folder.parent


async def test_a_read_only_store_is_refused_before_work_and_still_read(setup_for_others: StoreSetup) -> None:
    setup, folder = setup_for_others, parent_of(setup_for_others)
    store = setup.store
    with ordinary_user(folder / "store", folder / "spool"):
        await store.put(OWNER, SMALL)
        (folder / "store").chmod(0o500)
        with pytest.raises(StorageUnavailable) as caught:
            await store.check_room()
        assert caught.value.retry_after
        with pytest.raises(StorageUnavailable):
            await send(store)
        assert await store.get(OWNER, name_of(SMALL)) == SMALL
        for path in (folder / "store").rglob("*"):
            if path.is_dir():
                path.chmod(0o500)
        with pytest.raises(StorageUnavailable):
            await store.put(OTHER, SMALL)
        with pytest.raises(StorageUnavailable):
            await store.delete(OWNER, name_of(SMALL))
        for path in (folder / "store", *(folder / "store").rglob("*")):
            if path.is_dir():
                path.chmod(0o700)
        await store.check_room()
        await store.put(OTHER, SMALL)


async def test_a_read_only_spool_stops_uploads_alone(setup_for_others: StoreSetup) -> None:
    setup, folder = setup_for_others, parent_of(setup_for_others)
    with ordinary_user(folder / "store", folder / "spool"):
        (folder / "spool").chmod(0o500)
        await setup.store.check_room()
        with pytest.raises(StorageUnavailable):
            await send(setup.store)
        assert await setup.store.committed(OWNER, name_of(LARGE)) == (0, None)
        await setup.store.put(OWNER, SMALL)
        (folder / "spool").chmod(0o700)
        await send(setup.store)


async def test_bytes_that_may_not_be_read_are_unavailable_not_lost(setup_for_others: StoreSetup) -> None:
    setup, folder = setup_for_others, parent_of(setup_for_others)
    with ordinary_user(folder / "store", folder / "spool"):
        await setup.store.put(OWNER, LARGE)
        blob = folder / "store" / path_of(name_of(LARGE))
        blob.chmod(0)
        for ask in (setup.store.get, setup.store.open):
            with pytest.raises(StorageUnavailable):
                await ask(OWNER, name_of(LARGE))
        blob.chmod(0o600)
        assert await setup.store.get(OWNER, name_of(LARGE)) == LARGE
        assert setup.store.damaged == 0


async def test_a_folder_that_vanishes_and_returns(on_disk: StoreSetup) -> None:
    folder = on_disk.backend.folder
    assert folder
    await on_disk.store.put(OWNER, SMALL)
    folder.rename(folder.with_name("away"))
    folder.write_bytes(b"not a folder")
    for ask in (on_disk.store.check_room(), on_disk.store.put(OTHER, SMALL), on_disk.store.sweep()):
        with pytest.raises(StorageUnavailable):
            await ask
    folder.unlink()
    folder.with_name("away").rename(folder)
    await on_disk.store.check_room()
    assert await on_disk.store.get(OWNER, name_of(SMALL)) == SMALL


async def test_after_a_failed_write_a_probe_precedes_work(on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing disk gives no warning, so at most one call is paid for in vain."""

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    store = on_disk.store
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        await store.check_room()
        with pytest.raises(StorageUnavailable):
            await store.put(OWNER, LARGE)
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                await store.check_room()
    await store.check_room()
    probed = await on_disk.backend.changed("probe")
    await store.check_room()
    assert await on_disk.backend.changed("probe") == probed, "one probe is enough"


# S3


@pytest_asyncio.fixture
async def proxy(s3: S3) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy(s3.port) as proxy:
        yield proxy


@pytest.fixture
def behind(
    request: pytest.FixtureRequest, s3: S3, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StoreSetup:
    """A store on S3 behind the proxy, with long timeouts for a busy machine, except where no answer comes."""
    monkeypatch.setattr(
        opening,
        "REQUEST_SECONDS",
        0.4 if "fault" in request.fixturenames and request.getfixturevalue("fault") == "stall" else 5,
    )
    url = s3.url(f"{tmp_path.parent.name}-{tmp_path.name}")
    return setup_at(open_backend(url, s3.options(proxy.port)), tmp_path / "spool")


@pytest.mark.parametrize("fault", ["503", "500 after", "reset"])
async def test_occasional_failures_of_s3_are_retried(behind: StoreSetup, proxy: FaultyProxy, fault: str) -> None:
    proxy.fault = lambda method, number: fault if number % 3 else "pass"
    await behind.store.put(OWNER, SMALL)
    await send(behind.store)
    assert await behind.store.get(OWNER, name_of(SMALL)) == SMALL
    assert len(await behind.paths("sha256/")) == 2
    assert behind.parts() == []


@pytest.mark.parametrize("fault", ["503", "reset", "stall"])
async def test_s3_that_is_down_is_unavailable_within_seconds_and_heals(
    behind: StoreSetup, proxy: FaultyProxy, fault: str
) -> None:
    store = behind.store
    await store.put(OWNER, SMALL)
    await begin(store, len(LARGE), LARGE, name_of(LARGE))
    proxy.fault = lambda method, number: fault
    asks = (
        store.put(OWNER, LARGE),
        store.get(OWNER, name_of(SMALL)),
        store.missing(OWNER, [name_of(SMALL)]),
        store.committed(OWNER, name_of(LARGE)),
        store.delete(OWNER, name_of(SMALL)),
        store.sweep(),
    )
    began = time.monotonic()
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert [type(result) for result in results] == [StorageUnavailable] * len(asks)
    with pytest.raises(StorageUnavailable):
        await store.check_room()
    assert time.monotonic() - began < 15
    proxy.fault = lambda method, number: "pass"
    await store.check_room()
    assert await store.get(OWNER, name_of(SMALL)) == SMALL
    await send(store, LARGE, name_of(LARGE), start=len(LARGE))
    assert store.damaged == 0


async def test_a_multipart_put_that_dies_in_the_middle_leaves_no_object(behind: StoreSetup, proxy: FaultyProxy) -> None:
    data = os.urandom(11 << 20)
    puts = 0

    def fault(method: str, number: int) -> str:
        nonlocal puts
        puts += method == "PUT"
        return "503" if method == "PUT" and puts > 1 else "pass"

    proxy.fault = fault
    with pytest.raises(StorageUnavailable):
        await behind.store.put(OWNER, data)
    proxy.fault = lambda method, number: "pass"
    assert await behind.paths("sha256/") == []
    assert "DELETE" in proxy.requests, "the parts were not aborted"
    await behind.store.put(OWNER, data)
    assert await behind.store.get(OWNER, name_of(data)) == data


async def test_a_refused_key_makes_the_store_unavailable(s3: S3, tmp_path: Path) -> None:
    options = s3.options() | {"aws_secret_access_key": "wrong"}
    setup = setup_at(open_backend(s3.url("refused"), options), tmp_path / "spool")
    with pytest.raises(StorageUnavailable) as caught:
        await setup.store.put(OWNER, SMALL)
    assert "wrong" not in str(caught.value)
    assert timedelta(seconds=caught.value.retry_after or 0)
