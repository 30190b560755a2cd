"""Converts usage and entries of the ledger between core values and protobuf."""

from datetime import datetime, timedelta

from celeste_image.core.request import OperationKind
from celeste_image.core.usage import CallState, EntryFilter, SpendEntry, UsageDimension, UsageQuery, UsageRow
from celeste_image.v1 import operation_pb2
from celeste_image.v1 import usage_service_pb2 as pb
from celeste_image.wire.money import cost_from_proto, cost_to_proto, quantity_from_proto, quantity_to_proto
from celeste_image.wire.times import time_from_proto, time_to_proto
from celeste_image.wire.values import enum_number, enum_word

__all__ = [
    "entry_from_proto",
    "entry_to_proto",
    "filter_from_proto",
    "filter_to_proto",
    "query_from_proto",
    "query_to_proto",
    "row_from_proto",
    "row_to_proto",
]

MICRO = 1_000_000


def query_from_proto(message: pb.QueryUsageRequest, now: datetime) -> UsageQuery:
    """Returns the query of a valid message; an unset end is `now`. Raises InvalidRequest for an impossible time."""
    return UsageQuery(
        time_from_proto(message.start_time, "start_time"),
        time_from_proto(message.end_time, "end_time") if message.HasField("end_time") else now,
        tuple(UsageDimension(enum_word(pb.UsageDimension, number)) for number in message.group_by),
        dict(message.labels),
    )


def query_to_proto(query: UsageQuery) -> pb.QueryUsageRequest:
    """Returns the message of a query."""
    return pb.QueryUsageRequest(
        start_time=time_to_proto(query.start),
        end_time=time_to_proto(query.end) if query.end else None,
        group_by=[enum_number(pb.UsageDimension, dimension) for dimension in query.group_by],
        labels=query.labels,
    )


def row_to_proto(row: UsageRow) -> pb.UsageRow:
    """Returns the message of a row."""
    message = pb.UsageRow(
        day=row.day,
        model=row.model,
        operation=enum_number(operation_pb2.OperationKind, row.operation or "unspecified"),
        caller=row.caller,
        succeeded=row.succeeded,
        failed=row.failed,
        uncertain=row.uncertain,
        reused=row.reused,
        costs=[cost_to_proto(cost) for cost in row.costs],
    )
    message.usage.images, message.usage.megapixels = row.images, row.pixels / MICRO
    message.usage.billed.extend(quantity_to_proto(quantity) for quantity in row.billed)
    if row.compute_seconds is not None:
        message.usage.compute_time.FromTimedelta(timedelta(seconds=row.compute_seconds))
    return message


def row_from_proto(message: pb.UsageRow) -> UsageRow:
    """Returns the row of a message."""
    usage = message.usage
    return UsageRow(
        day=message.day,
        model=message.model,
        operation=_kind(message.operation),
        caller=message.caller,
        succeeded=message.succeeded,
        failed=message.failed,
        uncertain=message.uncertain,
        reused=message.reused,
        images=usage.images,
        pixels=round(usage.megapixels * MICRO),
        compute_seconds=usage.compute_time.ToTimedelta().total_seconds() if usage.HasField("compute_time") else None,
        billed=tuple(quantity_from_proto(each) for each in usage.billed),
        costs=tuple(cost_from_proto(each) for each in message.costs),
    )


def filter_from_proto(message: pb.ListLedgerEntriesRequest) -> EntryFilter:
    """Returns the filter of a valid message. Raises InvalidRequest for an impossible time."""
    return EntryFilter(
        time_from_proto(message.start_time, "start_time") if message.HasField("start_time") else None,
        time_from_proto(message.end_time, "end_time") if message.HasField("end_time") else None,
        tuple(CallState(enum_word(pb.LedgerState, number)) for number in message.states),
        message.request_id.lower(),
    )


def filter_to_proto(wanted: EntryFilter) -> pb.ListLedgerEntriesRequest:
    """Returns the message of a filter."""
    return pb.ListLedgerEntriesRequest(
        start_time=time_to_proto(wanted.start) if wanted.start else None,
        end_time=time_to_proto(wanted.end) if wanted.end else None,
        states=[enum_number(pb.LedgerState, state) for state in wanted.states],
        request_id=wanted.request_id,
    )


def entry_to_proto(entry: SpendEntry) -> pb.LedgerEntry:
    """Returns the message of an entry."""
    return pb.LedgerEntry(
        id=entry.id,
        request_id=entry.request_id,
        caller=entry.caller,
        model=entry.model,
        operation=enum_number(operation_pb2.OperationKind, entry.operation or "unspecified"),
        provider_job=entry.provider_job,
        state=enum_number(pb.LedgerState, entry.state),
        reason=entry.reason,
        start_time=time_to_proto(entry.start),
        end_time=time_to_proto(entry.end) if entry.end else None,
        images=entry.images,
        billed=[quantity_to_proto(quantity) for quantity in entry.billed],
        cost=cost_to_proto(entry.cost) if entry.cost else None,
    )


def entry_from_proto(message: pb.LedgerEntry) -> SpendEntry:
    """Returns the entry of a message. A state that this version does not know is UNCERTAIN: it may have to be paid."""
    state = enum_word(pb.LedgerState, message.state)
    return SpendEntry(
        id=message.id,
        request_id=message.request_id,
        caller=message.caller,
        model=message.model,
        operation=_kind(message.operation),
        provider_job=message.provider_job,
        state=CallState.UNCERTAIN if state == "unspecified" else CallState(state),
        reason=message.reason,
        start=time_from_proto(message.start_time, "start_time"),
        end=time_from_proto(message.end_time, "end_time") if message.HasField("end_time") else None,
        images=message.images,
        billed=tuple(quantity_from_proto(each) for each in message.billed),
        cost=cost_from_proto(message.cost) if message.HasField("cost") else None,
    )


def _kind(number: int) -> OperationKind | None:
    word = enum_word(operation_pb2.OperationKind, number)
    return None if word == "unspecified" else OperationKind(word)
