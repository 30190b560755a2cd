"""celeste db with a database on PostgreSQL."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.support.command import CELESTE
from tests.support.ports import free_port
from tests.support.postgres import PASSWORD, Postgres

from celeste_image.database.schema import STEPS


@pytest.fixture
async def name(postgres: Postgres) -> AsyncGenerator[str, None]:
    async with postgres.database() as made:
        yield made


async def celeste(*arguments: str, url: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SECRET_OF_TEST": password, "CELESTE_DATABASE__PASSWORD": "env:SECRET_OF_TEST"}
    command = [*CELESTE, "db", *arguments, "--set", f"database.url={url}"]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, env=environment, timeout=60)


async def test_a_new_database_is_migrated_and_checked(postgres: Postgres, name: str) -> None:
    url = postgres.url(name)
    told = await celeste("check", "--json", url=url)
    assert json.loads(told.stdout) == {
        "path": url,
        "version": 0,
        "current_version": len(STEPS),
        "rows": {},
        "problems": [],
    }
    told = await celeste("migrate", url=url)
    assert (told.returncode, told.stdout) == (0, f"{url}: version 0, now {len(STEPS)}\n")
    told = await celeste("migrate", url=url)
    assert told.stdout == f"{url}: version {len(STEPS)} already\n"
    told = await celeste("check", url=url)
    assert told.returncode == 0
    assert f"version {len(STEPS)} of {len(STEPS)}\n" in told.stdout
    assert "calls: 0\n" in told.stdout


async def test_backup_and_restore_name_the_tools_of_postgresql(tmp_path: Path) -> None:
    url = "postgresql://celeste@database.example/celeste"
    told = await celeste("backup", str(tmp_path), url=url)
    assert told.returncode == 2
    assert f"pg_dump --format=custom --file={tmp_path}/celeste.dump '{url}'" in told.stderr
    told = await celeste("restore", str(tmp_path), url=url)
    assert told.returncode == 2
    assert f"pg_restore --exit-on-error --dbname='{url}' {tmp_path}/celeste.dump" in told.stderr
    assert os.listdir(tmp_path) == []


async def test_a_database_that_refuses_or_is_away_is_told_in_a_line(postgres: Postgres, name: str) -> None:
    told = await celeste("check", url=postgres.url(name), password="a-wrong-secret")
    assert told.returncode == 2
    assert "database.password: " in told.stderr
    assert "a-wrong-secret" not in told.stderr
    told = await celeste("migrate", url=f"postgresql://celeste@127.0.0.1:{free_port()}/x")
    assert told.returncode == 2
    assert "can't be used: ConnectionRefusedError" in told.stderr
    assert "Traceback" not in told.stderr
