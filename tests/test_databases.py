"""The database that the settings name: beside the store, in a folder, in a temporary folder, or on PostgreSQL."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.ports import free_port
from tests.support.postgres import PASSWORD, Postgres
from tests.support.servers import running
from tests.support.waiting import until

from celeste_image.app import build_app
from celeste_image.check import find_problems
from celeste_image.config import Settings, load
from celeste_image.core.caller import ANONYMOUS
from celeste_image.core.errors import StorageUnavailable
from celeste_image.ledger import CallState, Ended, PaidCall
from celeste_image.rpc.looks import Looks
from celeste_image.store.open import DATABASE

PAID = PaidCall(ANONYMOUS, "a-request", "bfl", "bfl/flux-pro", "generate")
S3 = {"endpoint": "https://127.0.0.1:9", "region": "x", "aws_access_key_id": "a", "aws_secret_access_key": "b"}


def files_below(folder: Path) -> list[Path]:
    return list(folder.rglob(DATABASE))


def settings(store: str, **database: str) -> Settings:
    options = S3 if store.startswith("s3") else {}
    given: dict[str, Any] = {"store": {"url": store, "reserve_bytes": 0, "options": options}, "database": database}
    return Settings(**given)


@pytest.mark.parametrize(("store", "is_told"), [("memory:///", False), ("s3://bucket/prefix", True)])
async def test_without_a_folder_the_ledger_is_in_a_temporary_one_that_is_removed(
    store: str, is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with capture_logs() as logged:
        app = build_app(settings(store))
    assert len([line for line in logged if "set database.url to keep them" in line["event"]]) == is_told
    name = await app.ledger.open(PAID)
    await app.ledger.end(name, Ended(CallState.SETTLED))
    assert [entry.id for entry in await app.ledger.entries("anonymous")] == [name]
    assert files_below(tmp_path)
    await app.close()
    assert not files_below(tmp_path)


async def test_a_folder_that_the_url_names_has_the_ledger_alone(tmp_path: Path) -> None:
    app = build_app(settings((tmp_path / "store").as_uri(), url=(tmp_path / "ledger").as_uri()))
    await app.ledger.open(PAID)
    await app.store.put("ann", b"kept")
    await app.close()
    beside = build_app(settings((tmp_path / "store").as_uri()))
    assert await beside.ledger.entries("anonymous") == []
    await beside.close()
    again = build_app(settings("memory:///", url=(tmp_path / "ledger").as_uri()))
    assert len(await again.ledger.entries("anonymous")) == 1
    await again.close()


async def test_the_folder_of_the_store_is_opened_once(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "store")
    app = build_app(settings((tmp_path / "store").as_uri(), url=(tmp_path / "link").as_uri()))
    await app.ledger.open(PAID)
    assert len(os.listdir(tmp_path / "store" / "servers")) == 1
    await app.close()


def test_a_folder_that_cannot_be_made_is_one_sentence_with_its_setting() -> None:
    with pytest.raises(ValueError, match=r"^database.url: .* can't be made: "):
        build_app(settings("memory:///", url="file:///proc/nowhere/ledger"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://ann:a-secret@host/name", "must have no password, which the log would show"),
        ("postgresql://ann:@host/name", "must have no password, which the log would show"),
        ("postgresql://ann@host/name?password=a-secret", "must have no password, which the log would show"),
        ("postgresql://ann@host:a-secret/name", "the host or the port is not valid"),
        ("mysql://ann@a-secret/name", "not mysql://"),
        ("a-secret", "must be file:///FOLDER or postgresql://"),
    ],
)
def test_a_url_that_names_no_database_is_refused_and_not_quoted(url: str, why: str) -> None:
    (problem,) = load(assignments=[f"database.url={url}"], environment={}).problems
    assert why in str(problem)
    assert "a-secret" not in str(problem)


def test_a_password_that_is_not_there_is_a_mistake_of_its_setting() -> None:
    given = ["database.url=postgresql://celeste@host/name", "database.password=env:ABSENT", "store.url=memory:///"]
    (problem,) = find_problems(load(assignments=given, environment={}), {})
    assert str(problem) == "--set (database.password): there is no variable ABSENT"


def test_without_the_extra_the_url_is_refused_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    given = ["database.url=postgresql://celeste@host/name", "store.url=memory:///"]
    (problem,) = find_problems(load(assignments=given, environment={}), {})
    assert str(problem).startswith("--set (database.url): needs asyncpg; get it with: ")
    assert "[postgres]" in str(problem)


async def test_servers_on_postgresql_share_a_ledger(postgres: Postgres) -> None:
    async with postgres.database() as name:
        database = {"url": postgres.url(name), "password": PASSWORD}
        async with running(database=database) as one, running(database=database) as two:
            opened = await one.app.ledger.open(PAID)
            (entry,) = await two.app.ledger.entries("anonymous")
            assert (entry.id, entry.outcome.state) == (opened, CallState.OPEN)
            assert await two.app.ledger.recover() == 0
        async with running(database=database) as later:
            await until(lambda: later.app.ledger.uncertain == 1, 30)


async def test_a_password_in_a_file_is_read_for_each_connection(postgres: Postgres, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("an-old-password")
    async with postgres.database() as name:
        app = build_app(settings("memory:///", url=postgres.url(name), password=f"file:{file}"))
        with pytest.raises(ValueError, match=r"^database.password: "):
            await app.database.begin()
        file.write_text(PASSWORD)
        await app.database.begin()
        await app.ledger.open(PAID)
        await app.close()


async def test_a_server_starts_though_its_database_is_away(tmp_path: Path) -> None:
    database = {"url": f"postgresql://celeste@127.0.0.1:{free_port()}/celeste"}
    with capture_logs() as logged:
        async with running(database=database) as server:
            with pytest.raises(StorageUnavailable):
                await server.app.ledger.open(PAID)
    events = [line["event"] for line in logged if line["log_level"] == "error"]
    assert events == ["database not reached", "paid calls not looked for"]


async def nothing() -> None:
    """Stands for the requests that go on."""


async def test_looks_that_fail_are_told_once(tmp_path: Path) -> None:
    app = build_app(settings((tmp_path / "store").as_uri()))
    await app.ledger.open(PAID)
    turns: asyncio.Queue[float] = asyncio.Queue(1)
    file = tmp_path / "store" / "servers"
    with capture_logs() as logged:
        looking = asyncio.create_task(Looks(app.ledger, nothing, turns.put).always())
        for moves in (lambda: file.rename(tmp_path / "away"), None, None, lambda: (tmp_path / "away").rename(file)):
            assert await turns.get() == app.ledger.look_seconds
            if moves:
                moves()
        for _ in range(3):
            await turns.get()
        looking.cancel()
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["paid calls not looked for"]
    await app.close()
