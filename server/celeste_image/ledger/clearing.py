"""Clearing: counts cached results and removes some of them, for the operator."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from celeste_image.database import Records, Transaction

__all__ = ["Chosen", "ModelResults", "clear", "count_by_model"]

PAGE_ROWS = 500
"""Rows that are looked at in one transaction: calls that write wait for no longer one."""
BY_MODEL = """
    SELECT tenant, model, COUNT(*), SUM(bytes) FROM results
    WHERE $1 = '' OR tenant = $1 GROUP BY tenant, model ORDER BY tenant, model
"""
PAGE = """
    SELECT tenant, key, version, tags, bytes FROM results
    WHERE (tenant, key) > ($1, $2) AND ($3 = '' OR tenant = $3) AND ($4 = '' OR model = $4)
        AND ($5 = '' OR provider = $5) AND ($6 = '' OR request_id = $6)
    ORDER BY tenant, key LIMIT $7
"""
DROP = "DELETE FROM results WHERE tenant = $1 AND key = $2 AND version = $3"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Results that have all of these properties; an empty one means any.

    Attributes:
        tenant: Owner of the results.
        model: Id of the model that made them.
        provider: Its provider.
        request_id: The request that they were made for.
        tags: Labels that they have, among others.
    """

    tenant: str = ""
    model: str = ""
    provider: str = ""
    request_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelResults:
    """The cached results of one tenant that one model made: their number, and the bytes of their images and rows."""

    tenant: str
    model: str
    results: int
    size_bytes: int


async def count_by_model(records: Records, tenant: str = "") -> list[ModelResults]:
    """Returns the results of a tenant by model; an empty name means all tenants. Raises StorageUnavailable."""
    rows = await records.read(lambda db: db.rows(BY_MODEL, tenant))
    return [ModelResults(owner, model, int(count), int(size)) for owner, model, count, size in rows]


async def clear(records: Records, chosen: Chosen, *, dry: bool = False) -> tuple[int, int]:
    """Removes results, and returns how many, and the bytes of their images and rows. The images themselves stay.

    Args:
        records: The database. Servers may use it meanwhile: from then on they give none of these results.
        chosen: Which results.
        dry: Whether they are counted and stay.

    Raises:
        StorageFull: The database can't be written; some results may be removed.
        StorageUnavailable: Likewise.
    """
    wanted = (chosen.tenant, chosen.model, chosen.provider, chosen.request_id)
    results = size_bytes = 0
    last: tuple[str, bytes] = ("", b"")
    while True:

        async def unit(db: Transaction, after: tuple[str, bytes] = last) -> tuple[int, int, tuple[str, bytes] | None]:
            rows = await db.rows(PAGE, *after, *wanted, PAGE_ROWS)
            found = [row for row in rows if chosen.tags.items() <= json.loads(row[3]).items()]
            if not dry:
                for tenant, key, version, *_ in found:
                    await db.change(DROP, tenant, key, version)
            more = (rows[-1][0], rows[-1][1]) if len(rows) == PAGE_ROWS else None
            return len(found), sum(row[4] for row in found), more

        count, size, more = await (records.read if dry else records.write)(unit)
        results, size_bytes = results + count, size_bytes + size
        if more is None:
            return results, size_bytes
        last = more
