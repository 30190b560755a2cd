"""Reload: what a running server takes over from a changed configuration, and what it leaves for a restart."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from structlog.testing import capture_logs
from tests.support.callers import bearer, key_table, new_key
from tests.support.servers import running

from celeste_image.app import App
from celeste_image.client import AsyncClient
from celeste_image.config import load
from celeste_image.reload import Reloader
from celeste_image.telemetry.instruments import CONFIG_RELOADS, INSTRUMENTS
from celeste_image.telemetry.logs import configure_logs
from celeste_image.telemetry.series import begin_recording, end_recording

FIRST, SECOND, THIRD = ("sk-" + letter * 40 for letter in "abc")
START = f"""[store]
url = "memory:///"
reserve_bytes = 0
[log]
level = "error"
[providers.openai]
key = "{FIRST}"
[providers.bfl]
key = "{FIRST[3:]}"
[aliases]
draft = ["local/compose"]
"""
Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the configuration file."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> None:
        Path("celeste.toml").write_text(text)

    write(START)
    return write


@pytest.fixture
async def app(write: Write) -> AsyncIterator[App]:
    settings = load(environment={}).valid()
    given: dict[str, Any] = {name: getattr(settings, name) for name in type(settings).model_fields if name != "store"}
    async with running(**given) as server:
        yield server.app


@pytest.fixture
def reloader(app: App) -> Reloader:
    return Reloader(app, partial(load, environment={}), {})


@pytest.fixture(autouse=True)
def _counted() -> Any:
    begin_recording(INSTRUMENTS)
    yield
    end_recording()


def reloads() -> dict[str, float]:
    return {labels[0]: total for labels, total in CONFIG_RELOADS.read()}


def key_of(app: App, name: str) -> str:
    provider: Any = app.registry.providers[name]
    return str(provider.secrets[0].value.reveal())


async def reloaded(reloader: Reloader) -> tuple[bool, list[dict[str, Any]]]:
    with capture_logs() as lines:
        done = await reloader.reload()
    return done, [line for line in lines if line["event"].startswith("configuration")]


async def test_keys_aliases_and_budgets_are_taken_over(write: Write, app: App, reloader: Reloader) -> None:
    text = START.replace(FIRST, SECOND).replace("local/compose", "local/lanczos")
    write(text + 'fine = ["local/compose"]\n[server]\nbudget_bytes = 300000000\ndrain_seconds = 1\n')
    done, (line,) = await reloaded(reloader)
    assert done
    assert line["applied"] == [
        *("aliases.draft", "aliases.fine", "providers.openai.key"),
        *("server.budget_bytes", "server.drain_seconds"),
    ]
    assert line["needs_restart"] == []
    assert key_of(app, "openai") == f"Bearer {SECOND}"
    assert {name: list(models) for name, models in app.registry.aliases.items()} == {
        "draft": ["local/lanczos"],
        "fine": ["local/compose"],
    }
    assert app.budget.total_bytes == 300_000_000
    assert reloader.settings.server.drain_seconds == 1
    assert reloads() == {"applied": 1}
    assert SECOND not in str(line)


async def test_the_log_is_taken_over(write: Write, reloader: Reloader, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("error", "console")
    try:
        write(START.replace('"error"', '"info"\nformat = "json"'))
        await reloader.reload()
        (line,) = map(json.loads, capsys.readouterr().err.splitlines())
        assert (line["event"], line["applied"]) == ("configuration reloaded", ["log.format", "log.level"])
        write(START)
        await reloader.reload()
        assert capsys.readouterr().err == ""
    finally:
        structlog.reset_defaults()


async def test_a_call_uses_an_alias_at_once(write: Write) -> None:
    async with running(providers={}) as server, AsyncClient(server.address) as client:
        other = Reloader(server.app, partial(load, environment={}), {})
        write('[aliases]\nnew = ["local/compose"]\n')
        assert await other.reload()
        assert (await client.generate("a boat", model="new")).model == "local/compose"


async def test_a_wrong_configuration_changes_nothing_and_is_told_whole(
    write: Write, app: App, reloader: Reloader
) -> None:
    write(START.replace(FIRST, SECOND).replace('"error"', '"loud"') + 'fine = ["local/compos"]\n')
    done, lines = await reloaded(reloader)
    assert not done
    assert [(line["event"], line["log_level"]) for line in lines] == [("configuration refused", "error")] * 2
    assert {line["problem"].partition("; ")[0] for line in lines} == {
        "celeste.toml:5: log.level: must be 'debug', 'info', 'warning' or 'error'",
        "celeste.toml:12: aliases.fine: there is no model 'local/compos'",
    }
    assert key_of(app, "openai") == f"Bearer {FIRST}"
    assert list(app.registry.aliases) == ["draft"]
    assert reloads() == {"refused": 1}
    write(START)
    assert (await reloaded(reloader))[0]


async def test_other_settings_wait_for_a_restart_and_are_told_each_time(
    write: Write, app: App, reloader: Reloader
) -> None:
    changed = START + '[images]\nmax_side = 512\n[server]\nlisten = ["127.0.0.1:1"]\n'
    write(changed)
    for _ in range(2):
        _, (line,) = await reloaded(reloader)
        assert line["applied"] == []
        assert line["needs_restart"] == ["images.max_side", "server.listen"]
    write(START)
    _, (line,) = await reloaded(reloader)
    assert line["needs_restart"] == []


async def test_a_new_key_is_not_sent_to_an_old_address(write: Write, app: App, reloader: Reloader) -> None:
    """The address needs a restart; so does a key that comes with it, or after it."""
    moved = START.replace("[providers.openai]", '[providers.openai]\nbase_url = "https://b.example"')
    for text, told in (
        (moved.replace(FIRST, SECOND), ["providers.openai.base_url", "providers.openai.key"]),
        (moved, ["providers.openai.base_url"]),
        (moved.replace(FIRST, THIRD), ["providers.openai.base_url", "providers.openai.key"]),
    ):
        write(text)
        _, (line,) = await reloaded(reloader)
        assert line["needs_restart"] == told
        assert key_of(app, "openai") == f"Bearer {FIRST}"


async def test_the_old_key_is_still_kept_out_of_messages(write: Write, app: App, reloader: Reloader) -> None:
    """An answer to a call with the old key may quote it."""
    write(START.replace(FIRST, SECOND))
    await reloader.reload()
    provider: Any = app.registry.providers["openai"]
    said = provider.said(f"wrong keys {FIRST} and {SECOND}")
    assert FIRST not in said
    assert SECOND not in said


async def test_a_key_by_file_is_read_from_the_new_file(
    write: Write, app: App, reloader: Reloader, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(THIRD)
    write(START.replace(FIRST, "file:key"))
    _, (line,) = await reloaded(reloader)
    assert line["applied"] == ["providers.openai.key"]
    assert key_of(app, "openai") == f"Bearer {THIRD}"


async def test_a_waiting_call_is_admitted_by_a_larger_budget(write: Write, app: App, reloader: Reloader) -> None:
    hold = await app.budget.reserve(app.budget.total_bytes)
    waiting = asyncio.ensure_future(app.budget.reserve(1000))
    await asyncio.sleep(0)
    assert app.budget.waiting == 1
    write(START + "[server]\nbudget_bytes = 600000000\n")
    assert await reloader.reload()
    (await waiting).close()
    hold.close()


async def test_an_alias_for_a_model_of_a_new_catalog_waits_with_it(
    write: Write, app: App, reloader: Reloader, tmp_path: Path
) -> None:
    (tmp_path / "models.yaml").write_text(
        "checked_on: 2026-11-28\nmodels: [{id: openai/house, like: openai/gpt-image-2}]\n"
    )
    write(START + 'fine = ["openai/house"]\n[catalog]\nfile = "models.yaml"\n')
    done, (line,) = await reloaded(reloader)
    assert not done
    assert line["problem"].startswith("celeste.toml:12: aliases.fine: there is no model 'openai/house'")
    assert list(app.registry.aliases) == ["draft"]


CALLER_KEYS = [new_key() for _ in range(3)]
TABLES = [
    f'[callers.keys.k{number}]\ntenant = "acme"\nsha256 = "{key_table(key, "acme")["sha256"]}"\n'
    for number, key in enumerate(CALLER_KEYS)
]


async def test_keys_of_callers_are_taken_over_for_the_next_call(write: Write) -> None:
    write(START + TABLES[0] + TABLES[1])
    settings = load(environment={}).valid()
    async with running(callers=settings.callers) as server, grpc.aio.insecure_channel(server.address) as channel:
        reloader = Reloader(server.app, partial(load, environment={}), {})

        async def known() -> list[bool]:
            call = channel.unary_unary("/celeste.image.v1.ModelService/GetServerInfo")
            codes = []
            for key in CALLER_KEYS:
                begun = call(b"", metadata=bearer(key))
                codes.append(await begun.code())
            return [{grpc.StatusCode.OK: True, grpc.StatusCode.UNAUTHENTICATED: False}[code] for code in codes]

        assert await known() == [True, True, False]
        write(START + TABLES[1] + TABLES[2])
        _, (line,) = await reloaded(reloader)
        assert {"callers.keys.k0.sha256", "callers.keys.k2.sha256"} <= set(line["applied"])
        assert await known() == [False, True, True]
        write(START)  # a file without callers does not open the server to everyone
        _, (line,) = await reloaded(reloader)
        assert "callers.keys.k1.sha256" in line["needs_restart"]
        assert await known() == [False, True, True]


async def test_the_first_key_of_a_caller_needs_a_restart(write: Write, app: App, reloader: Reloader) -> None:
    write(START + TABLES[0])
    _, (line,) = await reloaded(reloader)
    assert "callers.keys.k0.sha256" in line["needs_restart"]
    assert not [name for name in line["applied"] if name.startswith("callers")]
    assert not app.callers.are_known
