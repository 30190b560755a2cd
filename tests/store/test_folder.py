"""A store in a folder: few bytes are in the database, many in files; the index of earlier versions is taken over."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.stores import LARGE_BYTES, OTHER, OWNER, StoreSetup, name_of, path_of, setup_at, swept

from celeste_image.core.artifact import Artifact, Lineage
from celeste_image.core.errors import ArtifactDamaged, ArtifactNotFound
from celeste_image.store import open_store
from celeste_image.store.open import DATABASE, open_backend

SMALL, LARGE = b"1" * (LARGE_BYTES - 2), b"2" * LARGE_BYTES
BOUNDARY = b"3" * (LARGE_BYTES - 1)
MADE = Lineage("a-request", "generate", "local/compose", datetime(2026, 11, 1, tzinfo=UTC), 7, ("a" * 64,))


async def test_few_bytes_are_in_the_database_and_many_in_a_file(on_disk: StoreSetup) -> None:
    for data in (b"", SMALL, BOUNDARY, LARGE):
        artifact = await on_disk.store.put(OWNER, data)
        for store in (on_disk.store, on_disk.again()):
            opened = await store.open(OWNER, artifact.name)
            assert (await store.get(OWNER, artifact.name), opened.size_bytes) == (data, len(data))
            for offset, limit in ((0, 0), (len(data) // 2, 0), (1, 5), (len(data), 0)):
                if offset <= len(data):
                    got = b"".join([chunk async for _, chunk in store.read(opened, offset, limit)])
                    assert got == (data[offset : offset + limit] if limit else data[offset:])
    assert await on_disk.paths("sha256/") == sorted(map(path_of, map(name_of, (BOUNDARY, LARGE))))
    assert await on_disk.blobs() == sorted(map(name_of, (b"", SMALL, BOUNDARY, LARGE)))


@pytest.mark.parametrize("first", ["get", "open", "read"])
@pytest.mark.parametrize(
    "damage", [b"x" + SMALL[1:], SMALL[1:], b"", None], ids=["flipped", "shorter", "empty", "lost"]
)
async def test_damage_in_the_database_is_found_and_heals(on_disk: StoreSetup, damage: bytes | None, first: str) -> None:
    store = on_disk.store
    artifact = await store.put(OWNER, SMALL)
    if damage is None:
        await on_disk.lose(artifact.name)
    else:
        await on_disk.overwrite(artifact.name, damage)

    async def read(owner: str, name: str) -> None:
        async for _ in store.read(artifact):
            pass

    with pytest.raises(ArtifactNotFound if damage is None and first == "read" else ArtifactDamaged):
        await {"get": store.get, "open": store.open, "read": read}[first](OWNER, artifact.name)
    assert await store.missing(OWNER, [artifact.name]) == [artifact.name]
    quarantined = await on_disk.paths("quarantine/")
    assert quarantined == ([] if damage is None else [f"quarantine/{artifact.sha256}"])
    if damage is not None:
        assert store.damaged == 1
        assert on_disk.backend.folder
        assert (on_disk.backend.folder / quarantined[0]).read_bytes() == damage
    assert (await store.put(OTHER, SMALL)).name == artifact.name
    assert await store.get(OWNER, artifact.name) == SMALL, "another's put heals it too"


async def test_a_put_replaces_damage_that_nobody_has_read(on_disk: StoreSetup) -> None:
    artifact = await on_disk.store.put(OWNER, SMALL)
    await on_disk.overwrite(artifact.name, b"x" + SMALL[1:])
    await on_disk.store.put(OWNER, SMALL)
    assert await on_disk.store.get(OWNER, artifact.name) == SMALL
    assert on_disk.store.damaged == 0


# The index of earlier versions


def record(folder: Path, owner: str, data: bytes, hours: float = 0, **values: object) -> Path:
    """Writes the file that earlier versions had for an entry, and the bytes."""
    name = name_of(data)
    blob = folder / path_of(name)
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    known = {"media_type": "image/png", "size_bytes": len(data), "width": 3, "height": 2}
    lineage = {"request_id": MADE.request_id, "operation": MADE.operation, "model": MADE.model, "seed": MADE.seed}
    lineage |= {"time": MADE.time.isoformat(), "parents": list(MADE.parents)}
    known |= {"created": "2026-11-01T10:00:00.123456+00:00", "lineages": [lineage]}
    path = folder / "records" / owner / f"{name[17:]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known | values))
    for file in (path, blob):
        os.utime(file, (file.stat().st_mtime - hours * 3600,) * 2)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


async def owned(folder: Path, owner: str) -> list[Artifact]:
    store = open_store(folder.as_uri(), folder.parent / "spool")
    found = [artifact async for artifact in store.owned(owner)]
    await store.close()
    return found


async def test_the_index_of_an_earlier_version_is_taken_over(folder: Path, tmp_path: Path) -> None:
    data = (SMALL, LARGE)
    for each in data:
        record(folder, OWNER, each)
    record(folder, OTHER, SMALL)
    with capture_logs() as logs:
        setup = setup_at(open_backend(folder.as_uri(), {}), tmp_path / "spool")
    assert [line["artifacts"] for line in logs] == [3]
    for each in data:
        artifact = await setup.store.find(OWNER, name_of(each))
        assert (artifact.media_type, artifact.size_bytes, artifact.width, artifact.height) == (
            "image/png",
            len(each),
            3,
            2,
        )
        assert artifact.created == datetime(2026, 11, 1, 10, 0, 0, 123456, tzinfo=UTC)
        assert artifact.lineages == (MADE,)
        assert await setup.store.get(OWNER, artifact.name) == each
        assert (await setup.store.open(OWNER, artifact.name)).size_bytes == len(each)
        assert b"".join([chunk async for _, chunk in setup.store.read(artifact)]) == each
    assert not (folder / "records").exists()
    assert await setup.store.missing(OTHER, [name_of(SMALL), name_of(LARGE)]) == [name_of(LARGE)]
    await setup.store.delete(OWNER, name_of(LARGE))
    setup.close()
    assert [artifact.name for artifact in await owned(folder, OWNER)] == [name_of(SMALL)], "a deleted one stays deleted"


async def test_ages_are_taken_over_too(folder: Path, tmp_path: Path) -> None:
    record(folder, OWNER, SMALL, hours=25)
    record(folder, OWNER, LARGE, hours=23)
    setup = setup_at(open_backend(folder.as_uri(), {}), tmp_path / "spool")
    assert await swept(setup.again(retention_hours=24)) == (1, 1, 0)
    assert [artifact.name async for artifact in setup.store.owned(OWNER)] == [name_of(LARGE)]
    setup.close()


async def test_a_damaged_entry_is_taken_over_as_damaged(folder: Path, tmp_path: Path) -> None:
    record(folder, OWNER, LARGE).write_bytes(b"{")
    setup = setup_at(open_backend(folder.as_uri(), {}), tmp_path / "spool")
    with pytest.raises(ArtifactDamaged):
        await setup.store.get(OWNER, name_of(LARGE))
    setup.clock.ahead = timedelta(hours=2)
    assert await swept(setup.store) == (0, 0, 0), "its bytes have an owner"
    await setup.store.put(OWNER, LARGE)
    assert await setup.store.get(OWNER, name_of(LARGE)) == LARGE
    setup.close()


async def test_what_was_stored_since_is_not_replaced_by_an_earlier_entry(folder: Path, tmp_path: Path) -> None:
    """A server of an earlier version ran again meanwhile, or the take-over was killed."""
    setup = setup_at(open_backend(folder.as_uri(), {}), tmp_path / "spool")
    await setup.store.put(OWNER, SMALL, width=640)
    await setup.store.put(OWNER, LARGE, width=640)
    setup.close()
    record(folder, OWNER, SMALL, hours=1)
    record(folder, OWNER, LARGE, hours=-1)
    record(folder, OWNER, b"new")
    widths = {artifact.name: artifact.width for artifact in await owned(folder, OWNER)}
    assert widths == {name_of(SMALL): 640, name_of(LARGE): 3, name_of(b"new"): 3}
    assert not (folder / "records").exists()


async def test_foreign_files_beside_earlier_entries_stay(folder: Path) -> None:
    record(folder, OWNER, SMALL)
    strangers = [folder / "records" / "notes.txt", folder / "records" / OWNER / "notes.json"]
    for path in strangers:
        path.write_bytes(b"mine")
    assert len(await owned(folder, OWNER)) == 1
    assert sorted(path for path in (folder / "records").rglob("*") if path.is_file()) == sorted(strangers)


def test_a_store_of_a_later_version_is_refused_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    backend = open_backend(folder.as_uri(), {})
    assert backend.database
    backend.database.close()
    import sqlite3

    db = sqlite3.connect(folder / DATABASE)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ValueError, match=r"^store.url: .*has version 99"):
        open_store(folder.as_uri(), tmp_path / "spool")
