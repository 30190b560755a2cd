"""UsageService over a real socket: what was used is counted, tenants are apart, and pages end as one query."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from tests.support.callers import bearer, key_table, new_key
from tests.support.grpc_calls import status_of
from tests.support.servers import Running, running
from tests.support.spending import CallRow, insert_calls

from celeste_image.client import AsyncClient, Client
from celeste_image.core.errors import CelesteError, InvalidRequest
from celeste_image.core.money import Cost, CostBasis, Money, Quantity
from celeste_image.core.request import OperationKind
from celeste_image.core.usage import CallState, UsageDimension
from celeste_image.database.times import to_micros
from celeste_image.v1 import (
    ListLedgerEntriesRequest,
    QueryUsageRequest,
    UsageServiceStub,
)
from celeste_image.v1 import usage_service_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

A, A_TOO, B = new_key(), new_key(), new_key()
KEYS = {"one": key_table(A, "a"), "two": key_table(A_TOO, "a"), "other": key_table(B, "b")}
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
ENTRIES = 7
SMALL: Any = {"model": "local/compose", "size": (64, 64)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def used(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A server that two tenants have used: one of them has old calls, too, that had to be paid."""
    folder = tmp_path_factory.mktemp("store")
    async with running(store={"url": folder.as_uri()}, callers={"keys": KEYS}) as server:
        assert server.app.database.records
        calls = [
            CallRow(
                "a",
                "one",
                started=to_micros(LONG_AGO) + number * SECOND,
                settled=number,
                basis="calculated",
                billed='[["image", 1, ""]]',
            )
            for number in range(ENTRIES)
        ]
        await insert_calls(server.app.database.records, calls)
        async with AsyncClient(server.address, api_key=A) as client:
            await client.generate("a boat", labels={"project": "x", "team": "t"}, count=2, **SMALL)
            await client.generate("a boat", labels={"project": "y"}, **SMALL)
            with pytest.raises(CelesteError):
                await client.generate("a boat", model="nobody/none", labels={"project": "x"})
        async with AsyncClient(server.address, api_key=A_TOO) as client:
            await client.generate("a boat", **SMALL)
        async with AsyncClient(server.address, api_key=B) as client:
            await client.generate("a boat", **SMALL)
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(used: Running) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(used.address, api_key=A) as client:
        yield client


def request(start: datetime = LONG_AGO, **fields: Any) -> QueryUsageRequest:
    message = QueryUsageRequest(**fields)
    message.start_time.FromDatetime(start)
    return message


async def pages(stub: UsageServiceStub, message: Any, key: str = A) -> list[Any]:
    """Returns all pages of a list."""
    call = stub.QueryUsage if isinstance(message, QueryUsageRequest) else stub.ListLedgerEntries
    found = []
    while True:
        page: Any = await call(message, metadata=bearer(key))  # type: ignore[arg-type]
        found.append(page)
        message.page_token = page.next_page_token
        if not message.page_token:
            return found


