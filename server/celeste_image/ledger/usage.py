"""Usage: adds up the operations and the paid calls of a tenant, by day, model, kind of operation and caller."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from celeste_image.core.request import OperationKind
from celeste_image.core.usage import UsageDimension, UsageQuery, UsageRow
from celeste_image.database import Records, Row, Rows, Value
from celeste_image.database.times import MICROSECOND, from_micros
from celeste_image.ledger.costs import BASIS_RANKS, BilledSum, CostSum
from celeste_image.ledger.ids import first_id
from celeste_image.ledger.operations import labels_text

__all__ = ["Key", "UsageReader", "kind_of"]

Key = tuple[str | int, ...]
"""Values of the properties of a row; a day is the number of days since 1970."""

DAY_MICROS = timedelta(days=1) // MICROSECOND
EXPRESSIONS = {
    UsageDimension.DAY: f"started / {DAY_MICROS}",
    UsageDimension.MODEL: "model",
    UsageDimension.OPERATION: "operation",
    UsageDimension.CALLER: "caller",
}
BATCH = 2000
"""Bills that are read and added at a time."""

OF_OPERATIONS = """
    SUM(CASE WHEN outcome = '' THEN 1 ELSE 0 END), SUM(CASE WHEN outcome = '' THEN 0 ELSE 1 END),
    SUM(CASE WHEN outcome = '' AND reused = 1 THEN 1 ELSE 0 END),
    CAST(SUM(images) AS BIGINT), CAST(SUM(pixels) AS BIGINT), CAST(SUM(compute_micros) AS BIGINT)
"""
"""PostgreSQL adds integers of 64 bits up to a number of any length; the casts make it an integer again."""
RANKS = " ".join(f"WHEN '{basis.value}' THEN {rank}" for rank, basis in enumerate(BASIS_RANKS))
OF_CALLS = f"""
    currency,
    CAST(SUM(CASE WHEN state = 'settled' THEN settled END) AS BIGINT),
    CAST(SUM(CASE WHEN state <> 'settled' THEN uncertain END) AS BIGINT),
    MAX(CASE WHEN state = 'settled' THEN CASE basis {RANKS} ELSE 0 END ELSE 0 END),
    SUM(CASE WHEN state = 'settled' THEN 1 ELSE 0 END),
    SUM(CASE WHEN state = 'settled' THEN 0 ELSE 1 END),
    SUM(CASE WHEN state = 'settled' AND settled IS NULL OR state <> 'settled' AND uncertain IS NULL
        THEN 1 ELSE 0 END),
    SUM(CASE WHEN state = 'uncertain' THEN 1 ELSE 0 END)
"""
HAS_LABEL = "replace(operations.labels, {label}, '') <> operations.labels"
"""True if the JSON of a row has `"key":"value"`. A quote inside a text is escaped there, so the text is in no other
place. LIKE takes upper case for lower case on SQLite, and both databases have `replace`."""
OF_LABELLED = """
    EXISTS (SELECT 1 FROM operations WHERE operations.tenant = calls.tenant
        AND operations.request_id = calls.request_id AND {labels})
"""


class UsageReader:
    """Reads the usage of tenants, for one caller at a time: a sum over a year must not keep all readers busy.

    Args:
        records: The database.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._turn = asyncio.Lock()

    async def rows(
        self, tenant: str, query: UsageQuery, after: Key | None = None, limit: int = 100
    ) -> tuple[list[tuple[Key, UsageRow]], Key | None]:
        """Returns rows with their keys, in the order of `group_by`, and the key after which others follow.

        Operations count where they began, and with the model that did them. Calls count where they themselves began,
        and with the model that they asked: the bill of a failed try is not another model's. With labels, the calls of
        operations that have ended count.

        Args:
            tenant: The tenant.
            query: The question.
            after: Key of the last row of the page before; None is the first page.
            limit: Most rows.

        Raises:
            StorageUnavailable: The database can't be read.
        """
        async with self._turn:
            keys, is_last = await self._keys(tenant, query, after, limit)
            if not keys:
                return [], None
            parts = {key: _Parts() for key in keys}
            between = None if not query.group_by else (keys[0], keys[-1])
            await self._add_operations(parts, _Question(tenant, query, between=between))
            await self._add_costs(parts, _Question(tenant, query, between=between))
            await self._add_bills(parts, tenant, query, between)
        rows = [(key, part.row(query.group_by, key)) for key, part in parts.items() if part.is_used]
        return rows, None if is_last else keys[-1]

    async def _keys(self, tenant: str, query: UsageQuery, after: Key | None, limit: int) -> tuple[list[Key], bool]:
        """Returns the keys of a page, and whether no other follows."""
        if not query.group_by:
            return ([()], True) if after is None else ([], True)
        ask = _Question(tenant, query, after=after)
        numbers = ", ".join(str(index + 1) for index in range(len(query.group_by)))
        rows = await self._rows(
            f"SELECT {ask.columns} FROM operations WHERE {ask.operations} "  # noqa: S608  # no value is in it
            f"UNION SELECT {ask.columns} FROM calls WHERE {ask.calls} "
            f"ORDER BY {numbers} LIMIT {ask.value(limit + 1)}",
            ask,
        )
        return [tuple(row) for row in rows[:limit]], len(rows) <= limit

    async def _add_operations(self, parts: "dict[Key, _Parts]", ask: "_Question") -> None:
        query = f"SELECT {ask.leading}{OF_OPERATIONS} FROM operations WHERE {ask.operations}{ask.grouping()}"  # noqa: S608
        for row in await self._rows(query, ask):
            if part := parts.get(tuple(row[: ask.width])):  # another key has come since
                part.counts = row[ask.width :]

    async def _add_costs(self, parts: "dict[Key, _Parts]", ask: "_Question") -> None:
        query = f"SELECT {ask.leading}{OF_CALLS} FROM calls WHERE {ask.calls}{ask.grouping('currency')}"  # noqa: S608
        for row in await self._rows(query, ask):
            if part := parts.get(tuple(row[: ask.width])):
                *of_cost, uncertain = row[ask.width :]
                part.costs.append(CostSum(*of_cost))
                part.uncertain += uncertain

    async def _add_bills(
        self, parts: "dict[Key, _Parts]", tenant: str, query: UsageQuery, between: tuple[Key, Key] | None
    ) -> None:
        last = ""
        while True:
            ask = _Question(tenant, query, between=between)
            statement = (
                f"SELECT {ask.leading}id, model, billed FROM calls WHERE {ask.calls} "  # noqa: S608
                f"AND billed NOT IN ('{{}}', '[]') AND id > {ask.value(last)} ORDER BY id LIMIT {ask.value(BATCH)}"
            )
            rows = await self._rows(statement, ask)
            await asyncio.to_thread(_add_bills, parts, rows, ask.width, UsageDimension.MODEL in query.group_by)
            if len(rows) < BATCH:
                return
            last = rows[-1][ask.width]

    async def _rows(self, statement: str, ask: "_Question") -> Rows:
        return await self._records.read(lambda db: db.rows(statement, *ask.values))


