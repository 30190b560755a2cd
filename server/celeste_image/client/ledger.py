"""The part of UsageService that both clients share: requests from arguments."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from celeste_image.client.checks import check_labels, check_text, check_time, check_word, checked_items
from celeste_image.core.usage import CallState, EntryFilter, UsageDimension, UsageQuery
from celeste_image.v1 import usage_service_pb2
from celeste_image.wire.usage import filter_to_proto, query_to_proto

__all__ = ["entries_request", "usage_request"]

PAGE = 1000


def usage_request(
    start: datetime, end: datetime | None, group_by: Sequence[str], labels: Mapping[str, str] | None
) -> usage_service_pb2.QueryUsageRequest:
    """Returns the request for usage. Raises TypeError and ValueError for arguments of another form."""
    check_time(start, "start")
    if end is not None:
        check_time(end, "end")
    check_labels(labels or {}, "labels")
    words = checked_items(group_by, "group_by")
    for word in words:
        check_word(word, list(UsageDimension), "group_by")
    request = query_to_proto(UsageQuery(start, end, tuple(map(UsageDimension, words)), labels or {}))
    request.page_size = PAGE
    return request


def entries_request(
    start: datetime | None, end: datetime | None, states: Sequence[str], request_id: str
) -> usage_service_pb2.ListLedgerEntriesRequest:
    """Returns the request for entries of the ledger. Raises TypeError and ValueError for arguments of another form."""
    for time, path in ((start, "start"), (end, "end")):
        if time is not None:
            check_time(time, path)
    words = checked_items(states, "states")
    for word in words:
        check_word(word, list(CallState), "states")
    check_text(request_id, "request_id")
    request = filter_to_proto(EntryFilter(start, end, tuple(map(CallState, words)), request_id))
    request.page_size = PAGE
    return request
