"""Uploads: in chunks, resumed, repeated, and by concurrent writers."""

import asyncio
import errno
import fcntl
import hashlib
import os
import random
import stat
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.support.changing_objects import meddled
from tests.support.stores import OTHER, OWNER, StoreSetup, name_of, path_of
from tests.support.uploads import DATA, NAME, begin, send

from celeste_image.core.artifact import Artifact
from celeste_image.core.errors import (
    ArtifactNotFound,
    DigestMismatch,
    InvalidRequest,
    StorageFull,
    StorageUnavailable,
    UploadBusy,
)
from celeste_image.imaging.limits import ImageLimits
from celeste_image.rpc.transfers import Transfers
from celeste_image.store import file_uploads
from celeste_image.store.file_uploads import FileUpload

HALF = len(DATA) // 2


async def test_uploaded_bytes_are_an_artifact(setup: StoreSetup) -> None:
    artifact = await send(setup.store)
    assert (artifact.name, artifact.media_type, artifact.size_bytes) == (NAME, "image/png", len(DATA))
    assert (artifact.width, artifact.height, artifact.lineages) == (0, 0, ())
    assert await setup.store.get(OWNER, NAME) == DATA
    assert await setup.store.committed(OWNER, NAME) == (len(DATA), artifact)
    assert await setup.store.missing(OTHER, [NAME]) == [NAME]
    assert setup.parts() == []


async def test_a_large_upload_is_put_in_parts(setup: StoreSetup) -> None:
    data = os.urandom(12 << 20)
    await send(setup.store, data, name_of(data), step=1 << 20)
    assert hashlib.sha256(await setup.store.get(OWNER, name_of(data))).digest() == hashlib.sha256(data).digest()
    assert await setup.store.open(OWNER, name_of(data))


async def test_no_bytes_are_an_artifact_too(setup: StoreSetup) -> None:
    artifact = await send(setup.store, b"", name_of(b""))
    assert artifact.size_bytes == 0
    assert await setup.store.get(OWNER, artifact.name) == b""
    assert setup.parts() == []


@pytest.mark.parametrize("restart", [False, True], ids=["same server", "restarted"])
async def test_an_upload_resumes_where_it_stopped(setup: StoreSetup, restart: bool) -> None:
    await begin(setup.store, HALF)
    store = setup.again() if restart else setup.store
    assert await store.committed(OWNER, NAME) == (HALF, None)
    assert await store.committed(OTHER, NAME) == (0, None)
    with pytest.raises(ArtifactNotFound):
        await store.get(OWNER, NAME)
    assert await store.missing(OWNER, [NAME]) == [NAME]
    await send(store, start=HALF)
    assert await store.get(OWNER, NAME) == DATA
    assert setup.parts() == []


@pytest.mark.parametrize("start", [0, 1, HALF - 1, HALF])
async def test_repeated_bytes_are_ignored(on_disk: StoreSetup, start: int) -> None:
    await begin(on_disk.store, HALF)
    await send(on_disk.store, start=start, step=1000)
    assert await on_disk.store.get(OWNER, NAME) == DATA


async def test_repeated_bytes_are_not_compared(on_disk: StoreSetup) -> None:
    await begin(on_disk.store, HALF)
    await send(on_disk.store, bytes(HALF) + DATA[HALF:])
    assert await on_disk.store.get(OWNER, NAME) == DATA


async def test_a_gap_is_refused_and_harms_nothing(on_disk: StoreSetup) -> None:
    store = on_disk.store
    await begin(store, HALF)
    async with store.upload(OWNER, NAME) as upload:
        with pytest.raises(InvalidRequest) as caught:
            await store.write(upload, len(DATA), HALF + 1, b"x")
    assert caught.value.metadata == {"committed_size_bytes": str(HALF)}
    assert caught.value.violations[0].field == "chunk.offset"
    assert await store.committed(OWNER, NAME) == (HALF, None)
    await send(store, start=HALF)


async def test_other_bytes_than_declared_are_discarded(on_disk: StoreSetup) -> None:
    with pytest.raises(DigestMismatch, match=name_of(bytes(9))) as caught:
        await send(on_disk.store, bytes(9))
    assert caught.value.violations[0].field == "name"
    await assert_nothing_left(on_disk)
    await send(on_disk.store)


