"""Usage on a real SQLite file: its sums are those of a model in Python, and no tenant sees another."""

import asyncio
import itertools
import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.spending import CallRow, insert_calls, open_records

from celeste_image.core.caller import Caller
from celeste_image.core.money import Cost, CostBasis, Money, Quantity
from celeste_image.core.request import OperationKind
from celeste_image.core.usage import UsageDimension, UsageQuery, UsageRow
from celeste_image.database.times import from_micros, to_micros
from celeste_image.ledger import EndedOperation, Key, Operations, UsageReader

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGAN = datetime(2026, 11, 20, tzinfo=UTC)
DAYS = 3
MODELS = ("bfl/flux-pro", "local/compose", "openai/gpt-image-2")
CALLERS = ("ann", "ben")
REQUESTS = ("r-1", "r-2", "r-3")
RANKS = list(CostBasis)

times = st.one_of(
    st.integers(0, DAYS * 86_400_000_000 - 1),
    st.sampled_from([day * 86_400_000_000 + near for day in range(1, DAYS) for near in (-1, 0, 1)]),
).map(lambda micros: from_micros(to_micros(BEGAN) + micros))
kinds = st.sampled_from([kind.value for kind in OperationKind])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(['"', '\\"', 'a":"b', "A", "%"])
labels = st.dictionaries(st.sampled_from(["project", "team", "a"]), texts | st.sampled_from(["x", "y"]), max_size=2)
amounts = st.none() | st.integers(0, 10**15)
ended = st.builds(
    EndedOperation,
    caller=st.sampled_from(CALLERS).map(lambda name: Caller("", name)),
    request_id=st.sampled_from(REQUESTS),
    model=st.sampled_from(MODELS),
    operation=kinds,
    started=times,
    ended=st.just(BEGAN),
    outcome=st.sampled_from(["", "", "CANCELLED", "PROVIDER_FAILED"]),
    images=st.integers(0, 4),
    pixels=st.integers(0, 2**40),
    compute_seconds=st.none() | st.integers(0, 10**9).map(lambda micros: micros / 1e6),
    is_reused=st.booleans(),
    labels=labels,
)
numbers = st.integers(0, 10**6) | st.decimals(0, 1000, places=3).map(float)
bills = st.lists(st.tuples(st.sampled_from(["image", "credit"]), numbers, st.sampled_from(["", *MODELS])), max_size=3)
calls = st.builds(
    CallRow,
    tenant=st.just(""),
    caller=st.sampled_from(CALLERS),
    request_id=st.sampled_from(REQUESTS),
    model=st.sampled_from(MODELS),
    operation=kinds,
    started=times.map(to_micros),
    state=st.sampled_from(["open", "settled", "settled", "uncertain"]),
    billed=bills.map(json.dumps) | st.dictionaries(st.sampled_from(["image", "credit"]), numbers).map(json.dumps),
    currency=st.sampled_from(["USD", "USD", "EUR"]),
    settled=amounts,
    uncertain=amounts,
    basis=st.sampled_from(["", *CostBasis]).map(str),
)
groups = st.permutations(list(UsageDimension)).flatmap(
    lambda all_: st.integers(0, len(all_)).map(lambda count: tuple(all_[:count]))
)
queries = st.builds(UsageQuery, start=times, end=st.none() | times, group_by=groups, labels=labels)


