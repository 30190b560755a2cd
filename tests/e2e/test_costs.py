"""Costs at the emulated vendors: what our ledger and our results say is what the vendor charged, to the billionth.

The emulator is the vendor: it computes its invoice by itself, and answers as the vendor does. Ours must find the amount
in what it sees.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from tests.support.sample_requests import requests_for
from tests.support.servers import Running, running

from celeste_image.client import AsyncClient
from celeste_image.core.card import ModelCard, ModelStage
from celeste_image.core.errors import CelesteError, SafetyBlocked
from celeste_image.core.money import Cost, CostBasis, Money
from celeste_image.core.request import Edit, Generate, ImageRequest
from celeste_image.core.result import OperationResult
from celeste_image.emulate import EMULATED, Behavior, Emulator, emulating
from celeste_image.ledger import CallState, LedgerEntry
from celeste_image.providers.registry import build_providers

in_loop = pytest.mark.asyncio(loop_scope="module")

TABLES: dict[str, Any] = {name: cls(None).table("http://127.0.0.1:1") for name, cls in EMULATED.items()}  # type: ignore[arg-type]
CARDS = [
    card
    for name, provider in build_providers(TABLES).items()
    if name in EMULATED
    for card in provider.cards
    if card.prices and card.stage is not ModelStage.RETIRED
]
BASES = {"bfl": CostBasis.REPORTED, "openai": CostBasis.CALCULATED}
OPENAI_BY_IMAGE = re.compile(r"gpt-image-1.*|chatgpt-image-latest")
"""Models of OpenAI whose prices are per image, though it counts tokens."""
PRICED_QUALITIES = {"gpt-image-1.5": ("low", "medium", "high"), "gpt-image-1-mini": ("low", "medium")}


@dataclass(frozen=True)
class Case:
    card: ModelCard
    request: ImageRequest

    def __str__(self) -> str:
        more = self.request.quality if isinstance(self.request, Generate) else ""
        what = self.request.edit.field if isinstance(self.request, Edit) else self.request.kind.value
        return "-".join(filter(None, (self.card.id, what, more)))


def cases() -> list[Case]:
    found = []
    for card in CARDS:
        for request in requests_for(card):
            qualities = PRICED_QUALITIES.get(card.name_on_wire, ("",)) if isinstance(request, Generate) else ("",)
            found += [
                Case(card, replace(request, quality=quality) if isinstance(request, Generate) else request)
                for quality in qualities
            ]
    return found


CASES = cases()
FIRST = list({case.card.id: case for case in CASES}.values())
"""One case of each model."""


@dataclass
class Place:
    server: Running
    client: AsyncClient
    emulator: Emulator

    async def entries(self, request_id: str) -> list[LedgerEntry]:
        ledger = self.server.app.ledger
        assert ledger is not None
        return await ledger.entries("anonymous", request_id=request_id)

    async def run(self, request: ImageRequest, request_id: str) -> tuple[OperationResult | CelesteError, int]:
        """Returns what came of a request, and what the vendor charged, in billionths of a dollar."""
        self.emulator.ledger.clear()
        outcome: OperationResult | CelesteError | None = None
        try:
            async for event in self.client.stream(request, request_id=request_id, timeout=60):
                outcome = getattr(event, "result", outcome)
        except CelesteError as error:
            outcome = error
        assert outcome is not None
        charged = self.emulator.ledger.charged() * 10**9
        assert charged == int(charged)
        return outcome, int(charged)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    store = {"url": (tmp_path_factory.mktemp("costs") / "store").as_uri(), "reserve_bytes": 0}
    async with (
        emulating(list(EMULATED.values())) as emulator,
        running(providers=emulator.tables, store=store) as server,
        AsyncClient(server.address) as client,
    ):
        yield Place(server, client, emulator)


def request_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


@pytest.mark.parametrize("index", range(len(CASES)), ids=list(map(str, CASES)))
@in_loop
async def test_a_success_costs_what_the_vendor_charges(place: Place, index: int) -> None:
    case = CASES[index]
    result, charged = await place.run(case.request, request_id(index + 1))
    assert isinstance(result, OperationResult)
    by_image = OPENAI_BY_IMAGE.fullmatch(case.card.name_on_wire)
    basis = CostBasis.ESTIMATED if by_image else BASES.get(case.card.provider, CostBasis.ESTIMATED)
    cost = Cost(Money("USD", charged), basis=basis)
    assert charged > 0
    assert result.costs == (cost,)
    (entry,) = await place.entries(result.request_id)
    assert (entry.cost, entry.outcome.state, entry.outcome.billed) == (cost, CallState.SETTLED, result.usage.billed)


@pytest.mark.parametrize("part", ["prompt", "output"])
@pytest.mark.parametrize("index", range(len(FIRST)), ids=list(map(str, FIRST)))
@in_loop
async def test_a_refusal_costs_what_the_vendor_charges_or_is_in_doubt(place: Place, index: int, part: str) -> None:
    case = FIRST[index]
    place.emulator[case.card.provider].vendor.next[:] = [Behavior.parse(f"moderate={part}")]
    name = request_id(10_000 + 2 * index + (part == "output"))
    error, charged = await place.run(case.request, name)
    assert isinstance(error, SafetyBlocked)
    (entry,) = await place.entries(name)
    cost = entry.cost
    if cost.settled:
        assert (cost.settled.nanos, cost.uncertain) == (charged, None)
        assert entry.outcome.owed == (charged > 0)
    else:
        assert entry.outcome.state is CallState.UNCERTAIN
        assert error.metadata["owed"] == "unknown"
        assert cost.uncertain or case.card.provider == "openai", "only tokens that nobody counted have no amount"
        assert cost.uncertain is None or charged <= cost.uncertain.nanos
    if case.card.provider == "stability":
        assert cost.settled, "its documents say what a refusal costs"
    if case.card.provider == "bfl":
        assert cost.uncertain == Money("USD", charged), "it names the amount when it accepts the job"


@in_loop
async def test_each_call_of_a_split_request_is_charged_and_lost_images_too(place: Place) -> None:
    model = next(card for card in CARDS if card.provider == "stability")
    (sample, *_) = requests_for(model)
    assert isinstance(sample, Generate)
    place.emulator["stability"].vendor.next[:] = [Behavior.parse("image=garbage")]
    result, charged = await place.run(replace(sample, count=3), request_id(20_000))
    assert isinstance(result, OperationResult)
    assert (len(result.images), len(result.failures)) == (2, 1)
    assert result.costs == (Cost(Money("USD", charged), basis=CostBasis.ESTIMATED),)
    assert charged == 3 * Decimal(model.prices[0].amount) * 10**9
    entries = await place.entries(result.request_id)
    assert sum(entry.cost.settled.nanos for entry in entries if entry.cost.settled) == charged


@in_loop
async def test_a_try_that_cost_nothing_adds_nothing_and_a_paid_one_is_not_repeated(place: Place) -> None:
    (sample, *_) = requests_for(next(card for card in CARDS if card.provider == "stability"))
    vendor = place.emulator["stability"].vendor
    vendor.next[:] = [Behavior.parse("status=503")]
    result, charged = await place.run(sample, request_id(20_001))
    assert isinstance(result, OperationResult)
    assert [cost.settled for cost in result.costs] == [Money("USD", charged)]
    later, first = await place.entries(result.request_id)
    assert (first.cost.settled, later.cost.settled) == (Money("USD", 0), Money("USD", charged))
    vendor.next[:] = [Behavior.parse("status=500 charged=true")]
    error, charged = await place.run(sample, request_id(20_002))
    assert isinstance(error, CelesteError)
    (entry,) = await place.entries(request_id(20_002))
    assert entry.cost == Cost(uncertain=Money("USD", charged)), "nobody knows, and it may be this much"
