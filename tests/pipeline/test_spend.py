"""spending: a row before each paid call, and how the row ends."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.support.fake_provider import CALL, PAINTER, REQUEST, Fake, collect_until_error, routed, saved
from tests.support.waiting import until

from celeste_image.core.call import Candidate, EarlierCall
from celeste_image.core.card import ModelEvidence, Price
from celeste_image.core.errors import (
    CelesteError,
    InvalidRequest,
    OutcomeUnknown,
    ProviderFailed,
    SafetyBlocked,
    StorageUnavailable,
)
from celeste_image.core.events import Billed, Charged, Event, Submitted
from celeste_image.core.money import Cost, CostBasis, Money, Quantity
from celeste_image.core.request import ImageRequest
from celeste_image.database import Records, SqliteRecords, Unit
from celeste_image.ledger import CallState, Ended, FileOwner, Ledger
from celeste_image.pipeline.spend import spending
from celeste_image.store.open import DATABASE, open_backend

T = TypeVar("T")
CARD = replace(PAINTER, prices=(Price("image", "0.04"),))
PAID = Candidate(CALL, CARD)
COSTS = Cost(Money("USD", 40_000_000), basis=CostBasis.ESTIMATED)
NOTHING = Cost(Money("USD", 0), basis=CostBasis.CALCULATED)
MAY_COST = Cost(uncertain=Money("USD", 40_000_000))
OWED, UNKNOWN, FREE = {"owed": "true"}, {"owed": "unknown"}, {"owed": "false"}
SETTLED, UNCERTAIN = CallState.SETTLED, CallState.UNCERTAIN


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncGenerator[Ledger, None]:
    backend = open_backend((tmp_path / "store").as_uri(), {})
    yield Ledger(SqliteRecords(backend), FileOwner(tmp_path / "store" / "servers"))
    await backend.close()


async def ending(ledger: Ledger) -> Ended:
    """Returns the end of the only row."""
    (entry,) = await ledger.entries("anonymous")
    return entry.outcome


async def run_all(ledger: Ledger, fake: Fake, candidate: Candidate = PAID) -> list[Event]:
    async with aclosing(spending(fake, ledger)(REQUEST, candidate)) as events:
        return [event async for event in events]


async def test_a_row_is_there_before_the_call_and_has_its_end_after_it(ledger: Ledger) -> None:
    async def look(_: ImageRequest) -> None:
        assert await ending(ledger) == Ended(CallState.OPEN, cost=MAY_COST)

    credit, image = Quantity("credit", 0.5), Quantity("credit", 1, "fake/other")
    script: list[Any] = [look, Billed((credit,)), saved(), Billed((credit, image)), saved(1)]
    events = await run_all(ledger, Fake(*script))
    cost = Cost(Money("USD", 80_000_000), basis=CostBasis.ESTIMATED)
    assert events == [*script[1:], Charged(cost)]
    assert await ending(ledger) == Ended(SETTLED, "", True, 2, (Quantity("credit", 1.0), image), cost)
    (entry,) = await ledger.entries("anonymous", request_id=CALL.request_id)
    assert (entry.call.provider, entry.call.model, entry.call.operation) == ("fake", "fake/one", "generate")


async def test_the_ticket_of_a_job_is_on_the_disk_before_anybody_hears_of_it(ledger: Ledger) -> None:
    async with aclosing(spending(Fake(Submitted("job-1", "fake"), saved()), ledger)(REQUEST, PAID)) as events:
        assert isinstance(await anext(events), Submitted)
        (entry,) = await ledger.entries("anonymous")
        assert entry.call.ticket == "job-1"
        assert [event async for event in events] == [saved(), Charged(COSTS)]
    resumed = replace(PAID, ticket="job-1")
    await run_all(ledger, Fake(saved()), resumed)
    assert (await ending(ledger)).images == 2, "the row of the try that submitted the job"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InvalidRequest("bad"), Ended(SETTLED, "INVALID_FIELD", False, cost=NOTHING)),
        (ProviderFailed("broken", metadata=OWED), Ended(SETTLED, "PROVIDER_FAILED", True, cost=COSTS)),
        (ProviderFailed("broken", metadata=UNKNOWN), Ended(UNCERTAIN, "PROVIDER_FAILED", cost=MAY_COST)),
        (SafetyBlocked("no", metadata=FREE), Ended(SETTLED, "SAFETY_BLOCKED", False, cost=NOTHING)),
        (OutcomeUnknown("who knows"), Ended(UNCERTAIN, "OUTCOME_UNKNOWN", cost=MAY_COST)),
    ],
)
async def test_the_end_of_a_failed_call_says_what_is_owed(ledger: Ledger, error: CelesteError, outcome: Ended) -> None:
    events, raised = await collect_until_error(routed(spending(Fake(error), ledger), [CARD]))
    assert raised is error
    assert events == [Charged(outcome.cost or Cost())], "a failed call has a cost, too"
    assert await ending(ledger) == outcome
    assert ledger.uncertain == (outcome.state is UNCERTAIN)


async def test_what_was_saved_before_a_failure_is_owed(ledger: Ledger) -> None:
    with pytest.raises(ProviderFailed):
        await run_all(ledger, Fake(saved(), ProviderFailed("broken")))
    assert await ending(ledger) == Ended(SETTLED, "PROVIDER_FAILED", True, 1, cost=COSTS)


async def test_a_bug_leaves_an_uncertain_row(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        await run_all(ledger, Fake(ZeroDivisionError()))
    await ledger.close()
    assert await ending(ledger) == Ended(UNCERTAIN, "INTERNAL", cost=MAY_COST)


def cancelled(ledger: Ledger, fake: Fake) -> Awaitable[object]:
    task = asyncio.ensure_future(run_all(ledger, fake))
    asyncio.get_running_loop().call_later(0.1, task.cancel)
    return asyncio.wait([task])


async def closed(ledger: Ledger, fake: Fake) -> None:
    async with aclosing(spending(fake, ledger)(REQUEST, PAID)) as events:
        async for _ in events:
            return


@pytest.mark.parametrize("leave", [cancelled, closed])
async def test_a_caller_who_leaves_makes_the_call_uncertain(
    ledger: Ledger, leave: Callable[[Ledger, Fake], Awaitable[object]]
) -> None:
    async def never(_: ImageRequest) -> None:
        await asyncio.Event().wait()

    await leave(ledger, Fake(saved(), never))
    await ledger.close()
    assert await ending(ledger) == Ended(UNCERTAIN, "CANCELLED", None, 1, cost=MAY_COST)


async def test_no_call_is_sent_without_its_row(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "store" / DATABASE).rename(tmp_path / "moved")
    fake = Fake(saved())
    with pytest.raises(StorageUnavailable):
        await run_all(ledger, fake)
    assert fake.asked == []


async def test_a_model_that_costs_nothing_has_no_row_and_one_without_a_price_has_one(ledger: Ledger) -> None:
    free = replace(PAINTER, evidence=ModelEvidence.RUN)
    assert free.is_paid is False
    await run_all(ledger, Fake(saved()), Candidate(CALL, free))
    assert await ledger.entries("anonymous") == []
    nobody_knows = replace(PAINTER, evidence=ModelEvidence.UNSPECIFIED)
    assert nobody_knows.is_paid is None
    await run_all(ledger, Fake(saved()), Candidate(CALL, nobody_knows))
    assert await ending(ledger) == Ended(SETTLED, "", None, 1, cost=Cost(unpriced_calls=1))


def again(candidate: Candidate, *earlier: EarlierCall) -> Candidate:
    """Returns the candidate of a repeat of a request whose earlier run made some calls."""
    return replace(candidate, call=replace(CALL, earlier=earlier))


IMAGE = Charged(Cost(Money("USD", 40_000_000), basis=CostBasis.ESTIMATED))
BEGUN = EarlierCall("an-entry", CARD.id, range(1))
DONE = replace(
    BEGUN, is_settled=True, is_owed=True, has_receipt=True, events=(Billed((Quantity("credit", 1),)), saved(), IMAGE)
)


async def test_what_an_earlier_run_made_is_given_again_and_not_made(ledger: Ledger) -> None:
    fake = Fake(saved(1))
    assert await run_all(ledger, fake, again(PAID, DONE)) == list(DONE.events)
    assert not fake.asked
    assert not await ledger.entries("anonymous")


@pytest.mark.parametrize("error", [SafetyBlocked("no", metadata=OWED), ProviderFailed("broken", metadata=OWED)])
async def test_the_last_word_of_a_provider_is_given_again(ledger: Ledger, error: CelesteError) -> None:
    fake = Fake(saved())
    refused = replace(DONE, error=error, ticket="job-1")
    with pytest.raises(type(error)):
        await run_all(ledger, fake, again(PAID, refused))
    assert not fake.asked


async def test_a_job_of_an_earlier_run_is_resumed(ledger: Ledger) -> None:
    tickets = []

    async def look(_: ImageRequest) -> None:
        (entry,) = await ledger.entries("anonymous")
        tickets.append(entry.call.ticket)

    seen = []

    def run(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        seen.append(candidate.ticket)
        return Fake(look, saved())(request, candidate)

    unsaved = replace(DONE, ticket="job-1", events=(), error=StorageUnavailable("full", metadata=OWED))
    for earlier in (replace(BEGUN, ticket="job-1"), unsaved):
        async with aclosing(spending(run, ledger)(REQUEST, again(PAID, earlier))) as events:
            assert [event async for event in events] == [saved(), IMAGE]
    assert seen == tickets == ["job-1", "job-1"]


@pytest.mark.parametrize(
    "earlier",
    [
        BEGUN,
        replace(DONE, has_receipt=False),
        replace(BEGUN, images=range(2)),
        replace(BEGUN, is_settled=True),
    ],
    ids=["open", "without-a-receipt", "of-other-images-too", "owed-or-not"],
)
async def test_what_nobody_can_know_is_not_repeated(ledger: Ledger, earlier: EarlierCall) -> None:
    fake = Fake(saved())
    with pytest.raises(OutcomeUnknown) as caught:
        await run_all(ledger, fake, again(PAID, earlier))
    assert caught.value.metadata == {"final": "true", "owed": "unknown", "ledger_entry": "an-entry"}
    assert not fake.asked


@pytest.mark.parametrize(
    "earlier",
    [
        replace(BEGUN, is_settled=True, is_owed=False),
        replace(BEGUN, model="another/model"),
        replace(BEGUN, images=range(4, 8)),
    ],
    ids=["free", "of-another-model", "of-other-images"],
)
async def test_the_rest_is_made(ledger: Ledger, earlier: EarlierCall) -> None:
    assert await run_all(ledger, Fake(saved()), again(PAID, earlier)) == [saved(), IMAGE]


async def test_the_last_of_several_calls_counts(ledger: Ledger) -> None:
    fake = Fake(saved(1))
    failed = replace(BEGUN, id="1", is_settled=True, is_owed=False)
    assert await run_all(ledger, fake, again(PAID, failed, DONE)) == list(DONE.events)
    assert not fake.asked


async def test_a_doubt_names_its_entry(ledger: Ledger) -> None:
    error = OutcomeUnknown("?", metadata={"final": "true"})
    with pytest.raises(OutcomeUnknown) as caught:
        await run_all(ledger, Fake(error))
    (entry,) = await ledger.entries("anonymous")
    assert caught.value.metadata["ledger_entry"] == entry.id


class Slow:
    """Rows whose writes wait until they are let go."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.waiting = 0
        self.go = asyncio.Event()
        self.go.set()

    async def read(self, unit: Unit[T]) -> T:
        return await self._records.read(unit)

    async def write(self, unit: Unit[T]) -> T:
        self.waiting += 1
        await self.go.wait()
        self.waiting -= 1
        return await self._records.write(unit)


@pytest.mark.parametrize("last", [saved(), ProviderFailed("broken", metadata=OWED), OutcomeUnknown("?")])
async def test_the_end_is_written_though_the_caller_leaves_meanwhile(ledger: Ledger, last: Any) -> None:
    rows = Slow(ledger.records)
    slow = Ledger(rows, ledger.owner)
    began = asyncio.Event()

    async def hold(_: ImageRequest) -> None:
        rows.go.clear()
        began.set()

    task = asyncio.create_task(run_all(slow, Fake(hold, last)))
    await until(began.is_set)
    await until(lambda: rows.waiting)
    task.cancel()
    await asyncio.wait([task])
    rows.go.set()
    await until(lambda: not rows.waiting)
    await slow._behind.close()
    outcome = await ending(ledger)
    assert outcome.state is (UNCERTAIN if isinstance(last, OutcomeUnknown) else SETTLED)
    assert outcome.reason == getattr(last, "reason", "")
