"""Damaged bytes: never returned, quarantined, counted, and replaced by the next put."""

import os
from pathlib import Path

import pytest
from tests.support.changing_objects import meddled
from tests.support.stores import OTHER, OWNER, StoreSetup, name_of, path_of

from celeste_image.core.artifact import Artifact
from celeste_image.core.errors import ArtifactDamaged, ArtifactNotFound, StorageUnavailable
from celeste_image.store import CHUNK_BYTES, ArtifactStore

LONG = bytes(range(256)) * (CHUNK_BYTES // 256 * 2) + b"tail"
NAME = name_of(LONG)
BLOB = path_of(NAME)
QUARANTINED = "quarantine/" + NAME[17:]

DAMAGES = {
    "flipped": LONG[:CHUNK_BYTES] + b"\x01" + LONG[CHUNK_BYTES + 1 :],
    "shortened": LONG[:-1],
    "emptied": b"",
    "lengthened": LONG + b"x",
}


async def read(store: ArtifactStore, artifact: Artifact, offset: int = 0, limit: int = 0) -> bytes:
    return b"".join([chunk async for _, chunk in store.read(artifact, offset, limit)])


@pytest.mark.parametrize("first", ["get", "open"])
@pytest.mark.parametrize("known", [True, False], ids=["seen before", "new server"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_damaged_bytes_are_never_returned_and_heal(
    setup: StoreSetup, damage: str, known: bool, first: str
) -> None:
    artifact = await setup.store.put(OWNER, LONG)
    assert await setup.store.open(OWNER, NAME) == artifact
    await setup.write(BLOB, DAMAGES[damage])
    store = setup.store if known else setup.again()
    with pytest.raises(ArtifactDamaged) as caught:
        await getattr(store, first)(OWNER, NAME)
    assert caught.value.resource == NAME
    assert store.damaged == 1
    assert await setup.paths("sha256/") == []
    assert await setup.paths("quarantine/") == [QUARANTINED]
    for ask in (store.get, store.open):  # quarantined bytes count as lost
        with pytest.raises(ArtifactDamaged):
            await ask(OWNER, NAME)
    assert await store.missing(OWNER, [NAME]) == [NAME]
    assert (await store.put(OWNER, LONG)).created == artifact.created
    assert await store.get(OWNER, NAME) == LONG
    assert (await store.open(OWNER, NAME)).size_bytes == len(LONG)
    assert await setup.paths("quarantine/") == [QUARANTINED]


@pytest.mark.parametrize("known", [True, False], ids=["seen before", "new server"])
async def test_lost_bytes_are_data_loss_while_the_entry_is_there(setup: StoreSetup, known: bool) -> None:
    await setup.store.put(OWNER, LONG)
    await setup.store.open(OWNER, NAME)
    await setup.backend.objects.delete_async(BLOB)
    store = setup.store if known else setup.again()
    for count, ask in enumerate((store.get, store.open), 1):
        with pytest.raises(ArtifactDamaged):
            await ask(OWNER, NAME)
        assert store.damaged == count
    with pytest.raises(ArtifactNotFound):
        await store.get(OTHER, NAME)
    await store.put(OTHER, LONG)
    assert await store.get(OWNER, NAME) == LONG, "another's put heals it too"


async def test_bytes_that_are_damaged_or_deleted_while_they_are_read(setup: StoreSetup) -> None:
    store = setup.store
    opened = await store.put(OWNER, LONG)
    await setup.write(BLOB, LONG[: CHUNK_BYTES + 10])
    with pytest.raises(ArtifactDamaged):
        await read(store, opened)
    await setup.write(BLOB, LONG[: CHUNK_BYTES + 10])
    with pytest.raises(ArtifactDamaged):  # wholly beyond the end
        await read(store, opened, 2 * CHUNK_BYTES)
    with pytest.raises(ArtifactNotFound):
        await read(store, opened)
    assert store.damaged == 2


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"media_type": "x"'])
async def test_a_damaged_entry_is_data_loss_and_heals(setup: StoreSetup, content: bytes) -> None:
    store = setup.store
    await store.put(OWNER, b"one")
    await store.put(OWNER, LONG)
    record = f"records/{OWNER}/{NAME[17:]}.json"
    await setup.write(record, content)
    for ask in (store.get, store.open, store.find):
        with pytest.raises(ArtifactDamaged):
            await ask(OWNER, NAME)
    assert await store.missing(OWNER, [NAME]) == [NAME]
    assert [artifact.name async for artifact in store.owned(OWNER)] == [name_of(b"one")]
    await store.put(OWNER, LONG)
    assert await store.get(OWNER, NAME) == LONG


async def test_an_entry_with_a_wrong_size_is_not_believed(setup: StoreSetup) -> None:
    await setup.store.put(OWNER, LONG)
    record = f"records/{OWNER}/{NAME[17:]}.json"
    found = await setup.backend.objects.get_async(record)
    text = bytes(await found.bytes_async()).replace(str(len(LONG)).encode(), b"7777777")
    await setup.write(record, text)
    opened = await setup.store.open(OWNER, NAME)
    assert opened.size_bytes == len(LONG)
    assert await read(setup.store, opened) == LONG


# A decaying disk changes no modification time, so a file looks as it did when it was checked.


def decay(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(CHUNK_BYTES)
        file.write(b"\x01")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("how", ["get", "read"])
async def test_decay_below_the_file_system_is_found_by_whole_reads(on_disk: StoreSetup, how: str) -> None:
    store = on_disk.store
    await store.put(OWNER, LONG)
    opened = await store.open(OWNER, NAME)
    assert on_disk.backend.folder
    decay(on_disk.backend.folder / BLOB)
    received = b""
    with pytest.raises(ArtifactDamaged):
        if how == "get":
            await store.get(OWNER, NAME)
        async for _, chunk in store.read(opened):
            received += chunk
    assert len(received) < len(LONG), "the end is withheld, so that no caller takes it for complete"
    assert store.damaged == 1


async def test_bytes_that_are_replaced_during_a_read_are_not_quarantined(setup: StoreSetup) -> None:
    """Another caller replaces the damaged bytes after they were read and before they are moved."""

    async def replaced() -> None:
        await setup.store.put(OWNER, LONG)

    store = meddled(setup, BLOB, after_read=replaced)
    await setup.store.put(OWNER, LONG)
    await setup.write(BLOB, DAMAGES["flipped"])
    with pytest.raises(StorageUnavailable) as caught:
        await store.get(OWNER, NAME)
    assert caught.value.retryable
    assert await store.get(OWNER, NAME) == LONG
    assert await setup.paths("quarantine/") == []


# Durability


class Synced:
    """The files and folders that were flushed, with the files' contents at that moment."""

    def __init__(self) -> None:
        self.files: list[tuple[Path, bytes]] = []
        self.folders: list[Path] = []

    def __call__(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_file():
            self.files.append((path, path.read_bytes()))
        else:
            self.folders.append(path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to find a descriptor's path")
async def test_a_put_is_on_the_disk_before_it_is_acknowledged(
    on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = on_disk.backend.folder
    assert folder
    synced = Synced()
    monkeypatch.setattr(os, "fsync", synced)  # a test can't observe the flush itself
    await on_disk.store.put(OWNER, LONG)
    blob, record = folder / BLOB, folder / f"records/{OWNER}/{NAME[17:]}.json"
    assert synced.files == [(blob, LONG), (record, record.read_bytes())], "complete, under their final names"
    assert {blob.parent, blob.parent.parent, record.parent, record.parent.parent, folder} == set(synced.folders)
    await on_disk.again().put(OTHER, LONG)
    assert synced.files[2][0] == blob, "earlier bytes may never have been flushed"
    synced.folders.clear()
    await on_disk.store.delete(OWNER, NAME)
    assert record.parent in synced.folders, "a deleted entry must not come back"


async def test_bytes_of_a_failed_flush_are_written_again(on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fsync the next one may succeed without writing: Linux reports the failure once."""
    folder = on_disk.backend.folder
    assert folder

    def fails(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(StorageUnavailable):
            await on_disk.store.put(OWNER, LONG)
    with pytest.raises(ArtifactNotFound):
        await on_disk.store.get(OWNER, NAME)
    before = (folder / BLOB).stat().st_ino
    await on_disk.store.put(OWNER, LONG)
    assert (folder / BLOB).stat().st_ino != before
    assert await on_disk.store.get(OWNER, NAME) == LONG


async def test_known_bytes_are_not_written_again(on_disk: StoreSetup) -> None:
    folder = on_disk.backend.folder
    assert folder
    await on_disk.store.put(OWNER, LONG)
    before = (folder / BLOB).stat()
    await on_disk.store.put(OTHER, LONG)
    await on_disk.again().put(OWNER, LONG)
    after = (folder / BLOB).stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