async def code(call: Any, message: Any, key: str = A) -> tuple[str, Sequence[str]]:
    """Returns the code and the fields of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(message, metadata=bearer(key))
    status = status_of(caught.value)
    return caught.value.code().name, [str(detail.type_url.rpartition("/")[2]) for detail in status.details]


async def test_a_tenant_finds_what_its_callers_did_a_moment_ago(client: AsyncClient) -> None:
    now = datetime.now(UTC)
    rows = [row async for row in client.usage(now - timedelta(days=1), group_by=["caller", UsageDimension.MODEL])]
    assert [(row.caller, row.model, row.succeeded, row.failed, row.images, row.pixels) for row in rows] == [
        ("one", "", 0, 1, 0, 0),
        ("one", "local/compose", 2, 0, 3, 3 * 64 * 64),
        ("two", "local/compose", 1, 0, 1, 64 * 64),
    ]
    assert [row.compute_seconds is not None for row in rows] == [False, True, True]
    (row,) = [row async for row in client.usage(now - timedelta(days=1))]
    assert (row.succeeded, row.failed, row.images, row.day, row.operation, row.costs) == (3, 1, 4, "", None, ())


async def test_labels_choose_the_operations_that_have_them_all(client: AsyncClient) -> None:
    async def count(**labels: str) -> tuple[int, int]:
        rows = [row async for row in client.usage(LONG_AGO, labels=labels)]
        return (rows[0].succeeded, rows[0].failed) if rows else (0, 0)

    assert await count(project="x") == (1, 1)
    assert await count(project="x", team="t") == (1, 0)
    assert await count(project="y") == (1, 0)
    assert await count(project="X") == await count(project="") == await count(projec="x") == (0, 0)


async def test_costs_and_bills_come_from_the_ledger(client: AsyncClient) -> None:
    by = ["day", "model", "operation", "caller"]
    first, *_ = [row async for row in client.usage(LONG_AGO, group_by=by)]
    assert (first.day, first.model, first.operation, first.caller) == (
        "2026-01-01",
        "bfl/flux-pro",
        OperationKind.GENERATE,
        "one",
    )
    assert first.costs == (Cost(Money("USD", sum(range(ENTRIES))), Money("USD", 0), CostBasis.CALCULATED),)
    assert first.billed == (Quantity("image", float(ENTRIES)),)


async def test_the_blocking_client_says_the_same(used: Running, client: AsyncClient) -> None:
    def ask() -> tuple[list[Any], list[Any]]:
        with Client(used.address, api_key=A) as blocking:
            rows = blocking.usage(LONG_AGO, end=LONG_AGO + timedelta(days=1), group_by=["operation"], labels={})
            return list(rows), list(blocking.ledger(start=LONG_AGO))

    rows, entries = await asyncio.to_thread(ask)
    assert rows == [row async for row in client.usage(LONG_AGO, end=LONG_AGO + timedelta(1), group_by=["operation"])]
    assert entries == [entry async for entry in client.ledger(start=LONG_AGO)] and len(entries) == ENTRIES


@pytest.mark.parametrize(
    ("method", "arguments", "words"),
    [
        ("usage", {"start": datetime(2026, 1, 1)}, "start is a datetime with a time zone"),
        ("usage", {"start": "7d"}, "start is a datetime, not '7d'"),
        ("usage", {"start": LONG_AGO, "end": 7}, "end is a datetime, not 7"),
        ("usage", {"start": LONG_AGO, "group_by": ["weak"]}, "group_by is one of day"),
        ("usage", {"start": LONG_AGO, "group_by": "day"}, "group_by is a list"),
        ("usage", {"start": LONG_AGO, "labels": {"a": 1}}, "is a text, not 1"),
        ("ledger", {"states": ["setled"]}, "states is one of open, settled, uncertain, not 'setled': settled?"),
        ("ledger", {"request_id": None}, "request_id is a text"),
    ],
)
async def test_the_clients_refuse_wrong_arguments(
    client: AsyncClient, method: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=words.replace("(", r"\(")):
        _ = [item async for item in getattr(client, method)(**arguments)]


async def test_another_tenant_sees_nothing_of_it(used: Running) -> None:
    async with AsyncClient(used.address, api_key=B) as other:
        (row,) = [row async for row in other.usage(LONG_AGO)]
        assert (row.succeeded, row.failed, row.costs) == (1, 0, ())
        assert [entry async for entry in other.ledger()] == []


async def test_entries_come_newest_first_by_every_filter(client: AsyncClient) -> None:
    everything = [entry async for entry in client.ledger()]
    assert [entry.cost.settled.nanos for entry in everything if entry.cost and entry.cost.settled] == [
        *reversed(range(ENTRIES))
    ]
    assert [entry async for entry in client.ledger(states=["settled"], request_id="")] == everything
    assert [entry async for entry in client.ledger(states=[CallState.UNCERTAIN, CallState.OPEN])] == []
    within = client.ledger(start=LONG_AGO + timedelta(seconds=2), end=LONG_AGO + timedelta(seconds=4))
    assert [entry async for entry in within] == everything[3:5]
    assert [entry async for entry in client.ledger(request_id="6f1c2d3e-0000-4000-8000-000000000001")] == []


@pytest.mark.parametrize("size", [1, 2, 1000])
async def test_pages_have_everything_once(used: Running, size: int) -> None:
    async with grpc.aio.insecure_channel(used.address) as channel:
        stub = UsageServiceStub(channel)
        entries = await pages(stub, ListLedgerEntriesRequest(page_size=size))
        ids = [entry.id for page in entries for entry in page.entries]
        assert ids == sorted(set(ids), reverse=True) and len(ids) == ENTRIES
        grouped = request(group_by=[pb.USAGE_DIMENSION_MODEL, pb.USAGE_DIMENSION_DAY], page_size=size)
        found = await pages(stub, grouped)
        rows = [(row.model, row.day) for page in found for row in page.rows]
    assert all(len(page.rows) <= size for page in found) and all(len(page.entries) <= size for page in entries)
    assert rows == sorted(set(rows)) and [model for model, _ in rows] == ["", "bfl/flux-pro", "local/compose"]


async def test_later_pages_end_when_the_first_one_did(used: Running) -> None:
    """An operation of the last model that comes between two pages is not on the second one."""
    async with grpc.aio.insecure_channel(used.address) as channel:
        stub = UsageServiceStub(channel)
        today = request(datetime.now(UTC) - timedelta(days=1), group_by=[pb.USAGE_DIMENSION_MODEL], page_size=1)
        token = (await stub.QueryUsage(today, metadata=bearer(B))).next_page_token  # type: ignore[arg-type]
        assert token == "", "this tenant has one model"
        first = await stub.QueryUsage(today, metadata=bearer(A))  # type: ignore[arg-type]
        async with AsyncClient(used.address, api_key=A_TOO) as other:
            await other.generate("a boat", **SMALL)
        today.page_token = first.next_page_token
        second = await stub.QueryUsage(today, metadata=bearer(A))  # type: ignore[arg-type]
        today.page_token = ""
        again = await pages(stub, today)
    assert [row.succeeded for row in second.rows] == [3]
    assert [row.succeeded for page in again for row in page.rows] == [0, 4]


async def test_what_the_contract_refuses(used: Running) -> None:
    bad = ("INVALID_ARGUMENT", ["google.rpc.ErrorInfo", "google.rpc.BadRequest"])
    async with grpc.aio.insecure_channel(used.address) as channel:
        stub = UsageServiceStub(channel)
        grouped = request(group_by=[pb.USAGE_DIMENSION_MODEL], page_size=1)
        token = (await stub.QueryUsage(grouped, metadata=bearer(A))).next_page_token  # type: ignore[arg-type]
        far = request()
        far.start_time.CopyFrom(Timestamp(seconds=1 << 62))
        for refused in (
            QueryUsageRequest(),
            request(group_by=[0]),
            request(group_by=[9]),
            request(group_by=[1, 1]),
            request(page_size=-1),
            request(page_token="made-up"),
            request(page_token=token),
            request(group_by=[pb.USAGE_DIMENSION_DAY], page_token=token),
            request(group_by=[pb.USAGE_DIMENSION_MODEL], labels={"a": "b"}, page_token=token),
            request(labels={str(number): "" for number in range(17)}),
            far,
        ):
            assert await code(stub.QueryUsage, refused) == bad, refused
        assert await code(stub.QueryUsage, request(group_by=[pb.USAGE_DIMENSION_MODEL], page_token=token), B) == bad
        for wrong in (
            ListLedgerEntriesRequest(states=[0]),
            ListLedgerEntriesRequest(request_id="x"),
            ListLedgerEntriesRequest(page_size=-1),
            ListLedgerEntriesRequest(page_token=token),
            ListLedgerEntriesRequest(end_time=Timestamp(seconds=-(1 << 62))),
        ):
            assert await code(stub.ListLedgerEntries, wrong) == bad, wrong
        assert (await code(stub.ListLedgerEntries, ListLedgerEntriesRequest(), "unknown"))[0] == "UNAUTHENTICATED"


async def test_a_store_in_memory_counts_too_and_free_work_has_no_entries() -> None:
    async with running() as server, AsyncClient(server.address) as client:
        await client.generate("a boat", **SMALL)
        (row,) = [row async for row in client.usage(LONG_AGO, group_by=["day"])]
        assert (row.succeeded, row.images, row.costs) == (1, 1, ())
        assert [entry async for entry in client.ledger()] == []
        with pytest.raises(InvalidRequest):
            _ = [entry async for entry in client.ledger(request_id="x")]
