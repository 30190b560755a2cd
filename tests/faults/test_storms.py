"""Direct calls through kills, cut connections and time-outs: the history of each storm keeps all promises."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.history import UNKNOWN, Entry, History
from tests.support.history_rules import broken_rules, hold
from tests.support.history_sources import entries_in
from tests.support.postgres import PASSWORD, Postgres
from tests.support.storm import Storm, gather_history

ALL = ("openai", "gemini", "stability", "bfl")


async def weathered(storm: Storm, entries: Callable[[], Awaitable[list[Entry]]] | None = None) -> History:
    """Returns the history of a storm, which is in `history.json` beside its logs, too."""
    history = await gather_history(storm, entries)
    (storm.folder / "history.json").write_text(history.as_json())
    return history


@pytest.mark.parametrize("with_faults", [False, pytest.param(True, marks=pytest.mark.faults)])
async def test_without_repeats_all_promises_are_kept(tmp_path: Path, with_faults: bool) -> None:
    history = await weathered(Storm(tmp_path, count=60, size=1, with_faults=with_faults, with_repeats=False))
    hold(history)
    assert len(history.sent) >= 60
    assert all(call.has_result for call in history.calls) != with_faults
    assert any(call.amount == 0 for call in history.sent) == with_faults


async def test_the_calls_of_servers_without_replays_are_found(tmp_path: Path) -> None:
    history = await weathered(Storm(tmp_path, count=40, kills=1, settings={"ledger": {"replay_hours": 0}}))
    assert {"b", "c", "d", "e"} <= broken_rules(history)


@pytest.mark.parametrize(
    ("count", "kills"),
    [(60, 2), pytest.param(1000, 20, marks=pytest.mark.faults)],
)
async def test_a_storm_breaks_no_promise(tmp_path: Path, count: int, kills: int) -> None:
    history = await weathered(
        Storm(tmp_path, count=count, kills=kills, vendors=ALL if count > 100 else ("openai", "bfl"))
    )
    hold(history)
    assert {call.key for call in history.calls if call.is_final} == {call.key for call in history.calls}
    assert any(call.reason.startswith("LOST") for call in history.calls)
    assert any(call.reason == UNKNOWN for call in history.calls)


@pytest.mark.faults
async def test_a_storm_on_postgresql_breaks_no_promise(tmp_path: Path, postgres: Postgres) -> None:
    async with postgres.database() as name:
        settings = {"database": {"url": postgres.url(name), "password": PASSWORD}}
        storm = Storm(tmp_path, count=300, kills=8, settings=settings, seed=2)
        history = await weathered(storm, lambda: entries_in(postgres, name))
    hold(history)
    assert all(call.key in {each.key for each in history.calls if each.is_final} for call in history.calls)
