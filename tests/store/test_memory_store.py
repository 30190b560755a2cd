"""A store in memory has a bound in bytes, says STORAGE_FULL at it, and has room again when bytes go."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.stores import OTHER, OWNER, StoreSetup, name_of, setup_at, swept
from tests.support.uploads import begin, send

from celeste_image.core.errors import DigestMismatch, StorageFull, StorageUnavailable
from celeste_image.store import ArtifactStore, open_store
from celeste_image.store.file_uploads import FileUploads
from celeste_image.store.memory import OBJECT_BYTES, MemoryObjects
from celeste_image.store.object_index import ObjectIndex
from celeste_image.store.open import open_backend

MIB = 1 << 20
DATAS = [bytes([n]) * (MIB // 2) for n in range(4)]


@pytest.fixture
def small(tmp_path: Path) -> StoreSetup:
    """Room for three of the four."""
    return setup_at(open_backend("memory:///", {}, 2 * MIB), tmp_path / "spool")


def free_of(setup: StoreSetup) -> int:
    assert isinstance(setup.backend.objects, MemoryObjects)
    return setup.backend.objects.free_bytes


async def test_a_full_memory_says_so_and_keeps_what_it_has(small: StoreSetup) -> None:
    store = small.store
    for data in DATAS[:3]:
        await store.put(OWNER, data)
    for _ in range(2):
        with pytest.raises(StorageFull) as caught:
            await store.put(OWNER, DATAS[3])
        assert caught.value.retry_after
        assert await store.missing(OWNER, [name_of(DATAS[3])])
    for data in DATAS[:3]:
        assert await store.get(OWNER, name_of(data)) == data
    await store.put(OWNER, DATAS[0])
    await store.put(OWNER, b"few")


@pytest.mark.parametrize("in_files", [True, False], ids=["in files", "in memory"])
async def test_an_upload_waits_for_room(tmp_path: Path, in_files: bool) -> None:
    setup = setup_at(open_backend("memory:///", {}, 2 * MIB), tmp_path / "spool", in_files)
    store, last = setup.store, DATAS[3]
    for data in DATAS[:3]:
        await store.put(OWNER, data)
    with pytest.raises(StorageFull):
        await send(store, last, name_of(last))
    size, artifact = await store.committed(OWNER, name_of(last))
    assert (size == len(last)) == in_files, "those in memory have no room of their own"
    assert size
    assert not artifact
    await store.delete(OWNER, name_of(DATAS[0]))
    setup.clock.ahead = timedelta(hours=2)
    assert await swept(store) == (0, 1, 0)
    await send(store, last, name_of(last), start=size)
    assert await store.get(OWNER, name_of(last)) == last


async def test_the_bytes_of_an_upload_are_counted_once(small: StoreSetup) -> None:
    """Until it is complete they are the upload's, and then the artifact's: there would be no room for both."""
    data, records = bytes(range(256)) * 4 * 1300, 2 * 1024
    free = free_of(small)
    await begin(small.store, len(data), data, name_of(data))
    assert free_of(small) == free - len(data)
    await send(small.store, data, name_of(data), start=len(data))
    assert free - len(data) - records < free_of(small) < free - len(data)
    assert await small.store.get(OWNER, name_of(data)) == data
    for owner in (OWNER, OTHER):
        await small.store.delete(owner, name_of(data))
    small.clock.ahead = timedelta(hours=2)
    assert await swept(small.store) == (0, 1, 0)
    assert free_of(small) == free


@pytest.mark.parametrize("end", ["deleted", "deleted while open", "wrong", "too long", "idle", "known"])
async def test_an_upload_that_ends_gives_its_room_back(small: StoreSetup, end: str) -> None:
    store, data = small.store, DATAS[0]
    if end == "known":
        await store.put(OTHER, data)
    free = free_of(small)
    await begin(store, len(data), data, name_of(data))
    assert free_of(small) == free - len(data)
    if end == "deleted":
        await store.delete(OWNER, name_of(data))
    elif end == "deleted while open":
        async with store.upload(OWNER, name_of(data)):
            await store.delete(OWNER, name_of(data))
    elif end == "wrong":
        with pytest.raises(DigestMismatch):
            await send(store, data + b"more", name_of(data), start=len(data))
    elif end == "too long":
        with pytest.raises(DigestMismatch):
            await send(store, data + b"more", name_of(data), start=len(data), size=len(data))
    elif end == "idle":
        small.clock.ahead = timedelta(hours=23)
        assert await swept(store) == (0, 0, 0)
        small.clock.ahead = timedelta(hours=25)
        assert await swept(store) == (0, 0, 1)
    else:
        await send(store, data, name_of(data), start=len(data))
        await store.delete(OWNER, name_of(data))
    assert free_of(small) == free
    assert small.parts() == []


async def test_an_artifact_keeps_its_bytes_when_its_upload_goes_on(
    small: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes are stored, and then the index fails: the upload stays, with the same bytes."""
    store, data, free = small.store, DATAS[0], free_of(small)

    async def fails(*_: object) -> None:
        raise StorageUnavailable("gone")

    async with store.upload(OWNER, name_of(data)) as upload:
        await store.write(upload, len(data), 0, data)
        with monkeypatch.context() as patch:
            patch.setattr(ObjectIndex, "put", fails)
            with pytest.raises(StorageUnavailable):
                await store.finish(OWNER, name_of(data), len(data), upload)
        await small.lose(name_of(data))
        assert free_of(small) == free
        assert (await store.finish(OWNER, name_of(data), len(data), upload)).size_bytes == len(data)
    await store.write(upload, 2 * len(data), len(data), data)
    assert await store.get(OWNER, name_of(data)) == data


