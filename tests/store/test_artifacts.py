"""One suite over every kind of store, and what only a folder can suffer."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeste_image.core.errors import ArtifactDamaged, ArtifactNotFound, RangeExceeded
from celeste_image.store import CHUNK_BYTES, Artifact, ArtifactStore, artifact_name, open_store

MISSING = artifact_name("0" * 64)
PNG = b"\x89PNG\r\n\x1a\n" + b"the rest of it"


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return open_store("memory:///" if request.param == "memory" else (tmp_path / "a folder").as_uri())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def files(folder: Path) -> ArtifactStore:
    return open_store(folder.as_uri())


def blobs(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def read(store: ArtifactStore, artifact: Artifact, offset: int = 0, limit: int = 0) -> list[tuple[int, bytes]]:
    return [chunk async for chunk in store.read(artifact, offset, limit)]


# All stores


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"", "application/octet-stream"),
        (b"\x00", "application/octet-stream"),
        (bytes(CHUNK_BYTES * 2 + 1), "application/octet-stream"),
    ],
    ids=["png", "empty", "one byte", "chunks"],
)
async def test_what_is_put_can_be_had(store: ArtifactStore, data: bytes, media_type: str) -> None:
    artifact = await store.put(data)
    digest = hashlib.sha256(data).hexdigest()
    assert artifact == Artifact(f"artifacts/sha256-{digest}", media_type, len(data))
    assert artifact.sha256 == digest
    assert await store.get(artifact.name) == data
    assert await store.open(artifact.name) == artifact
    assert b"".join(chunk for _, chunk in await read(store, artifact)) == data


async def test_the_same_bytes_are_one_artifact(store: ArtifactStore) -> None:
    assert await store.put(PNG) == await store.put(PNG)
    several = await asyncio.gather(*(store.put(b"at once") for _ in range(10)))
    assert len(set(several)) == 1
    assert await store.put(PNG + b"!") not in several


LONG = bytes(range(256)) * (CHUNK_BYTES // 256 * 2) + b"tail"


@pytest.mark.parametrize(
    ("offset", "limit"),
    [
        (0, 0),
        (0, 1),
        (1, 2),
        (0, len(LONG) + 99),
        (len(LONG) - 1, 0),
        (len(LONG) - 1, 5),
        (CHUNK_BYTES - 1, 2),
        (CHUNK_BYTES, CHUNK_BYTES),
        (7, CHUNK_BYTES + 1),
    ],
)
async def test_ranges(store: ArtifactStore, offset: int, limit: int) -> None:
    chunks = await read(store, await store.put(LONG), offset, limit)
    assert b"".join(chunk for _, chunk in chunks) == (LONG[offset : offset + limit] if limit else LONG[offset:])
    for at, chunk in chunks:
        assert 0 < len(chunk) <= CHUNK_BYTES
        assert LONG[at : at + len(chunk)] == chunk


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 70), st.integers(0, 70))
def test_any_range_of_any_bytes(data: bytes, offset: int, limit: int) -> None:
    async def run() -> None:
        store = open_store("memory:///")
        artifact = await store.put(data)
        if offset > len(data):
            with pytest.raises(RangeExceeded):
                await read(store, artifact, offset, limit)
        else:
            got = b"".join(chunk for _, chunk in await read(store, artifact, offset, limit))
            assert got == (data[offset : offset + limit] if limit else data[offset:])

    asyncio.run(run())


async def test_the_end_is_within_and_beyond_it_is_not(store: ArtifactStore) -> None:
    artifact = await store.put(PNG)
    assert await read(store, artifact, len(PNG)) == []
    with pytest.raises(RangeExceeded) as caught:
        await read(store, artifact, len(PNG) + 1)
    assert caught.value.metadata == {"limit": str(len(PNG)), "value": str(len(PNG) + 1)}


async def test_a_name_of_nothing(store: ArtifactStore) -> None:
    await store.put(PNG)
    for ask in (store.get, store.open):
        with pytest.raises(ArtifactNotFound) as caught:
            await ask(MISSING)
        assert caught.value.resource == MISSING


@pytest.mark.parametrize(
    "name",
    [
        "",
        "artifacts/",
        "artifacts/sha256-",
        "0" * 64,
        "artifacts/sha256-" + "0" * 63,
        "artifacts/sha256-" + "0" * 65,
        "artifacts/sha256-" + "A" * 64,
        "artifacts/sha256-" + "g" * 64,
        "ARTIFACTS/sha256-" + "0" * 64,
        "artifacts/md5-" + "0" * 64,
        "artifacts/sha256-../../../../etc/passwd",
        "artifacts/sha256-" + ("../" * 22)[:64],
        "artifacts/sha256-" + "/" * 64,
        "artifacts/sha256-" + "0" * 63 + "\x00",
        "artifacts/sha256-" + "\N{FULLWIDTH DIGIT ONE}" * 64,
        "/etc/passwd",
        "../secret",
        "x" * 100_000,
    ],
    ids=lambda name: name[:40] + f" ({len(name)})",
)
async def test_names_that_no_artifact_can_have(store: ArtifactStore, name: str) -> None:
    for ask in (store.get, store.open):
        with pytest.raises(ArtifactNotFound) as caught:
            await ask(name)
        assert len(caught.value.message) < 200


# Folders


async def test_what_is_put_is_there_for_the_next_server(files: ArtifactStore, folder: Path) -> None:
    artifact = await files.put(PNG)
    later = open_store(folder.as_uri())
    assert await later.open(artifact.name) == artifact
    assert await later.get(artifact.name) == PNG


async def test_known_bytes_are_not_written_again(files: ArtifactStore, folder: Path) -> None:
    await files.put(PNG)
    (blob,) = blobs(folder)
    before = blob.stat()
    await files.put(PNG)
    await open_store(folder.as_uri()).put(PNG)
    assert (blob.stat().st_mtime_ns, blob.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_folder_is_made_for_its_owner_alone(files: ArtifactStore, folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


DAMAGES = [flipped, shortened, emptied, lengthened]


@pytest.mark.parametrize("known", [True, False], ids=["seen before", "new server"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_damaged_bytes_are_never_handed_out_and_heal(
    files: ArtifactStore, folder: Path, damage: Callable[[Path], None], known: bool
) -> None:
    artifact = await files.put(LONG)
    assert await files.open(artifact.name) == artifact
    (blob,) = blobs(folder)
    damage(blob)
    store = files if known else open_store(folder.as_uri())
    for ask in (store.get, store.open):
        with pytest.raises(ArtifactDamaged) as caught:
            await ask(artifact.name)
        assert caught.value.resource == artifact.name
    assert await store.put(LONG) == artifact
    assert await store.get(artifact.name) == LONG
    assert await store.open(artifact.name) == artifact


@pytest.mark.parametrize("known", [True, False], ids=["seen before", "new server"])
async def test_bytes_that_went_missing_are_not_found_and_heal(files: ArtifactStore, folder: Path, known: bool) -> None:
    artifact = await files.put(PNG)
    assert await files.open(artifact.name)
    (blob,) = blobs(folder)
    blob.unlink()
    store = files if known else open_store(folder.as_uri())
    for ask in (store.get, store.open):
        with pytest.raises(ArtifactNotFound):
            await ask(artifact.name)
    await store.put(PNG)
    assert await store.get(artifact.name) == PNG


async def test_bytes_that_shrink_or_vanish_while_they_are_read(files: ArtifactStore, folder: Path) -> None:
    artifact = await files.put(LONG)
    opened = await files.open(artifact.name)
    (blob,) = blobs(folder)
    blob.write_bytes(LONG[: CHUNK_BYTES + 10])
    with pytest.raises(ArtifactDamaged):
        await read(files, opened)
    blob.unlink()
    with pytest.raises(ArtifactNotFound):
        await read(files, opened)


async def test_strangers_in_the_folder_are_left_alone(files: ArtifactStore, folder: Path) -> None:
    (folder / "sha256").mkdir()
    (folder / "sha256" / "notes.txt").write_text("mine")
    artifact = await files.put(PNG)
    assert await files.get(artifact.name) == PNG
    assert (folder / "sha256" / "notes.txt").read_text() == "mine"


class Synced:
    """What was brought to the disk, and what was in the files at that moment."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.data: list[bytes] = []

    def __call__(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self.paths.append(path)
        if path.is_file():
            self.data.append(path.read_bytes())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs to see what a descriptor stands for")
async def test_a_put_is_on_the_disk_before_it_is_acknowledged(
    files: ArtifactStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = Synced()
    monkeypatch.setattr(os, "fsync", synced)  # nothing that a test may do shows whether a disk was waited for
    artifact = await files.put(PNG)
    (blob,) = blobs(folder)
    assert synced.data == [PNG], "the whole file, under its last name"
    assert synced.paths == [blob, blob.parent, blob.parent.parent, folder], "and every folder that names it"
    await open_store(folder.as_uri()).put(PNG)
    assert synced.data == [PNG, PNG], "bytes that were there may never have come to the disk"
    assert artifact.name


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/var/lib/celeste",
        "celeste",
        "s3://bucket/prefix",
        "http://127.0.0.1/",
        "file:",
        "file://",
        "file://relative/folder",
        "files:///x",
    ],
)
def test_urls_of_no_store(url: str) -> None:
    with pytest.raises(ValueError, match="a store is at memory:/// or file:///FOLDER"):
        open_store(url)


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    open_store((tmp_path / "a" / "b ü" / "c").as_uri())
    assert (tmp_path / "a" / "b ü" / "c").is_dir()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        open_store((tmp_path / "file").as_uri())