@pytest.mark.parametrize("size", [0, 1, HALF, len(DATA) - 1])
async def test_more_bytes_than_declared_are_discarded(on_disk: StoreSetup, size: int) -> None:
    with pytest.raises(DigestMismatch):
        await send(on_disk.store, size=size)
    await assert_nothing_left(on_disk)


async def test_a_size_below_the_arrived_bytes_is_refused(on_disk: StoreSetup) -> None:
    await begin(on_disk.store, len(DATA))  # complete, but never finished
    with pytest.raises(DigestMismatch) as caught:
        await send(on_disk.store, b"", size=HALF)
    assert caught.value.violations[0].field == "size_bytes"
    await assert_nothing_left(on_disk)


async def test_a_complete_upload_survives_the_end_of_the_server(setup: StoreSetup) -> None:
    await begin(setup.store, len(DATA))
    store = setup.again()
    assert await store.committed(OWNER, NAME) == (len(DATA), None)
    await send(store, start=len(DATA))
    assert await store.get(OWNER, NAME) == DATA


async def assert_nothing_left(setup: StoreSetup) -> None:
    assert await setup.store.committed(OWNER, NAME) == (0, None)
    assert setup.parts() == []
    assert await setup.paths() == []


# Several writers


async def test_writers_of_the_same_bytes_make_one_artifact(setup: StoreSetup) -> None:
    artifacts = await asyncio.gather(*(send(setup.store, step=step) for step in (1 << 14, 10_000, 1 << 16, 7777)))
    assert len({artifact.name for artifact in artifacts}) == 1
    assert await setup.blobs() == [NAME]
    assert [artifact.name async for artifact in setup.store.owned(OWNER)] == [NAME]
    assert setup.parts() == []
    assert await setup.store.get(OWNER, NAME) == DATA


async def test_a_late_writer_is_finished_too(on_disk: StoreSetup) -> None:
    store = on_disk.store
    async with store.upload(OWNER, NAME) as late:
        await store.write(late, len(DATA), 0, DATA[:HALF])
        await send(store)
        await store.write(late, len(DATA), HALF, DATA[HALF : HALF + 9])
        assert late.done
        assert (await store.finish(OWNER, NAME, len(DATA), late)).name == NAME
    assert on_disk.parts() == []


async def test_a_writer_after_the_end_and_a_delete_starts_over_beside_a_late_one(on_disk: StoreSetup) -> None:
    store = on_disk.store
    async with store.upload(OWNER, NAME):  # and sends nothing more
        await send(store)
        await store.delete(OWNER, NAME)
        await begin(store, HALF)
        assert await store.committed(OWNER, NAME) == (HALF, None)
    assert await store.committed(OWNER, NAME) == (HALF, None), "the late writer removes nothing"
    await send(store, start=HALF)


async def test_wrong_bytes_end_the_upload_for_all_writers_and_it_can_start_over(setup: StoreSetup) -> None:
    store = setup.store
    async with store.upload(OWNER, NAME) as right, store.upload(OWNER, NAME) as wrong:
        assert right is wrong, "one file"
        await store.write(right, len(DATA), 0, DATA[:100])
        await store.write(wrong, len(DATA), 0, bytes(len(DATA)))
        with pytest.raises(DigestMismatch):
            await store.finish(OWNER, NAME, len(DATA), wrong)
        with pytest.raises(InvalidRequest) as caught:
            await store.write(right, len(DATA), 100, DATA[100:])
        assert caught.value.metadata == {"committed_size_bytes": "0"}
        await store.write(right, len(DATA), 0, DATA)  # on the same call
        assert (await store.finish(OWNER, NAME, len(DATA), right)).name == NAME
    assert await store.get(OWNER, NAME) == DATA
    assert setup.parts() == []


