"""ArtifactStore on every kind of backend: put, get, ranges, owners, lineages, URLs."""

import asyncio
import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import stores
from tests.support.stores import OTHER, OWNER, StoreSetup

from celeste_image.core.artifact import Artifact, Lineage, artifact_name
from celeste_image.core.errors import ArtifactNotFound, RangeExceeded
from celeste_image.store import CHUNK_BYTES, ArtifactStore, open_store
from celeste_image.store.index import LINEAGES

MISSING = artifact_name("0" * 64)
PNG = b"\x89PNG\r\n\x1a\n" + b"the rest of it"
LONG = bytes(range(256)) * (CHUNK_BYTES // 256 * 2) + b"tail"


async def read(store: ArtifactStore, artifact: Artifact, offset: int = 0, limit: int = 0) -> list[tuple[int, bytes]]:
    return [chunk async for chunk in store.read(artifact, offset, limit)]


async def owned(store: ArtifactStore, owner: str = OWNER, after: str = "") -> list[str]:
    return [artifact.name async for artifact in store.owned(owner, after)]


def made(number: int) -> Lineage:
    return Lineage(f"request-{number}", "generate", "local/compose", datetime.now(UTC), number, ("a" * 64,))


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
async def test_stored_bytes_are_returned(setup: StoreSetup, data: bytes, media_type: str) -> None:
    store = setup.store
    artifact = await store.put(OWNER, data, width=3, height=2)
    sha256 = hashlib.sha256(data).hexdigest()
    assert (artifact.name, artifact.sha256) == (f"artifacts/sha256-{sha256}", sha256)
    assert (artifact.media_type, artifact.size_bytes) == (media_type, len(data))
    assert (artifact.width, artifact.height, artifact.expires, artifact.lineages) == (3, 2, None, ())
    assert artifact.created is not None
    assert abs(artifact.created - datetime.now(UTC)) < timedelta(minutes=1)
    for same in (store, setup.again()):
        assert await same.get(OWNER, artifact.name) == data
        assert await same.find(OWNER, artifact.name) == artifact
        assert await same.open(OWNER, artifact.name) == artifact
        assert b"".join(chunk for _, chunk in await read(same, artifact)) == data
    assert store.damaged == 0


async def test_the_same_bytes_are_one_artifact(setup: StoreSetup) -> None:
    several = await asyncio.gather(*(setup.store.put(OWNER, b"at once") for _ in range(10)))
    assert len({artifact.name for artifact in several}) == 1
    assert len({artifact.created for artifact in several}) == 1, "the first store sets the creation time"
    assert len(await setup.blobs()) == 1
    await setup.store.put(OWNER, b"others")
    assert len(await setup.blobs()) == 2


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
async def test_ranges(setup: StoreSetup, offset: int, limit: int) -> None:
    chunks = await read(setup.store, await setup.store.put(OWNER, LONG), offset, limit)
    assert b"".join(chunk for _, chunk in chunks) == (LONG[offset : offset + limit] if limit else LONG[offset:])
    for at, chunk in chunks:
        assert 0 < len(chunk) <= CHUNK_BYTES
        assert LONG[at : at + len(chunk)] == chunk


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 70), st.integers(0, 70))
def test_any_range_of_any_bytes(data: bytes, offset: int, limit: int) -> None:
    async def run() -> None:
        store = stores.memory()
        artifact = await store.put(OWNER, data)
        if offset > len(data):
            with pytest.raises(RangeExceeded):
                await read(store, artifact, offset, limit)
        else:
            got = b"".join(chunk for _, chunk in await read(store, artifact, offset, limit))
            assert got == (data[offset : offset + limit] if limit else data[offset:])

    asyncio.run(run())


async def test_the_end_is_within_and_beyond_it_is_not(setup: StoreSetup) -> None:
    artifact = await setup.store.put(OWNER, PNG)
    assert await read(setup.store, artifact, len(PNG)) == []
    with pytest.raises(RangeExceeded) as caught:
        await read(setup.store, artifact, len(PNG) + 1)
    assert caught.value.metadata == {"limit": str(len(PNG)), "value": str(len(PNG) + 1)}


async def test_an_unknown_name_is_not_found(setup: StoreSetup) -> None:
    await setup.store.put(OWNER, PNG)
    for ask in (setup.store.get, setup.store.open, setup.store.find):
        with pytest.raises(ArtifactNotFound) as caught:
            await ask(OWNER, MISSING)
        assert caught.value.resource == MISSING
    await setup.store.delete(OWNER, MISSING)
    assert setup.store.damaged == 0


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
        "artifacts/sha256-" + "0" * 63 + "\n",
        "artifacts/sha256-" + "\N{FULLWIDTH DIGIT ONE}" * 64,
        "/etc/passwd",
        "../secret",
        "x" * 100_000,
    ],
    ids=lambda name: name[:40].replace("\0", "NUL") + f" ({len(name)})",
)
async def test_names_that_no_artifact_can_have_never_reach_the_store(name: str, tmp_path: Path) -> None:
    class Untouched:
        def __getattr__(self, attribute: str) -> object:
            raise AssertionError(f"{attribute} was used")

    from celeste_image.store.backend import Backend
    from celeste_image.store.file_uploads import FileUploads

    store = ArtifactStore(Backend(Untouched()), FileUploads(tmp_path, 0))  # type: ignore[arg-type]
    for ask in (store.get, store.open, store.find, store.delete, store.committed):
        with pytest.raises(ArtifactNotFound) as caught:
            await ask(OWNER, name)
        assert len(caught.value.message) < 200
    with pytest.raises(ArtifactNotFound):
        await store.missing(OWNER, [name])
    with pytest.raises(ArtifactNotFound):
        async with store.upload(OWNER, name):
            pass
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("owner", ["", "..", "a/b", "a\0b", "A", "ä", "-a", "a" * 65, "a b", "a.b", "a\n"])
async def test_owners_that_could_lead_into_anothers_folder_are_refused(on_disk: StoreSetup, owner: str) -> None:
    for ask in (on_disk.store.find, on_disk.store.committed, on_disk.store.delete):
        with pytest.raises(ValueError, match="the name of an owner"):
            await ask(owner, MISSING)
    with pytest.raises(ValueError, match="the name of an owner"):
        await owned(on_disk.store, owner)


