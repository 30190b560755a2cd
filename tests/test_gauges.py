"""What gauges show: the queue and slots of a provider, models that end, memory, and the room of the store."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from celeste_image.admission import ByteBudget, Slots
from celeste_image.core.card import ModelStage
from celeste_image.gauges import watch_budgets, watch_models, watch_providers, watch_store
from celeste_image.providers.registry import Registry, build_providers
from celeste_image.store import open_store
from celeste_image.telemetry import instruments as of
from celeste_image.telemetry.instruments import INSTRUMENTS
from celeste_image.telemetry.series import Gauge, begin_recording, end_recording


@pytest.fixture(autouse=True)
def closing() -> Iterator[ExitStack]:
    begin_recording(INSTRUMENTS)
    with ExitStack() as stack:
        yield stack
    assert not [each.name for each in INSTRUMENTS if isinstance(each, Gauge) and each.read()], "still watched"
    end_recording()


def registry(key: str = "") -> Registry:
    """Two providers; Stability can be used with a key."""
    found = build_providers({"stability": {"key": key}} if key else {})
    return Registry({name: found[name] for name in ("local", "stability")})


async def test_the_queue_of_a_provider_is_shown(closing: ExitStack) -> None:
    now = 100.0
    slots = Slots(1, 10, small=1, clock=lambda: now)
    closing.callback(watch_providers(registry(), {"local": slots}))

    def shown() -> list[float]:
        gauges = (of.PROVIDER_QUEUE_DEPTH, of.PROVIDER_QUEUE_AGE, of.PROVIDER_ACTIVE, of.PROVIDER_PLACES)
        return [dict(gauge.read())["local",] for gauge in gauges]

    assert shown() == [0, 0, 0, 2]
    first = slots.enter("first")
    slots.enter("first", small=True)
    waiting = [slots.enter(name) for name in ("second", "third", "third")]
    now = 107.0
    slots.enter("last")
    assert shown() == [4, 7, 2, 2]
    slots.leave(first)
    assert shown() == [3, 7, 2, 2]
    for turn in waiting:
        slots.leave(turn)
    assert shown() == [0, 0, 2, 2]


def test_a_provider_is_ready_with_a_key(closing: ExitStack) -> None:
    with ExitStack() as without:
        without.callback(watch_providers(registry(), {}))
        assert dict(of.PROVIDER_READY.read()) == {("local",): 1, ("stability",): 0}
    closing.callback(watch_providers(registry(key="sk-0123456789abcdef0123456789abcdef"), {}))
    assert dict(of.PROVIDER_READY.read()) == {("local",): 1, ("stability",): 1}


def test_the_time_until_a_model_ends_is_shown_for_models_that_can_be_used(closing: ExitStack) -> None:
    models = registry()
    some = [each for each in models.cards.values() if each.provider == "local"][:3]
    dates = ("2026-12-01", "2026-11-01", "")
    for each, day in zip(some, dates, strict=True):
        models.cards[each.id] = replace(each, ends_on=day, stage=ModelStage.ENDING)
    other = next(each for each in models.cards.values() if each.provider == "stability")
    models.cards[other.id] = replace(other, ends_on="2026-12-01")  # no key: nobody can use it
    closing.callback(watch_models(models, lambda: datetime(2026, 11, 30, 12, tzinfo=UTC)))
    day = 24 * 3600
    assert dict(of.MODEL_SHUTDOWN.read()) == {
        ("local", some[0].id): 1.5 * day,
        ("local", some[1].id): -28.5 * day,
    }


def test_every_date_of_the_catalog_is_shown(closing: ExitStack) -> None:
    keys = {"openai": {"key": "sk-key"}, "gemini": {"key": "AIza-key"}}
    found = build_providers(keys)
    closing.callback(watch_models(Registry(found)))
    ending = {each.id for name in keys for each in found[name].cards if each.ends_on}
    assert ending
    assert {model for (_, model), _ in of.MODEL_SHUTDOWN.read()} == ending


async def test_memory_is_shown(closing: ExitStack) -> None:
    calls, chunks = ByteBudget(100), ByteBudget(200)
    closing.callback(watch_budgets({"calls": calls, "chunks": chunks}))
    with await calls.reserve(60):
        assert dict(of.BUDGET_HELD.read()) == {("calls",): 60, ("chunks",): 0}
        assert dict(of.BUDGET_LIMIT.read()) == {("calls",): 100, ("chunks",): 200}
    assert dict(of.BUDGET_HELD.read())["calls",] == 0


async def test_the_room_of_the_store_is_shown_without_its_reserve(closing: ExitStack, tmp_path: Path) -> None:
    store = open_store("memory:///", tmp_path, memory_bytes=10 << 20, reserve_bytes=1 << 20)
    closing.callback(watch_store(store))
    assert dict(of.STORE_FREE.read()) == {(): 9 << 20}
    await store.put("me", bytes(1 << 20))
    assert (8 << 20) - 10_000 < dict(of.STORE_FREE.read())[()] <= 8 << 20