async def test_a_writer_that_waits_for_a_failing_finish_must_start_over(on_disk: StoreSetup) -> None:
    store = on_disk.store
    async with store.upload(OWNER, NAME) as one, store.upload(OWNER, NAME) as two:
        await store.write(one, len(DATA), 0, bytes(len(DATA)))
        ends = await asyncio.gather(
            *(store.finish(OWNER, NAME, len(DATA), upload) for upload in (one, two)), return_exceptions=True
        )
    assert sorted(type(end).__name__ for end in ends) == ["DigestMismatch", "InvalidRequest"]
    assert isinstance(ends[1], InvalidRequest)
    assert ends[1].metadata == {"committed_size_bytes": "0"}
    await assert_nothing_left(on_disk)


async def test_a_cancelled_write_ends_before_the_next_begins(
    on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread outlives its cancelled call; without the lock, two threads would write at one offset."""
    store, append = on_disk.store, FileUpload.append
    within, go_on = threading.Event(), threading.Event()

    def slow(upload: FileUpload, data: bytes) -> None:
        within.set()
        assert go_on.wait(10)
        append(upload, data)

    monkeypatch.setattr(FileUpload, "append", slow)
    dropped = asyncio.create_task(begin(store, HALF))
    while not within.is_set():
        await asyncio.sleep(0.001)
    monkeypatch.setattr(FileUpload, "append", append)
    dropped.cancel()
    resumed = asyncio.create_task(send(store))
    await asyncio.sleep(0.02)
    assert not dropped.done()
    assert not resumed.done()
    go_on.set()
    await resumed
    with pytest.raises(asyncio.CancelledError):
        await dropped
    assert await store.get(OWNER, NAME) == DATA
    assert on_disk.parts() == []


async def test_a_file_that_another_server_writes_is_untouched(
    on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_uploads, "LOCK_SECONDS", 0.1)
    other = on_disk.again()
    async with on_disk.store.upload(OWNER, NAME):
        with pytest.raises(UploadBusy):
            await send(other)
    await send(other)


# Deleting, damage and faults


async def test_an_upload_can_be_deleted(setup: StoreSetup) -> None:
    await begin(setup.store, HALF)
    await setup.store.delete(OTHER, NAME)
    assert await setup.store.committed(OWNER, NAME) == (HALF, None)
    await setup.store.delete(OWNER, NAME)
    assert await setup.store.committed(OWNER, NAME) == (0, None)
    assert setup.parts() == []


async def test_an_upload_that_is_deleted_during_a_write_starts_over(on_disk: StoreSetup) -> None:
    store = on_disk.store
    async with store.upload(OWNER, NAME) as upload:
        await store.write(upload, len(DATA), 0, DATA[:HALF])
        await store.delete(OWNER, NAME)
        with pytest.raises(InvalidRequest) as caught:
            await store.write(upload, len(DATA), HALF, DATA[HALF:])
        assert caught.value.metadata == {"committed_size_bytes": "0"}
    await assert_nothing_left(on_disk)


@pytest.mark.parametrize("damage", ["flipped", "lost", "record"])
async def test_damaged_bytes_can_be_uploaded_again(setup: StoreSetup, damage: str) -> None:
    store = setup.store
    await send(store)
    if damage == "flipped":
        await setup.overwrite(NAME, DATA[:-1] + b"x")
    elif damage == "lost":
        await setup.lose(NAME)
    else:
        await setup.change_entry(NAME, lambda written: b"")
    assert await store.committed(OWNER, NAME) == (0, None)
    assert await store.missing(OWNER, [NAME]) == [NAME]
    await send(store)
    assert await store.get(OWNER, NAME) == DATA
    assert await store.missing(OWNER, [NAME]) == []


async def test_a_disk_that_fills_up_keeps_the_earlier_bytes(
    on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = on_disk.store
    pwrite, left = os.pwrite, [HALF + 10, 0, 0]

    def full(file: int, data: bytes, offset: int) -> int:
        room = left.pop(0) if left else len(data)
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(file, data[:room], offset)

    monkeypatch.setattr(os, "pwrite", full)
    for _ in range(2):
        async with store.upload(OWNER, NAME) as upload:
            with pytest.raises(StorageFull) as caught:
                await store.write(upload, len(DATA), upload.size, DATA)
            assert caught.value.retry_after
        assert await store.committed(OWNER, NAME) == (0, None)
    await send(store)
    assert await store.get(OWNER, NAME) == DATA


async def test_a_link_in_the_spool_is_not_followed(on_disk: StoreSetup, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (on_disk.spool / f"{OWNER}-{NAME[17:]}.part").symlink_to(precious)
    with pytest.raises(StorageUnavailable):
        await send(on_disk.store)
    assert precious.read_bytes() == b"mine"


async def test_no_file_stays_open(on_disk: StoreSetup) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for data in (b"one", b"two", b"three"):
        await send(on_disk.store, data, name_of(data))
        await begin(on_disk.store, 2, b"and " + data, name_of(b"and " + data))
        with pytest.raises(DigestMismatch):
            await send(on_disk.store, data, NAME)
    assert len(os.listdir("/proc/self/fd")) <= before
    for part in on_disk.parts():
        with part.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Two servers with one spool


@pytest.mark.parametrize("first_ends", ["stored", "dropped"])
async def test_a_writer_waits_for_another_server(on_disk: StoreSetup, first_ends: str) -> None:
    """The same bytes at once to two replicas: the second waits, then has the artifact or goes on."""
    here, there = on_disk.store, on_disk.again()
    begun = asyncio.Event()

    async def first() -> None:
        async with here.upload(OWNER, NAME) as upload:
            await here.write(upload, len(DATA), 0, DATA[:1000])
            begun.set()
            await asyncio.sleep(0.1)
            if first_ends == "stored":
                await here.write(upload, len(DATA), 1000, DATA[1000:])
                await here.finish(OWNER, NAME, len(DATA), upload)

    async def chunks() -> AsyncGenerator[tuple[int, bytes], None]:
        yield 1000, DATA[1000:]

    async def second() -> tuple[int, Artifact | None]:
        await begun.wait()
        return await Transfers(there, ImageLimits()).write(OWNER, NAME, len(DATA), chunks())

    _, (size, artifact) = await asyncio.gather(first(), second())
    assert size == len(DATA)
    assert artifact
    assert await there.get(OWNER, NAME) == DATA
    assert on_disk.parts() == []


async def test_a_writer_does_not_wait_for_ever(on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_uploads, "LOCK_SECONDS", 0.1)
    async with on_disk.store.upload(OWNER, NAME) as upload:
        await on_disk.store.write(upload, len(DATA), 0, DATA[:1000])
        with pytest.raises(UploadBusy, match="another server has had this upload open") as caught:
            async with on_disk.again().upload(OWNER, NAME):
                pass
        assert caught.value.retry_after
        await on_disk.store.write(upload, len(DATA), 1000, DATA[1000:])
        await on_disk.store.finish(OWNER, NAME, len(DATA), upload)


# Bytes are written once, and read as little as can be


LARGE = random.Random(12).randbytes(2 << 20)
LARGE_NAME = name_of(LARGE)


async def test_bytes_are_hashed_as_they_arrive(on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    pread, read = os.pread, 0

    def counting(file: int, size: int, offset: int) -> bytes:
        nonlocal read
        data = pread(file, size, offset)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counting)
    await send(on_disk.store, LARGE, LARGE_NAME)
    assert read == 16, "the first bytes, for the media type"
    await on_disk.store.delete(OWNER, LARGE_NAME)
    await begin(on_disk.store, len(LARGE) // 2, LARGE, LARGE_NAME)
    await send(on_disk.store, LARGE, LARGE_NAME, start=len(LARGE) // 2)
    assert read == 32 + len(LARGE), "a resumed upload is read once, at its end"


async def test_an_upload_on_the_disk_of_the_store_is_moved_and_not_copied(on_disk: StoreSetup) -> None:
    await begin(on_disk.store, len(LARGE), LARGE, LARGE_NAME)
    (part,) = on_disk.parts()
    before = part.stat()
    await send(on_disk.store, LARGE, LARGE_NAME, start=len(LARGE))
    assert on_disk.backend.folder
    assert (on_disk.backend.folder / path_of(LARGE_NAME)).stat().st_ino == before.st_ino
    assert on_disk.parts() == []
    assert await on_disk.store.get(OWNER, LARGE_NAME) == LARGE


async def test_an_upload_is_as_readable_as_the_folder_of_the_store(on_disk: StoreSetup) -> None:
    folder = on_disk.backend.folder
    assert folder
    for number, mode in enumerate((0o700, 0o750)):
        folder.chmod(mode)
        data = LARGE + bytes([number])
        await send(on_disk.store, data, name_of(data))
        assert (folder / path_of(name_of(data))).stat().st_mode & 0o777 == mode & 0o666


async def test_an_upload_on_another_disk_is_copied(on_two_disks: StoreSetup) -> None:
    await send(on_two_disks.store, LARGE, LARGE_NAME)
    assert on_two_disks.parts() == []
    assert await on_two_disks.store.get(OWNER, LARGE_NAME) == LARGE


@pytest.mark.parametrize("then", ["stored", "longer", "discarded", "deleted"])
async def test_an_artifact_that_an_upload_became_is_not_changed_by_its_other_writers(
    on_disk: StoreSetup, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """The file is in its place, and then the flush of its folder fails: the upload stays, with the same bytes."""
    store, folder, fsync = on_disk.store, on_disk.backend.folder, os.fsync
    assert folder

    def fails(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    blob = folder / path_of(LARGE_NAME)
    async with store.upload(OWNER, LARGE_NAME) as one, store.upload(OWNER, LARGE_NAME) as other:
        await store.write(one, len(LARGE), 0, LARGE)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fails)
            with pytest.raises(StorageUnavailable):
                await store.finish(OWNER, LARGE_NAME, len(LARGE), one)
        assert blob.read_bytes() == LARGE
        assert await store.committed(OWNER, LARGE_NAME) == (len(LARGE), None)
        if then == "longer":
            await store.write(other, len(LARGE) + 4, len(LARGE), b"more")
            with pytest.raises(DigestMismatch):
                await store.finish(OWNER, LARGE_NAME, len(LARGE) + 4, other)
        elif then == "discarded":
            with pytest.raises(DigestMismatch):
                await store.write(other, 1, 0, b"too long")
        elif then == "deleted":
            await store.delete(OWNER, LARGE_NAME)
        assert blob.read_bytes() == LARGE
        if then != "stored":
            assert await store.committed(OWNER, LARGE_NAME) == (0, None)
            await store.write(other, len(LARGE), 0, LARGE)
        await store.finish(OWNER, LARGE_NAME, len(LARGE), other)
    assert await store.get(OWNER, LARGE_NAME) == LARGE
    assert on_disk.parts() == []


async def test_an_upload_that_was_stored_when_its_server_was_killed_goes_on_with_a_copy(on_disk: StoreSetup) -> None:
    await begin(on_disk.store, len(LARGE), LARGE, LARGE_NAME)
    (part,) = on_disk.parts()
    assert on_disk.backend.folder
    blob = on_disk.backend.folder / path_of(LARGE_NAME)
    blob.parent.mkdir(parents=True)
    blob.hardlink_to(part)
    with pytest.raises(DigestMismatch):
        await send(on_disk.store, LARGE + b"more", LARGE_NAME, start=len(LARGE))
    assert blob.read_bytes() == LARGE
    assert on_disk.parts() == []


async def test_a_file_that_another_server_has_just_moved_into_the_store_is_not_written(
    on_disk: StoreSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was opened before, and is locked after: the other server has ended the upload in between."""
    await begin(on_disk.store, len(LARGE), LARGE, LARGE_NAME)
    (part,) = on_disk.parts()
    lock, stored = fcntl.flock, tmp_path / "stored"

    def late(file: int, how: int) -> None:
        if not stored.exists():
            part.rename(stored)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    await begin(on_disk.store, 10, bytes(len(LARGE)), LARGE_NAME)
    assert stored.read_bytes() == LARGE
    assert part.read_bytes() == bytes(10)


async def test_an_uploaded_artifact_is_not_read_again_before_its_download(setup: StoreSetup) -> None:
    read = False

    async def noted() -> None:
        nonlocal read
        read = True

    store = meddled(setup, path_of(LARGE_NAME), after_read=noted)
    await send(store, LARGE, LARGE_NAME)
    assert (await store.open(OWNER, LARGE_NAME)).size_bytes == len(LARGE)
    assert not read