# Owners


async def test_a_digest_is_no_permission(setup: StoreSetup) -> None:
    store = setup.store
    name = (await store.put(OWNER, PNG)).name
    for ask in (store.get, store.open, store.find):
        with pytest.raises(ArtifactNotFound):
            await ask(OTHER, name)
    assert await store.missing(OTHER, [name]) == [name]
    assert await store.committed(OTHER, name) == (0, None)
    assert await owned(store, OTHER) == []
    await store.delete(OTHER, name)
    assert await store.get(OWNER, name) == PNG


async def test_each_owner_has_an_artifact_of_the_same_bytes(setup: StoreSetup) -> None:
    store = setup.store
    mine = await store.put(OWNER, PNG, lineage=made(1))
    his = await store.put(OTHER, PNG)
    assert mine.name == his.name
    assert (await store.find(OTHER, his.name)).lineages == ()
    assert len(await setup.blobs()) == 1
    await store.delete(OWNER, mine.name)
    assert await store.get(OTHER, his.name) == PNG
    with pytest.raises(ArtifactNotFound):
        await store.get(OWNER, mine.name)


async def test_missing_names_are_those_without_bytes(setup: StoreSetup) -> None:
    names = [(await setup.store.put(OWNER, bytes([n]))).name for n in range(40)]
    await setup.lose(names[7])
    asked = [MISSING, *names, artifact_name("1" * 64)]
    assert await setup.store.missing(OWNER, asked) == [MISSING, names[7], artifact_name("1" * 64)]


async def test_owned_artifacts_are_listed_in_order_from_any_name(setup: StoreSetup) -> None:
    names = sorted([(await setup.store.put(OWNER, bytes([n]), lineage=made(n))).name for n in range(40)])
    await setup.store.put(OTHER, b"not this")
    assert await owned(setup.store) == names
    assert await owned(setup.store, after=names[9]) == names[10:]
    assert await owned(setup.store, after=names[-1]) == []
    assert await owned(setup.store, after=artifact_name("8" * 64)) == [n for n in names if n > artifact_name("8" * 64)]
    assert not [artifact async for artifact in setup.store.owned(OWNER) if artifact.lineages]


# Facts and lineages


async def test_lineages_come_newest_first_and_are_bounded(setup: StoreSetup) -> None:
    lineages = [made(n) for n in range(LINEAGES + 3)]
    for lineage in lineages:
        artifact = await setup.store.put(OWNER, PNG, lineage=lineage)
    assert artifact.lineages == tuple(lineages[:2:-1])
    assert (await setup.again().find(OWNER, artifact.name)).lineages == artifact.lineages


async def test_lineages_of_puts_at_once_are_all_kept(setup: StoreSetup) -> None:
    await asyncio.gather(*(setup.store.put(OWNER, PNG, lineage=made(n)) for n in range(10)))
    (name,) = await owned(setup.store)
    assert sorted(lineage.seed or 0 for lineage in (await setup.store.find(OWNER, name)).lineages) == list(range(10))


async def test_a_known_size_in_pixels_is_kept(setup: StoreSetup) -> None:
    await setup.store.put(OWNER, PNG, width=640, height=480)
    artifact = await setup.store.put(OWNER, PNG)
    assert (artifact.width, artifact.height) == (640, 480)


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/var/lib/celeste",
        "celeste",
        "s3://",
        "http://127.0.0.1/",
        "file:",
        "file://",
        "file://relative/folder",
        "x:///",
    ],
)
def test_invalid_urls_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"store\.url: must be memory:///, file:///FOLDER or s3://BUCKET/PREFIX"):
        open_store(url, tmp_path / "spool")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url", ["s3://KEY:SECRET@bucket", "s3://SECRET@bucket/a", "s3://bucket?secret=SECRET", "x://a:SECRET@b"]
)
def test_keys_are_never_in_a_url(url: str, tmp_path: Path) -> None:
    """The log and errors show the URL."""
    with pytest.raises(ValueError, match=r"store\.url: must have no keys") as caught:
        open_store(url, tmp_path / "spool")
    assert "SECRET" not in str(caught.value)


def test_an_unknown_option_is_named_without_its_value(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="secret_acess_key") as caught:
        open_store("s3://bucket/", tmp_path, options={"secret_acess_key": "hush"})
    assert "hush" not in str(caught.value)


def test_folders_are_created_with_parents_and_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        open_store((tmp_path / "a" / "b ü" / "c").as_uri(), tmp_path / "d" / "spool")
    finally:
        os.umask(old)
    for folder in (tmp_path / "a" / "b ü" / "c", tmp_path / "d" / "spool"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        open_store((tmp_path / "file").as_uri(), tmp_path / "spool")
