"""Usage is what the vendors say: its sums equal the emulators' own ledger, over many mixed calls with failures."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.core.errors import CelesteError
from celeste_image.core.money import Money
from celeste_image.core.usage import CallState, SpendEntry, UsageRow
from celeste_image.emulate import EMULATED, emulating
from celeste_image.emulate.ledger import Entry

pytestmark = pytest.mark.asyncio(loop_scope="module")

VENDORS = ("openai", "bfl", "stability")
MODELS: Sequence[tuple[str, dict[str, Any]]] = (
    *[("bfl/flux-2-pro", {"size": (256, 256)})] * 3,
    ("bfl/flux-2-klein-4b", {"size": (512, 256)}),
    ("openai/gpt-image-2", {"size": (1024, 1024), "quality": "low"}),
    ("stability/core", {}),
)
LOST = "answer=cut"
"""The vendor makes the image and charges it, and we never learn so: the call is uncertain."""
FAULTS = ("latency=0", "latency=0", "latency=0", "moderate=prompt", "status=400", LOST)
AT_ONCE = 12


class Shown(NamedTuple):
    """What was asked and answered, what the server tells of it, and what the vendors wrote down."""

    outcomes: Counter[str]
    images: int
    uncertain: int
    usage: UsageRow
    by_model: dict[str, UsageRow]
    entries: list[SpendEntry]
    vendors: list[Entry]

    def charged(self, *, lost: bool, model: str = "") -> Decimal:
        """Returns what the vendors charge for calls whose answer was lost, or for the others, in US dollars."""
        found = [entry for entry in self.vendors if is_lost(entry) == lost]
        return sum((entry.charged for entry in found if model.endswith(f"/{entry.model}") or not model), Decimal(0))


def is_lost(entry: Entry) -> bool:
    return entry.behavior.strip() == LOST


async def shown(folder: Path, count: int) -> Shown:
    """Makes calls side by side, and asks for everything that there is about them."""
    draw = random.Random(count)
    asked = [(*draw.choice(MODELS), draw.choice(FAULTS), draw.choice(("spring", "autumn"))) for _ in range(count)]
    outcomes: Counter[str] = Counter()
    images = uncertain = 0
    async with serving(folder) as (client, emulator):
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(model: str, more: dict[str, Any], fault: str, project: str) -> None:
            nonlocal images, uncertain
            async with at_once:
                prompt, labels = f"a boat [emulate: {fault}]", {"project": project}
                try:
                    result = await client.generate(prompt, model=model, labels=labels, **more)
                except CelesteError as error:
                    outcomes[error.reason] += 1
                    uncertain += error.may_be_owed
                else:
                    outcomes[""] += 1
                    images += len(result.images)

        await asyncio.gather(*(one(*each) for each in asked))
        start = datetime.now(UTC) - timedelta(days=1)
        (usage,) = [row async for row in client.usage(start)]
        by_model = {row.model: row async for row in client.usage(start, group_by=["model"])}
        entries = [entry async for entry in client.ledger()]
        parts = [row async for row in client.usage(start, labels={"project": "spring"})]
        parts += [row async for row in client.usage(start, labels={"project": "autumn"})]
        assert sum(row.succeeded + row.failed for row in parts) == count
        assert sum(row.uncertain for row in parts) == usage.uncertain
    return Shown(outcomes, images, uncertain, usage, by_model, entries, emulator.ledger.entries)


@asynccontextmanager
async def serving(folder: Path) -> Any:
    """Runs the vendors, and a server that sends them each call once."""
    async with emulating([EMULATED[name] for name in VENDORS]) as emulator:
        more = {"concurrency": AT_ONCE, "tries": 1, "pause_after": 0}
        providers = {name: table | more for name, table in emulator.tables.items()}
        store = {"url": folder.as_uri()}
        async with running(store=store, providers=providers) as server, AsyncClient(server.address) as client:
            yield client, emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[200, pytest.param(2000, marks=pytest.mark.faults)])
async def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return await shown(tmp_path_factory.mktemp("store"), request.param)


async def test_the_counts_are_those_of_the_answers_and_of_the_vendors(found: Shown) -> None:
    count = found.outcomes.total()
    usage, calls = found.usage, [entry for entry in found.vendors if entry.stage == "call"]
    assert (usage.succeeded, usage.failed) == (found.outcomes[""], count - found.outcomes[""])
    assert found.outcomes["OUTCOME_UNKNOWN"] == sum(map(is_lost, calls)) > 0
    assert usage.uncertain == found.uncertain, "the callers were told, too"
    assert usage.images == found.images == sum(entry.images for entry in calls if not is_lost(entry)) > 0
    assert len(found.entries) == len(calls) == count, "each call has an entry, and nothing was sent twice"
    assert Counter(entry.state for entry in found.entries)[CallState.UNCERTAIN] == usage.uncertain
    for name in ("succeeded", "failed", "uncertain", "images", "pixels"):
        assert sum(getattr(row, name) for row in found.by_model.values()) == getattr(usage, name), name
    quantities = {(each.unit, each.model): each.amount for each in usage.billed}
    parts = [(each, row) for row in found.by_model.values() for each in row.billed]
    assert {(each.unit, each.model or row.model): each.amount for each, row in parts} == quantities != {}


# The lead removes this mark once branch `money` fills the columns `currency`, `settled`, `uncertain` and `basis`:
# the test passes then, which `strict` makes a failure.
@pytest.mark.xfail(strict=True, reason="the ledger has no costs yet")
async def test_the_costs_are_those_of_the_vendors_to_the_nano(found: Shown) -> None:
    (cost,) = found.usage.costs
    assert cost.unpriced_calls == 0
    assert cost.settled == Money("USD", nanos(found.charged(lost=False)))
    assert cost.uncertain and cost.uncertain.nanos >= nanos(found.charged(lost=True)), "and refusals of unknown charge"
    for model, row in found.by_model.items():
        (of_model,) = row.costs
        assert of_model.settled == Money("USD", nanos(found.charged(lost=False, model=model))), model
    of_entries = [entry.cost.settled.nanos for entry in found.entries if entry.cost and entry.cost.settled]
    assert sum(of_entries) == nanos(found.charged(lost=False))


def nanos(dollars: Decimal) -> int:
    """Returns an amount in nanos; the test fails if the vendor's own amount has a smaller part."""
    whole = dollars * 10**9
    assert whole == int(whole), dollars
    return int(whole)
