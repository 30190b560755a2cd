"""UsageService: tells a tenant what it used and what it cost, and lists its calls that may have to be paid."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc

from celeste_image.core.usage import UsageDimension, UsageQuery
from celeste_image.database import Records
from celeste_image.database.times import from_micros, to_micros
from celeste_image.ledger import Key, Operations, UsageReader, list_entries
from celeste_image.rpc.identity import caller
from celeste_image.rpc.pages import PAGE_BYTES, next_page_token, page_size, page_start, token_refused
from celeste_image.rpc.validate import check_strictly
from celeste_image.v1 import usage_service_pb2 as pb
from celeste_image.v1 import usage_service_pb2_grpc
from celeste_image.wire.usage import entry_to_proto, filter_from_proto, query_from_proto, row_to_proto

__all__ = ["UsageServicer"]

Context = grpc.aio.ServicerContext[Any, Any]

MOST_DAYS = 10_000_000
"""Bound of the days since 1970 in a page token."""


class UsageServicer(usage_service_pb2_grpc.UsageServiceServicer):
    """Tells what was used and what it cost.

    Args:
        records: The database.
        operations: Counts the operations of this server.
        now: The time in UTC.
    """

    def __init__(
        self,
        records: Records,
        operations: Operations,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._records, self._operations, self._now = records, operations, now
        self._reader = UsageReader(records)

    async def QueryUsage(self, request: pb.QueryUsageRequest, context: Context) -> pb.QueryUsageResponse:
        """Adds up usage and costs. All pages end at the time that the first one ended."""
        check_strictly(request)
        tenant = caller.get().tenant
        start = page_start(request, tenant)
        query = query_from_proto(request, self._now())
        after: Key | None = None
        if start:
            query, after = _continued(query, start)
        response = pb.QueryUsageResponse()
        await self._operations.flush()  # the caller finds what it did a moment ago
        rows, last = await self._reader.rows(tenant, query, after, page_size(request))
        size = 0
        for key, row in rows:
            message = row_to_proto(row)
            size += message.ByteSize()
            if size > PAGE_BYTES and response.rows:
                break
            response.rows.append(message)
            after = key
        else:
            after = last
        if after is not None:
            end = to_micros(query.end or self._now())
            token = json.dumps([end, *after], ensure_ascii=False, separators=(",", ":"))
            response.next_page_token = next_page_token(request, tenant, token)
        return response

    async def ListLedgerEntries(
        self, request: pb.ListLedgerEntriesRequest, context: Context
    ) -> pb.ListLedgerEntriesResponse:
        """Lists calls to providers, newest first, up to a number and a size of the page."""
        check_strictly(request)
        tenant, most = caller.get().tenant, page_size(request)
        before = page_start(request, tenant)
        if not before.isprintable():
            raise token_refused()
        wanted = filter_from_proto(request)
        response = pb.ListLedgerEntriesResponse()
        size = 0
        for entry in await list_entries(self._records, tenant, wanted, before=before, limit=most + 1):
            message = entry_to_proto(entry)
            size += message.ByteSize()
            if len(response.entries) == most or (size > PAGE_BYTES and response.entries):
                response.next_page_token = next_page_token(request, tenant, response.entries[-1].id)
                break
            response.entries.append(message)
        return response


def _continued(query: UsageQuery, start: str) -> tuple[UsageQuery, Key]:
    """Returns the query of a later page with the end of the first one, and the key of the page before.

    Raises:
        InvalidRequest: The token is forged.
    """
    try:
        end, *key = json.loads(start)
        end = from_micros(end)
    except (ValueError, TypeError, OverflowError) as error:
        raise token_refused() from error
    if len(key) != len(query.group_by) or not all(map(_is_value, query.group_by, key)):
        raise token_refused()
    return UsageQuery(query.start, end, query.group_by, query.labels), tuple(key)


def _is_value(dimension: UsageDimension, value: object) -> bool:
    """Returns whether a property can have a value of a page token. PostgreSQL takes no text with NUL."""
    if dimension is UsageDimension.DAY:
        return type(value) is int and 0 <= value < MOST_DAYS
    return isinstance(value, str) and value.isprintable()
