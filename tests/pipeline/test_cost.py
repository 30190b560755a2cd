"""spending, charging_refusals and completing: the cost of each call, who pays for refusals, the sum in the result."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_provider import PAINTER, REQUEST, Fake, collect, collect_until_error, routed, saved

from celeste_image.core.card import ModelCard, ModelEvidence, Price, RefusalCharge
from celeste_image.core.errors import CelesteError, ProviderFailed, ProviderUnavailable, SafetyBlocked
from celeste_image.core.events import Billed, CandidateRun, Charged, Completed, Event, ImageFailed
from celeste_image.core.money import Cost, CostBasis, Money, quantities
from celeste_image.database import SqliteRecords
from celeste_image.ledger import FileOwner, Ledger
from celeste_image.ledger.outcome import Outcome
from celeste_image.pipeline.charge import charging_refusals
from celeste_image.pipeline.complete import completing
from celeste_image.pipeline.retry import retrying
from celeste_image.pipeline.spend import spending
from celeste_image.pipeline.split import splitting
from celeste_image.store.open import open_backend

CENT = 10_000_000
CARD = replace(PAINTER, prices=(Price("image", "0.04"), Price("credit", "0.01")), max_count=1)
IMAGE = Cost(Money("USD", 4 * CENT), basis=CostBasis.ESTIMATED)
CREDITS = Cost(Money("USD", 3 * CENT), basis=CostBasis.REPORTED)
NOTHING = Cost(Money("USD", 0), basis=CostBasis.CALCULATED)
IN_DOUBT = Cost(uncertain=Money("USD", 4 * CENT))
OWED, UNKNOWN, FREE = {"owed": "true"}, {"owed": "unknown"}, {"owed": "false"}


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncGenerator[Ledger, None]:
    backend = open_backend((tmp_path / "store").as_uri(), {})
    yield Ledger(SqliteRecords(backend), FileOwner(tmp_path / "store" / "servers"))
    await backend.close()


@pytest.mark.parametrize(
    ("script", "cost"),
    [
        ([saved()], IMAGE),
        ([Billed(quantities({"credit": 3})), saved()], CREDITS),
        ([ProviderUnavailable("down")], NOTHING),
        ([ProviderFailed("garbage", metadata=OWED)], IMAGE),
        ([Billed(quantities({"credit": 3})), ProviderFailed("garbage", metadata=OWED)], CREDITS),
        ([SafetyBlocked("no", metadata=UNKNOWN)], IN_DOUBT),
    ],
)
async def test_each_call_ends_with_its_cost(ledger: Ledger, script: list[Event | Exception], cost: Cost) -> None:
    events, _ = await collect_until_error(routed(spending(Fake(*script), ledger), [CARD]))
    assert events[-1] == Charged(cost)
    assert [event for event in events if isinstance(event, Charged)] == events[-1:]
    (entry,) = await ledger.entries("anonymous")
    assert entry.cost == cost


async def test_a_model_that_costs_nothing_is_not_charged(ledger: Ledger) -> None:
    free = replace(PAINTER, evidence=ModelEvidence.RUN)
    assert await collect(routed(spending(Fake(saved()), ledger), [free])) == [saved()]


def refusing(error: CelesteError, *, alone: bool) -> CandidateRun:
    return charging_refusals(Fake(error) if alone else Fake(saved(), ImageFailed(1, error)))


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("charge", "metadata", "owed"),
    [
        (RefusalCharge.CHARGED, {"stage": "prompt"}, "true"),
        (RefusalCharge.CHARGED, UNKNOWN, "true"),
        (RefusalCharge.FREE, UNKNOWN, "false"),
        (RefusalCharge.FREE, {"stage": "unknown"}, "false"),
        (RefusalCharge.FREE, OWED, "true"),
        (RefusalCharge.CHARGED, FREE, "false"),
        (RefusalCharge.UNKNOWN, {"stage": "prompt"}, None),
        (RefusalCharge.UNKNOWN, {"stage": "input"}, None),
        (RefusalCharge.UNKNOWN, {"stage": "output"}, "unknown"),
        (RefusalCharge.UNKNOWN, {"stage": "unknown"}, "unknown"),
        (RefusalCharge.UNKNOWN, OWED, "true"),
    ],
)
async def test_a_refusal_is_charged_as_the_card_says_unless_the_vendor_says_more(
    charge: RefusalCharge, metadata: dict[str, str], owed: str | None, alone: bool
) -> None:
    error = SafetyBlocked("no", metadata=metadata)
    await collect_until_error(routed(refusing(error, alone=alone), [replace(CARD, refusal_charge=charge)]))
    assert error.metadata.get("owed") == owed


@pytest.mark.parametrize("card", [CARD, replace(PAINTER, evidence=ModelEvidence.RUN)])
async def test_the_card_says_nothing_about_other_errors(card: ModelCard) -> None:
    free = replace(card, refusal_charge=RefusalCharge.FREE)
    error = ProviderFailed("broken", metadata=UNKNOWN)
    await collect_until_error(routed(refusing(error, alone=True), [free]))
    assert error.metadata["owed"] == "unknown"


async def test_the_result_has_the_sum_of_all_calls_and_tries(ledger: Ledger) -> None:
    async def no_pause(_: float) -> None:
        pass

    failures = [ProviderUnavailable("busy"), None, ProviderFailed("garbage", metadata=OWED)]
    script: list[Any] = [Billed(quantities({"credit": 3})), lambda _: failures.pop(0) if failures else None, saved()]
    run = splitting(retrying(spending(Fake(*script), ledger), sleep=no_pause), lambda _: 1)
    *_, last = await collect(completing(routed(run, [CARD])), replace(REQUEST, count=3))
    assert isinstance(last, Completed)
    assert (len(last.result.images), len(last.result.failures)) == (2, 1)
    assert last.result.costs == (Cost(Money("USD", 9 * CENT), basis=CostBasis.REPORTED),), "the busy one was free"
    assert last.result.usage.billed == quantities({"credit": 12.0}), "what was counted in each try"


async def test_a_cost_is_part_of_a_stored_outcome() -> None:
    events = (saved(), Billed(quantities({"credit": 3}, "a/b")), Charged(Cost(None, Money("USD", 7), unpriced_calls=1)))
    assert Outcome.decode(Outcome(events).encode()).events == events