class _Question:
    """The parts of a statement about usage, and its values.

    Attributes:
        columns: The properties of a row.
        leading: The same before other columns.
        width: How many they are.
        operations: Condition for rows of operations.
        calls: Condition for rows of calls.
        values: The values, in the order of their numbers.
    """

    def __init__(
        self,
        tenant: str,
        query: UsageQuery,
        *,
        after: Key | None = None,
        between: tuple[Key, Key] | None = None,
    ) -> None:
        self.values: list[Value] = []
        self.width = len(query.group_by)
        self.columns = ", ".join(EXPRESSIONS[dimension] for dimension in query.group_by)
        self.leading = f"{self.columns}, " if self.columns else ""
        base = [f"tenant = {self.value(tenant)}", f"id >= {self.value(first_id(query.start))}"]
        if query.end is not None:
            base.append(f"id < {self.value(first_id(query.end))}")
        if after is not None:
            base.append(self._compared(">", after))
        if between is not None:
            base += [self._compared(">=", between[0]), self._compared("<=", between[1])]
        labels = [
            HAS_LABEL.format(label=self.value(labels_text({key: value})[1:-1])) for key, value in query.labels.items()
        ]
        self.operations = " AND ".join([*base, *labels])
        labelled = [OF_LABELLED.format(labels=" AND ".join(labels))] if labels else []
        self.calls = " AND ".join([*base, *labelled])

    def value(self, value: Value) -> str:
        """Adds a value, and returns its place."""
        self.values.append(value)
        return f"${len(self.values)}"

    def grouping(self, *more: str) -> str:
        """Returns the clause that groups by the properties and by more columns; empty without any."""
        columns = ", ".join([*([self.columns] if self.columns else []), *more])
        return f" GROUP BY {columns}" if columns else ""

    def _compared(self, operator: str, key: Key) -> str:
        return f"({self.columns}) {operator} ({', '.join(self.value(part) for part in key)})"


class _Parts:
    """What a row is made of."""

    def __init__(self) -> None:
        self.counts: Sequence[Any] = (0, 0, 0, 0, 0, None)
        self.costs: list[CostSum] = []
        self.uncertain = 0
        self.billed = BilledSum()

    @property
    def is_used(self) -> bool:
        return bool(self.costs or self.counts[0] or self.counts[1])

    def row(self, group_by: Iterable[UsageDimension], key: Key) -> UsageRow:
        succeeded, failed, reused, images, pixels, micros = self.counts
        values: dict[str, Any] = dict(zip((dimension.value for dimension in group_by), key, strict=True))
        if "day" in values:
            values["day"] = from_micros(values["day"] * DAY_MICROS).date().isoformat()
        if "operation" in values:
            values["operation"] = kind_of(values["operation"])
        costs = (each.cost() for each in sorted(self.costs, key=lambda each: each.currency))
        return UsageRow(
            **values,
            succeeded=succeeded or 0,
            failed=failed or 0,
            uncertain=self.uncertain,
            reused=reused or 0,
            images=images or 0,
            pixels=pixels or 0,
            compute_seconds=None if micros is None else micros / 1e6,
            billed=self.billed.quantities(),
            costs=tuple(cost for cost in costs if cost),
        )


def kind_of(word: str) -> OperationKind | None:
    """Returns the kind of operation of a column; None for one of a later version."""
    return next((kind for kind in OperationKind if kind.value == word), None)


def _add_bills(parts: dict[Key, _Parts], rows: Sequence[Row], width: int, has_model: bool) -> None:
    for row in rows:
        _, model, billed = row[width:]
        if part := parts.get(tuple(row[:width])):
            part.billed.add(billed, model, model if has_model else "")
