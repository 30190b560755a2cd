"""Models in place of others, through a running server: what callers see, and what the vendors were asked and paid."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from tests.support.servers import running

from celeste_image.client import AsyncClient, Client
from celeste_image.core.errors import CelesteError, InvalidRequest, ModelNotFound
from celeste_image.core.events import Completed, Event, Retrying, Started, Submitted, Warned
from celeste_image.core.image import Size
from celeste_image.core.request import Generate, RequestOptions, Routing
from celeste_image.core.result import OperationResult
from celeste_image.emulate import EMULATED, Behavior, Emulator, emulating

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLUX, GPT, CORE = "bfl/flux-2-pro", "openai/gpt-image-2", "stability/core"
NAMES = ("bfl", "openai", "stability")


@dataclass
class Vendors:
    """Three emulated vendors and a client of a server that uses them."""

    emulator: Emulator
    client: AsyncClient
    address: str

    def next(self, name: str, *behaviors: str) -> None:
        self.emulator[name].vendor.next[:] = [Behavior.parse(text) for text in behaviors]

    def paid(self) -> dict[str, Decimal]:
        return {name: self.emulator.ledger.charged(name) for name in NAMES}

    def calls(self) -> dict[str, int]:
        return {name: len(self.emulator.ledger.of(name, "call")) for name in NAMES}

    async def outcome(self, request: Generate) -> tuple[list[Event], CelesteError | None]:
        events: list[Event] = []
        try:
            async for event in self.client.stream(request, timeout=30):
                events.append(event)
        except CelesteError as error:
            return events, error
        return events, None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[Vendors]:
    aliases = {"draft": [FLUX, GPT], "sharp": ["local/lanczos"]}
    async with emulating([EMULATED[name] for name in NAMES]) as emulator:
        async with running(providers=emulator.tables, aliases=aliases) as server, AsyncClient(server.address) as client:
            yield Vendors(emulator, client, server.address)


@pytest.fixture
def vendors(servers: Vendors) -> Vendors:
    servers.emulator.ledger.clear()
    for name in NAMES:
        servers.next(name)
    return servers


def request(model: str, *fallbacks: str, **more: Any) -> Generate:
    options = RequestOptions(
        routing=Routing(fallbacks), strict=more.pop("strict", False), provider_options=more.pop("provider_options", {})
    )
    return Generate(model=model, prompt="a boat", options=options, **more)


def done(events: list[Event]) -> OperationResult:
    assert isinstance(events[-1], Completed)
    return events[-1].result


async def test_a_vendor_that_is_down_gives_way_and_the_caller_is_told(vendors: Vendors) -> None:
    vendors.next("bfl", *["status=503 retry_after=0"] * 4)
    events, error = await vendors.outcome(request(FLUX, GPT))
    assert error is None
    result = done(events)
    assert result.model == GPT
    assert len([event for event in events if isinstance(event, Retrying)]) == 3, "its own tries come first"
    started = [(event.model, event.candidate) for event in events if isinstance(event, Started)]
    assert started == [(FLUX, 1), (GPT, 2)]
    (line,) = [line for line in result.fidelity if line.path == "model"]
    assert (line.outcome, line.asked, line.sent) == ("adjusted", FLUX, GPT)
    assert "bfl/flux-2-pro failed (PROVIDER_UNAVAILABLE)" in line.message
    assert Warned("model", line.message, "ADJUSTED") in events
    paid = vendors.paid()
    assert paid["bfl"] == paid["stability"] == 0 < paid["openai"]


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        ("status=401", "PROVIDER_CREDENTIALS"),
        ("status=402", "PROVIDER_BILLING"),
        ("status=404", "MODEL_NOT_FOUND"),
        ("status=422", "INVALID_FIELD"),
        ("status=429 retry_after=40", "PROVIDER_RATE_LIMITED"),
    ],
)
async def test_whatever_says_that_nothing_was_done(vendors: Vendors, behavior: str, reason: str) -> None:
    vendors.next("openai", behavior)
    events, error = await vendors.outcome(request(GPT, CORE))
    assert error is None
    result = done(events)
    assert result.model == CORE
    assert reason in next(line.message for line in result.fidelity if line.path == "model")
    assert vendors.calls() == {"bfl": 0, "openai": 1, "stability": 1}, "nobody waits 40 s while another could do it"


@pytest.mark.parametrize("behavior", ["answer=reset", "status=500 charged=true", "answer=truncated"])
async def test_what_was_sent_and_not_answered_goes_to_nobody_else(vendors: Vendors, behavior: str) -> None:
    vendors.next("openai", behavior)
    _, error = await vendors.outcome(request(GPT, CORE, FLUX))
    assert error is not None
    assert error.reason == "OUTCOME_UNKNOWN"
    assert vendors.calls() == {"bfl": 0, "openai": 1, "stability": 0}


async def test_one_of_two_calls_that_may_have_been_done_is_enough(vendors: Vendors) -> None:
    vendors.next("stability", "status=402", "answer=reset")
    _, error = await vendors.outcome(request(CORE, GPT, count=2))
    assert error is not None
    assert error.reason == "OUTCOME_UNKNOWN"
    assert vendors.calls() == {"bfl": 0, "openai": 0, "stability": 2}


@pytest.mark.parametrize("what", ["prompt", "output"])
async def test_what_a_safety_system_refused_goes_to_nobody_else(vendors: Vendors, what: str) -> None:
    vendors.next("openai", f"moderate={what}")
    _, error = await vendors.outcome(request(GPT, CORE))
    assert error is not None
    assert error.reason == "SAFETY_BLOCKED"
    assert vendors.calls() == {"bfl": 0, "openai": 1, "stability": 0}


async def test_a_job_that_was_submitted_stays_where_it_is(vendors: Vendors) -> None:
    vendors.next("bfl", "image=garbage")
    events, error = await vendors.outcome(request(FLUX, GPT))
    assert error is not None
    assert error.metadata["owed"] == "true"
    assert [event for event in events if isinstance(event, Submitted)]
    assert vendors.calls() == {"bfl": 1, "openai": 0, "stability": 0}


async def test_strict_passes_over_who_can_not_do_it_to_the_letter_before_money_is_spent(vendors: Vendors) -> None:
    asked = request(CORE, GPT, strict=True, size=Size(1536, 1024))  # Stable Image Core has ratios alone
    events, error = await vendors.outcome(asked)
    assert error is None
    assert done(events).model == GPT
    assert vendors.calls() == {"bfl": 0, "openai": 1, "stability": 0}


async def test_an_alias_is_its_models_in_order(vendors: Vendors) -> None:
    events, error = await vendors.outcome(request("draft"))
    assert error is None
    (line,) = [line for line in done(events).fidelity if line.path == "model"]
    assert (line.outcome, line.asked, line.sent) == ("honored", "draft", FLUX)
    vendors.next("bfl", "status=402")
    events, error = await vendors.outcome(request("draft"))
    assert error is None
    assert done(events).model == GPT


async def test_when_all_are_left_the_caller_learns_of_each_and_when_to_come_back(vendors: Vendors) -> None:
    vendors.next("bfl", "status=402")
    vendors.next("openai", "status=429 retry_after=90")
    vendors.next("stability", "status=429 retry_after=70")
    _, error = await vendors.outcome(request("draft", "sharp", CORE))
    assert error is not None
    assert (error.reason, error.code, error.retry_after, error.retryable) == (
        "PROVIDERS_UNAVAILABLE",
        "UNAVAILABLE",
        70.0,
        True,
    )
    assert [(a.model, a.reason, a.retry_after) for a in error.attempts] == [
        (FLUX, "PROVIDER_BILLING", None),
        (GPT, "PROVIDER_RATE_LIMITED", 90.0),
        ("local/lanczos", "OPERATION_NOT_OFFERED", None),
        (CORE, "PROVIDER_RATE_LIMITED", 70.0),
    ]
    assert vendors.emulator.ledger.charged() == 0


async def test_when_no_model_can_take_it_the_fields_are_named(vendors: Vendors) -> None:
    _, error = await vendors.outcome(request(GPT, FLUX, size=Size(16_000, 16)))
    assert isinstance(error, InvalidRequest)
    assert [violation.field for violation in error.violations] == ["size.width", "size.height", "size"]
    assert len(error.attempts) == 2
    assert vendors.calls() == {"bfl": 0, "openai": 0, "stability": 0}


async def test_an_unknown_fallback_is_refused_by_its_place(vendors: Vendors) -> None:
    _, error = await vendors.outcome(request(FLUX, GPT, "openai/gpt-imagge-2"))
    assert isinstance(error, ModelNotFound)
    assert [violation.field for violation in error.violations] == ["options.routing.fallback_models[1]"]
    _, error = await vendors.outcome(request(FLUX, *[f"a/{i}" for i in range(9)]))
    assert isinstance(error, InvalidRequest)
    assert vendors.calls()["bfl"] == 0


async def test_both_clients_take_fallbacks(vendors: Vendors) -> None:
    vendors.next("bfl", "status=402", "status=402")
    result = await vendors.client.generate("a boat", model=FLUX, fallback_models=[GPT])
    assert result.model == GPT

    def blocking() -> OperationResult:
        with Client(vendors.address) as client:
            assert set(client.aliases()) == {"draft", "sharp"}
            return client.generate("a boat", model=FLUX, fallback_models=["draft"])

    assert (await asyncio.to_thread(blocking)).model == GPT
