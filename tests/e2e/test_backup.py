"""`celeste db`: a store is copied while a server writes to it, restored elsewhere, and served."""

import asyncio
import json
import random
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from tests.support.command import CELESTE
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.database.schema import STEPS
from celeste_image.store.open import DATABASE

SMALL, LARGE = 20_000, 300_000


def celeste(*arguments: str, store: Path) -> subprocess.CompletedProcess[str]:
    command = [*CELESTE, "db", *arguments, "--set", f"store.url={store.as_uri()}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=store.parent, timeout=60, check=False)


@asynccontextmanager
async def serving(store: Path) -> AsyncIterator[AsyncClient]:
    async with running(store={"url": store.as_uri(), "reserve_bytes": 0}) as server:
        async with AsyncClient(server.address) as client:
            yield client


async def test_a_backup_under_load_restores_elsewhere_and_serves(tmp_path: Path) -> None:
    store, copy, restored = tmp_path / "store", tmp_path / "copy", tmp_path / "restored"
    before: dict[str, int] = {}
    async with serving(store) as client:

        async def upload() -> None:
            data = random.randbytes(random.choice([SMALL, LARGE]))
            before[(await client.upload(data)).name] = len(data)

        async def load() -> None:
            while True:
                await upload()

        for _ in range(20):
            await upload()
        tasks = [asyncio.create_task(load()) for _ in range(4)]
        acknowledged = dict(before)
        for _ in range(2):  # the second one is into the first
            told = await asyncio.to_thread(celeste, "backup", str(copy), store=store)
            assert (told.returncode, told.stderr) == (0, ""), told
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert "known" in told.stdout
    told = celeste("restore", str(copy), store=restored)
    assert told.returncode == 0, told
    found = celeste("check", "--json", store=restored)
    assert found.returncode == 0, found
    report = json.loads(found.stdout)
    assert report["rows"]["entries"] >= len(acknowledged)
    assert (report["version"], report["problems"]) == (report["current_version"], [])
    async with serving(restored) as client:
        for name, size in acknowledged.items():
            assert len(await client.read(name)) == size
    told = celeste("restore", str(copy), store=restored)
    assert (told.returncode, "exists" in told.stderr) == (2, True), "nothing is overwritten"


async def test_damage_is_found_and_never_copied(tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with serving(store) as client:
        for _ in range(30):
            await client.upload(random.randbytes(SMALL))
    sound = (store / DATABASE).read_bytes()
    with closing(sqlite3.connect(store / DATABASE)) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries'").fetchone()
    with (store / DATABASE).open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(bytes(size))
    found = celeste("check", store=store)
    assert found.returncode in (1, 2), found
    assert "damaged" in found.stdout or "can't be read" in found.stderr
    told = celeste("backup", str(tmp_path / "copy"), store=store)
    assert told.returncode == 2, told
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "copy" / DATABASE).exists()
    (store / DATABASE).write_bytes(sound)
    assert celeste("check", store=store).returncode == 0


def test_what_is_no_folder_store_is_said(tmp_path: Path) -> None:
    told = celeste("check", store=tmp_path / "none")
    assert (told.returncode, "no server has used this store yet" in told.stderr) == (2, True)
    command = [*CELESTE, "db", "check", "--set", "store.url=memory:///"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert (told.returncode, "must be file:///FOLDER" in told.stderr) == (2, True)


def test_a_database_of_the_first_version_is_migrated(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with closing(sqlite3.connect(store / DATABASE)) as db:
        for statement in STEPS[0]:
            db.execute(statement)
        db.execute("PRAGMA user_version = 1")
        db.commit()
    told = celeste("migrate", store=store)
    assert (told.returncode, f"version 1, now {len(STEPS)}" in told.stdout) == (0, True), told
    assert f"version {len(STEPS)} already" in celeste("migrate", store=store).stdout
    assert "calls: 0" in celeste("check", store=store).stdout
