"""Usage and entries of the ledger: core -> protobuf -> bytes -> protobuf -> core."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from celeste_image.core.errors import InvalidRequest
from celeste_image.core.money import Cost, CostBasis, Money, Quantity
from celeste_image.core.request import OperationKind
from celeste_image.core.usage import CallState, EntryFilter, SpendEntry, UsageDimension, UsageQuery, UsageRow
from celeste_image.v1 import usage_service_pb2 as pb
from celeste_image.wire.times import time_from_proto
from celeste_image.wire.usage import (
    entry_from_proto,
    entry_to_proto,
    filter_from_proto,
    filter_to_proto,
    query_from_proto,
    query_to_proto,
    row_from_proto,
    row_to_proto,
)

NOW = datetime(2026, 11, 20, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
counts = st.integers(0, 2**31 - 1)
times = st.datetimes(timezones=st.just(UTC))
monies = st.builds(Money, st.sampled_from(["USD", "EUR"]), st.integers(0, 2**63 - 1))
costs = st.builds(Cost, st.none() | monies, st.none() | monies, st.sampled_from(CostBasis), counts)
bills = st.lists(st.builds(Quantity, texts, st.floats(0, 1e12), texts), max_size=3).map(tuple)
kinds = st.none() | st.sampled_from(OperationKind)
rows = st.builds(
    UsageRow,
    day=texts,
    model=texts,
    operation=kinds,
    caller=texts,
    succeeded=st.integers(0, 2**63 - 1),
    failed=counts,
    uncertain=counts,
    reused=counts,
    images=counts,
    pixels=st.integers(0, 2**50),
    compute_seconds=st.none() | st.integers(0, 10**12).map(lambda micros: micros / 1e6),
    billed=bills,
    costs=st.lists(costs, max_size=2).map(tuple),
)
entries = st.builds(
    SpendEntry,
    id=texts,
    request_id=texts,
    caller=texts,
    model=texts,
    operation=kinds,
    provider_job=texts,
    state=st.sampled_from(CallState),
    reason=texts,
    start=times,
    end=st.none() | times,
    images=counts,
    billed=bills,
    cost=st.none() | costs,
)
queries = st.builds(
    UsageQuery,
    times,
    times,
    st.lists(st.sampled_from(UsageDimension), unique=True).map(tuple),
    st.dictionaries(texts, texts, max_size=3),
)
filters = st.builds(
    EntryFilter,
    st.none() | times,
    st.none() | times,
    st.lists(st.sampled_from(CallState), unique=True).map(tuple),
    st.just("") | st.uuids().map(str),
)


@settings(deadline=None)
@given(rows, entries, queries, filters)
def test_everything_comes_back_as_it_was(
    row: UsageRow, entry: SpendEntry, query: UsageQuery, wanted: EntryFilter
) -> None:
    assert row_from_proto(pb.UsageRow.FromString(row_to_proto(row).SerializeToString())) == row
    assert entry_from_proto(pb.LedgerEntry.FromString(entry_to_proto(entry).SerializeToString())) == entry
    sent = query_to_proto(query).SerializeToString()
    assert query_from_proto(pb.QueryUsageRequest.FromString(sent), NOW) == query
    sent = filter_to_proto(wanted).SerializeToString()
    assert filter_from_proto(pb.ListLedgerEntriesRequest.FromString(sent)) == wanted


def test_an_end_that_is_not_set_is_now() -> None:
    message = query_to_proto(UsageQuery(NOW))
    assert not message.HasField("end_time")
    assert query_from_proto(message, NOW).end == NOW


def test_a_state_of_a_later_server_may_have_to_be_paid() -> None:
    assert entry_from_proto(pb.LedgerEntry(state=77)).state is CallState.UNCERTAIN  # type: ignore[arg-type]


def test_a_time_is_the_next_whole_microsecond_and_an_impossible_one_is_refused() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert time_from_proto(Timestamp(), "t") == epoch
    assert time_from_proto(Timestamp(nanos=1), "t") == epoch.replace(microsecond=1)
    assert time_from_proto(Timestamp(seconds=1, nanos=1000), "t") == epoch.replace(second=1, microsecond=1)
    for seconds in (1 << 62, -(1 << 62), 253_402_300_800, -62_135_596_801):
        with pytest.raises(InvalidRequest) as caught:
            time_from_proto(Timestamp(seconds=seconds), "start_time")
        assert [violation.field for violation in caught.value.violations] == ["start_time"]