async def test_below_the_reserve_no_work_begins_but_begun_work_is_stored(tmp_path: Path) -> None:
    store = ArtifactStore(open_backend("memory:///", {}, 2 * MIB), FileUploads(tmp_path, 0), reserve_bytes=MIB)
    await store.check_room()
    await store.put(OWNER, DATAS[0])
    await store.check_room()
    await store.put(OWNER, DATAS[1])
    with pytest.raises(StorageFull):
        await store.check_room()
    await store.put(OWNER, DATAS[2])


def test_a_reserve_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"store.memory_bytes: must be above store.reserve_bytes"):
        open_store("memory:///", tmp_path, reserve_bytes=MIB, memory_bytes=MIB)


PATHS = st.sampled_from(["a/1", "a/2", "ab/1", "b/1", "b/10", "b/2"])


@given(st.lists(st.tuples(st.sampled_from(["put", "delete", "rename"]), PATHS, PATHS, st.binary(max_size=400))))
def test_objects_in_memory_are_counted_and_listed_in_order(steps: list[tuple[str, str, str, bytes]]) -> None:
    async def run() -> None:
        most = 3 * (OBJECT_BYTES + 100)
        objects, model = MemoryObjects(most), dict[str, bytes]()

        def taken(model: dict[str, bytes]) -> int:
            return sum(OBJECT_BYTES + len(data) for data in model.values())

        for step, path, other, data in steps:
            after = dict(model)
            if step == "put":
                after[path] = data
                if taken(after) > most:
                    with pytest.raises(OSError, match="memory_bytes"):
                        await objects.put_async(path, data)
                    continue
                await objects.put_async(path, data)
            elif path not in model:
                with pytest.raises(FileNotFoundError):
                    await (objects.delete_async(path) if step == "delete" else objects.rename_async(path, other))
            elif step == "delete":
                del after[path]
                await objects.delete_async(path)
            else:
                after[other] = after.pop(path)
                await objects.rename_async(path, other)
            model = after
            assert objects.free_bytes == most - taken(model)
        for prefix in ("", "a/", "b/", "c/"):
            listed = [meta["path"] async for page in objects.list(prefix) for meta in page]
            assert listed == sorted(path for path in model if path.startswith(prefix))
        after_b1 = [meta["path"] async for page in objects.list("b/", offset="b/1") for meta in page]
        assert after_b1 == sorted(path for path in model if path.startswith("b/") and path > "b/1")
        for path, data in model.items():
            assert await (await objects.get_async(path)).bytes_async() == data
            assert (await objects.head_async(path))["size"] == len(data)
            assert await objects.get_range_async(path, start=1, end=3) == data[1:3]

    asyncio.run(run())
