"""Sources of histories: the ledgers of emulated vendors, and the database of the servers."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.support.history import Entry, Key, Sent
from tests.support.postgres import Postgres

from celeste_image.emulate import EMULATED, FakeVendor
from celeste_image.emulate import Entry as VendorEntry
from celeste_image.emulate import Ledger as VendorLedger
from celeste_image.emulate.base import Route
from celeste_image.store.open import DATABASE

__all__ = ["MarkedLedger", "entries_in", "entries_of", "mark", "marked"]

MARK = re.compile(rb"for ([a-z0-9-]+)/([0-9a-f-]{36})")
NOBODY: Key = ("", "")
ENTRIES = "SELECT id, tenant, request_id, provider, state, owed, ticket, first FROM calls ORDER BY id"
asking: ContextVar[Key] = ContextVar("asking", default=NOBODY)
"""The request for which the exchange of this task is made."""


def mark(tenant: str, request_id: str) -> str:
    """Returns the words of a prompt by which a vendor knows the request that it works for."""
    return f"for {tenant}/{request_id}"


def marked(name: str) -> type[FakeVendor]:
    """Returns a fake vendor that tells its `MarkedLedger` whom each exchange is for."""
    vendor = EMULATED[name]

    async def serve(self: FakeVendor, route: Route, request: web.Request) -> web.StreamResponse:
        found = MARK.search(await request.read())
        asking.set((found[1].decode(), found[2].decode()) if found else NOBODY)
        return await vendor.serve(self, route, request)

    return type(f"Marked{vendor.__name__}", (vendor,), {"serve": serve})


class MarkedLedger(VendorLedger):
    """The ledger of fake vendors, with the request of each exchange. It has only exchanges that have ended.

    Args:
        on_call: Is called when a vendor has done the work of a call, before it sends its answer.
    """

    def __init__(self, on_call: Callable[[VendorEntry], None] = lambda entry: None) -> None:
        super().__init__(self._keep)
        self._on_call = on_call
        self._keys: list[tuple[VendorEntry, Key]] = []

    def _keep(self, entry: VendorEntry) -> None:
        self._keys.append((entry, asking.get()))
        if entry.stage == "call":
            self._on_call(entry)

    def sent(self) -> list[Sent]:
        """Returns the calls in order of arrival."""
        calls = [(entry, key) for entry, key in self._keys if entry.stage == "call"]
        return [
            Sent(*key, entry.provider, datetime.fromisoformat(entry.at), entry.charged, entry.job)
            for entry, key in sorted(calls, key=lambda call: call[0].at)
        ]


def entries_of(store: Path) -> list[Entry]:
    """Returns the ledger of a folder store, of all tenants. No server writes to it meanwhile.

    The table is read as it is, so that what is checked depends on no code of the server.
    """
    with closing(sqlite3.connect(f"{(store / DATABASE).as_uri()}?mode=ro", uri=True)) as db:
        return [_entry(*row) for row in db.execute(ENTRIES)]


async def entries_in(postgres: Postgres, name: str) -> list[Entry]:
    """Returns the ledger in a database of PostgreSQL, as `entries_of` does."""
    return [_entry(*row) for row in await postgres.run(ENTRIES, name=name)]


def _entry(name: Any, tenant: Any, request_id: Any, provider: Any, state: Any, owed: Any, *of_job: Any) -> Entry:
    ticket, first = of_job
    return Entry(name, tenant, request_id, provider, state, None if owed is None else bool(owed), _job(ticket), first)


def _job(ticket: str | None) -> str:
    """Returns the name of a ticket's job: some vendors' tickets are the URL where the job is polled."""
    return (ticket or "").rpartition("id=")[2]