def key_of(item: EndedOperation | CallRow, group_by: Sequence[UsageDimension]) -> Key:
    started = item.started if isinstance(item.started, int) else to_micros(item.started)
    caller = item.caller if isinstance(item.caller, str) else item.caller.name
    found: dict[str, Any] = {"day": started // 86_400_000_000, "model": item.model}
    found |= {"operation": item.operation, "caller": caller}
    return tuple(found[dimension] for dimension in group_by)


def modelled(query: UsageQuery, operations: list[EndedOperation], called: list[CallRow]) -> list[UsageRow]:
    """Returns the rows that a query has to have, by loops over the whole."""

    def is_within(time: datetime) -> bool:
        return query.start <= time and (query.end is None or time < query.end)

    def has_labels(operation: EndedOperation) -> bool:
        return query.labels.items() <= operation.labels.items()

    labelled = {each.request_id for each in operations if has_labels(each)}
    done = [each for each in operations if is_within(each.started) and has_labels(each)]
    paid = [each for each in called if is_within(from_micros(each.started))]
    if query.labels:
        paid = [each for each in paid if each.request_id in labelled]
    keys = sorted({key_of(each, query.group_by) for each in (*done, *paid)})
    return [
        row_of(
            query.group_by,
            key,
            [each for each in done if key_of(each, query.group_by) == key],
            [each for each in paid if key_of(each, query.group_by) == key],
        )
        for key in keys
    ]


def row_of(group_by: Sequence[UsageDimension], key: Key, done: list[EndedOperation], paid: list[CallRow]) -> UsageRow:
    values: dict[str, Any] = dict(zip((each.value for each in group_by), key, strict=True))
    if "day" in values:
        values["day"] = (datetime(1970, 1, 1) + timedelta(days=values["day"])).date().isoformat()
    if "operation" in values:
        values["operation"] = OperationKind(values["operation"])
    succeeded = [each for each in done if not each.outcome]
    worked = [round(each.compute_seconds * 1e6) for each in done if each.compute_seconds is not None]
    sums: dict[tuple[str, str], Fraction] = {}
    for call in paid:
        found = json.loads(call.billed, parse_float=Decimal)
        for unit, amount, model in found if isinstance(found, list) else ((*pair, "") for pair in found.items()):
            whose = "" if values.get("model") == (model or call.model) else model or call.model
            sums[unit, whose] = sums.get((unit, whose), Fraction(0)) + Fraction(amount)
    return UsageRow(
        **values,
        succeeded=len(succeeded),
        failed=len(done) - len(succeeded),
        uncertain=sum(call.state == "uncertain" for call in paid),
        reused=sum(each.is_reused for each in succeeded),
        images=sum(each.images for each in done),
        pixels=sum(each.pixels for each in done),
        compute_seconds=sum(worked) / 1e6 if worked else None,
        billed=tuple(Quantity(unit, float(sums[unit, model]), model) for unit, model in sorted(sums)),
        costs=tuple(costs_of(paid)),
    )


def costs_of(paid: list[CallRow]) -> Iterator[Cost]:
    for currency in sorted({call.currency for call in paid}):
        mine = [call for call in paid if call.currency == currency]
        settled = [call.settled for call in mine if call.state == "settled"]
        other = [call.uncertain for call in mine if call.state != "settled"]
        yield Cost(
            money(currency, settled),
            money(currency, other),
            max(
                (CostBasis(call.basis or "unspecified") for call in mine if call.state == "settled"),
                key=RANKS.index,
                default=RANKS[0],
            ),
            (settled + other).count(None),
        )


def money(currency: str, amounts: list[int | None]) -> Money | None:
    known = [amount for amount in amounts if amount is not None]
    return Money(currency, sum(known)) if known or not amounts else None


async def pages(reader: UsageReader, tenant: str, query: UsageQuery, size: int) -> list[UsageRow]:
    rows: list[UsageRow] = []
    after: Key | None = None
    while True:
        page, after = await reader.rows(tenant, query, after, size)
        assert len(page) <= size
        rows += [row for _, row in page]
        if after is None:
            return rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ended, max_size=12), st.lists(calls, max_size=12), queries, st.integers(1, 4))
@example([], [CallRow("", billed='[["image", 1, ""]]', settled=4)], UsageQuery(EPOCH), 1)
def test_every_sum_is_that_of_a_loop_over_all_rows(
    tmp_path: Path, operations: list[EndedOperation], called: list[CallRow], query: UsageQuery, size: int
) -> None:
    async def check() -> None:
        tenant, other = str(uuid.uuid4()), str(uuid.uuid4())
        async with open_records(tmp_path) as records:
            counted = Operations(records, timedelta(days=400))
            for whose, operation in itertools.product((tenant, other), operations):
                counted.add(replaced(operation, whose))
            await counted.close()
            await insert_calls(records, [CallRow(**vars(call) | {"tenant": tenant}) for call in called])
            found = await pages(UsageReader(records), tenant, query, size)
        assert found == modelled(query, operations, called)

    asyncio.run(check())


def replaced(operation: EndedOperation, tenant: str) -> EndedOperation:
    values = {name: getattr(operation, name) for name in EndedOperation.__slots__}
    return EndedOperation(**values | {"caller": Caller(tenant, operation.caller.name)})


async def test_sums_of_large_amounts_are_exact(tmp_path: Path) -> None:
    """A double holds neither the nanos nor three tenths of a credit."""
    async with open_records(tmp_path) as records:
        call = CallRow("a", settled=2**53 + 1, basis="reported", billed='[["credit", 0.1, ""]]')
        await insert_calls(records, [call] * 3)
        ((_, row),), last = await UsageReader(records).rows("a", UsageQuery(EPOCH))
    assert last is None
    assert row.costs == (Cost(Money("USD", 3 * 2**53 + 3), Money("USD", 0), CostBasis.REPORTED),)
    assert row.billed == (Quantity("credit", 0.3, "bfl/flux-pro"),)


@pytest.mark.parametrize("count", [1999, 2000, 2001])
async def test_bills_are_added_in_several_batches(tmp_path: Path, count: int) -> None:
    async with open_records(tmp_path) as records:
        call = CallRow("a", started=to_micros(BEGAN), billed='[["image", 1, ""]]')
        await insert_calls(records, [call] * count)
        ((_, row),), _ = await UsageReader(records).rows("a", UsageQuery(BEGAN))
    assert row.billed == (Quantity("image", float(count), "bfl/flux-pro"),)
