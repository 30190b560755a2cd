"""Damaged bytes: never returned, quarantined, counted, and replaced by the next put."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.changing_objects import meddled
from tests.support.full_disks import full_at
from tests.support.stores import OTHER, OWNER, StoreSetup, name_of, path_of

from celeste_image.core.artifact import Artifact
from celeste_image.core.errors import ArtifactDamaged, ArtifactNotFound, StorageFull, StorageUnavailable
from celeste_image.database import Database
from celeste_image.store import CHUNK_BYTES, ArtifactStore, open_store

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
    await setup.change_entry(NAME, lambda written: b"!" + content if setup.backend.database else content)
    for ask in (store.get, store.open, store.find):
        with pytest.raises(ArtifactDamaged):
            await ask(OWNER, NAME)
    assert await store.missing(OWNER, [NAME]) == [NAME]
    assert [artifact.name async for artifact in store.owned(OWNER)] == [name_of(b"one")]
    await store.put(OWNER, LONG)
    assert await store.get(OWNER, NAME) == LONG


async def test_an_entry_with_a_wrong_size_is_not_believed(setup: StoreSetup) -> None:
    await setup.store.put(OWNER, LONG)
    if setup.backend.database:
        await setup.rows("UPDATE entries SET size_bytes = 7777777")
    else:
        await setup.change_entry(NAME, lambda written: written.replace(str(len(LONG)).encode(), b"7777777"))
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


COMMIT = ("commit", Path("database"), b"")


@dataclass
class Disk:
    """What was flushed and renamed, in order: the final name of a file with its content at that moment, or a folder.

    A test can't observe the flush itself. The database flushes at its commits.
    """

    steps: list[tuple[str, Path, bytes]] = field(default_factory=list)

    def fsync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self.steps.append(("flush", path, path.read_bytes()) if path.is_file() else ("flush folder", path, b""))

    def replace(self, path: Path, target: Path) -> Path:
        self.steps.append(("rename", target, path.read_bytes()))
        os.rename(path, target)
        return target


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    for name in ("replace", "rename"):
        monkeypatch.setattr(Path, name, lambda path, target: disk.replace(path, target))  # noqa: PLW0108
    commit = Database.write

    async def write(database: Database, work: Any) -> Any:
        disk.steps.append(COMMIT)
        return await commit(database, work)

    monkeypatch.setattr(Database, "write", write)
    return disk


def final(path: Path) -> Path:
    return path.with_name(path.name.partition("#")[0])


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to find a descriptor's path")


@needs_proc
async def test_a_put_is_on_the_disk_before_it_is_renamed_and_acknowledged(on_disk: StoreSetup, disk: Disk) -> None:
    folder = on_disk.backend.folder
    assert folder
    blob = folder / BLOB
    await on_disk.store.put(OWNER, LONG)
    steps = [(what, final(path), content) for what, path, content in disk.steps]
    assert steps[:3] == [("flush", blob, LONG), ("rename", blob, LONG), ("flush folder", blob.parent, b"")]
    assert "#" in disk.steps[0][1].name, "under another name"
    above = [path for path in blob.parent.parents if path.is_relative_to(folder)]
    assert steps[3:] == [*(("flush folder", path, b"") for path in above), COMMIT], "the entry comes last"
    disk.steps.clear()
    await on_disk.again().put(OTHER, LONG)
    assert disk.steps == [("flush", blob, LONG), ("flush folder", blob.parent, b""), COMMIT], (
        "it may not be flushed yet"
    )
    disk.steps.clear()
    await on_disk.store.put(OWNER, b"few bytes")
    assert disk.steps == [COMMIT], "one step"
    disk.steps.clear()
    await on_disk.store.delete(OWNER, NAME)
    assert disk.steps == [COMMIT], "a deleted entry must not come back"


@needs_proc
async def test_the_folders_of_a_new_store_are_on_the_disk_too(tmp_path: Path, disk: Disk) -> None:
    new = tmp_path / "a" / "b" / "store"
    await open_store(new.as_uri(), tmp_path / "c" / "spool").close()
    flushed = {path for _, path, _ in disk.steps}
    assert {new, new.parent, new.parent.parent, tmp_path, tmp_path / "c"} <= flushed


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_bytes_of_a_failed_flush_are_written_again(
    on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """After a failed fsync the next one may succeed without writing: Linux reports the failure once."""
    folder = on_disk.backend.folder
    assert folder
    await on_disk.store.put(OTHER, b"other")
    flush, failed = os.fsync, []

    def fails(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (kind == "folder"):
            failed.append(descriptor)
            raise OSError(5, "Input/output error")
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(StorageUnavailable):
            await on_disk.store.put(OWNER, LONG)
    assert failed
    with pytest.raises(ArtifactNotFound):
        await on_disk.store.get(OWNER, NAME)
    before = (folder / BLOB).stat().st_ino if (folder / BLOB).exists() else 0
    assert bool(before) == (kind == "folder"), "a file is renamed only after its flush"
    await on_disk.store.put(OWNER, LONG)
    assert (folder / BLOB).stat().st_ino != before
    assert await on_disk.store.get(OWNER, NAME) == LONG


async def test_an_entry_whose_renewal_fails_stays(on_disk: StoreSetup) -> None:
    """The acknowledged entry is not touched before the new one is on the disk."""
    first = await on_disk.store.put(OWNER, b"few bytes", width=3, height=4)
    with full_at(2000), pytest.raises(StorageFull):
        await on_disk.store.put(OWNER, b"few bytes", width=5, height=6)
    assert await on_disk.store.find(OWNER, first.name) == first
    assert await on_disk.again().get(OWNER, first.name) == b"few bytes"


async def test_known_bytes_are_not_written_again(on_disk: StoreSetup) -> None:
    folder = on_disk.backend.folder
    assert folder
    await on_disk.store.put(OWNER, LONG)
    before = (folder / BLOB).stat()
    await on_disk.store.put(OTHER, LONG)
    await on_disk.again().put(OWNER, LONG)
    after = (folder / BLOB).stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
