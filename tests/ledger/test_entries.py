"""Entries of the ledger: the filters, the pages, and what a call costs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.spending import CallRow, insert_call, open_records

from celeste_image.core.money import Cost, CostBasis, Money, Quantity
from celeste_image.core.usage import CallState, EntryFilter
from celeste_image.database.times import to_micros
from celeste_image.ledger import list_entries

BEGAN = datetime(2026, 11, 20, tzinfo=UTC)
SECOND = timedelta(seconds=1)


async def test_every_filter_and_every_page(tmp_path: Path) -> None:
    async with open_records(tmp_path) as records:
        names = [
            await insert_call(
                records,
                CallRow("a", started=to_micros(BEGAN + number * SECOND), state=state, request_id=f"r-{number % 2}"),
            )
            for number, state in enumerate(["open", "settled", "uncertain", "settled"])
        ]
        await insert_call(records, CallRow("b", started=to_micros(BEGAN)))

        async def found(wanted: EntryFilter, before: str = "", limit: int = 100) -> list[int]:
            entries = await list_entries(records, "a", wanted, before=before, limit=limit)
            return [names.index(entry.id) for entry in entries]

        assert await found(EntryFilter()) == [3, 2, 1, 0]
        assert await found(EntryFilter(), before=names[2], limit=1) == [1]
        assert await found(EntryFilter(states=(CallState.OPEN, CallState.UNCERTAIN))) == [2, 0]
        assert await found(EntryFilter(request_id="r-1")) == [3, 1]
        assert await found(EntryFilter(start=BEGAN + SECOND, end=BEGAN + 3 * SECOND)) == [2, 1]
        assert await found(EntryFilter(BEGAN + SECOND, None, (CallState.SETTLED,), "r-1")) == [3, 1]
        far = datetime(9999, 12, 31, tzinfo=UTC)
        assert await found(EntryFilter(datetime(1, 1, 1, tzinfo=UTC), far)) == [3, 2, 1, 0]
        assert await found(EntryFilter(start=far)) == []


async def test_a_call_costs_what_its_row_says(tmp_path: Path) -> None:
    rows = {
        CallRow("a", settled=40_000_000, basis="reported"): Cost(
            Money("USD", 40_000_000), Money("USD", 0), CostBasis.REPORTED
        ),
        CallRow("a", currency="", settled=None): Cost(unpriced_calls=1),
        CallRow("a", settled=None): Cost(None, Money("USD", 0), unpriced_calls=1),
        CallRow("a", settled=0, basis="estimated", reason="SAFETY_BLOCKED"): Cost(
            Money("USD", 0), Money("USD", 0), CostBasis.ESTIMATED
        ),
        CallRow("a", state="uncertain", uncertain=7, basis="estimated"): Cost(Money("USD", 0), Money("USD", 7)),
        CallRow("a", state="uncertain"): Cost(Money("USD", 0), None, unpriced_calls=1),
        CallRow("a", state="open", uncertain=7): None,
        CallRow("a", currency="", settled=0): None,
    }
    async with open_records(tmp_path) as records:
        for row, cost in rows.items():
            name = await insert_call(records, row)
            entries = await list_entries(records, "a", EntryFilter())
            (entry,) = [entry for entry in entries if entry.id == name]
            assert entry.cost == cost, row
            assert (entry.state.value, entry.reason, entry.end is None) == (row.state, row.reason, row.state == "open")


async def test_bills_are_read_in_both_forms(tmp_path: Path) -> None:
    async with open_records(tmp_path) as records:
        for billed in ('{"credit": 4.5}', '[["credit", 4.5, ""]]', '[["credit", 4.5, "bfl/other"]]', "{}", "[]"):
            await insert_call(records, CallRow("a", started=to_micros(BEGAN), billed=billed))
        found = {entry.billed for entry in await list_entries(records, "a", EntryFilter())}
    assert found == {(Quantity("credit", 4.5),), (Quantity("credit", 4.5, "bfl/other"),), ()}
