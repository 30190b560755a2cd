"""A store in memory has a bound in bytes, says STORAGE_FULL at it, and has room again when bytes go."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.stores import OWNER, StoreSetup, name_of, setup_at, swept
from tests.support.uploads import send

from celeste_image.core.errors import StorageFull
from celeste_image.store import ArtifactStore, open_store
from celeste_image.store.memory import OBJECT_BYTES, MemoryObjects
from celeste_image.store.open import open_backend
from celeste_image.store.uploads import Uploads

MIB = 1 << 20
DATAS = [bytes([n]) * (MIB // 2) for n in range(4)]


@pytest.fixture
def small(tmp_path: Path) -> StoreSetup:
    """Room for three of the four."""
    return setup_at(open_backend("memory:///", {}, 2 * MIB), tmp_path / "spool")


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


async def test_an_upload_waits_for_room(small: StoreSetup) -> None:
    store, last = small.store, DATAS[3]
    for data in DATAS[:3]:
        await store.put(OWNER, data)
    with pytest.raises(StorageFull):
        await send(store, last, name_of(last))
    assert await store.committed(OWNER, name_of(last)) == (len(last), None)
    await store.delete(OWNER, name_of(DATAS[0]))
    small.clock.ahead = timedelta(hours=2)
    assert await swept(store) == (0, 1, 0)
    await send(store, last, name_of(last), start=len(last))
    assert await store.get(OWNER, name_of(last)) == last


async def test_below_the_reserve_no_work_begins_but_begun_work_is_stored(tmp_path: Path) -> None:
    store = ArtifactStore(open_backend("memory:///", {}, 2 * MIB), Uploads(tmp_path, 0), reserve_bytes=MIB)
    await store.check_room()
    await store.put(OWNER, DATAS[0])
    await store.check_room()
    await store.put(OWNER, DATAS[1])
    with pytest.raises(StorageFull):
        await store.check_room()
    await store.put(OWNER, DATAS[2])


def test_a_reserve_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"store.memory_bytes must be above store.reserve_bytes"):
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
