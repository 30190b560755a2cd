"""A server that is killed at each step of a paid call, and the caller who repeats the request afterwards."""

import contextlib
import random
import signal
import sqlite3
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.history import UNKNOWN, Call, Entry, History
from tests.support.history_rules import broken_rules, hold
from tests.support.history_sources import MarkedLedger, entries_in, entries_of, mark, marked
from tests.support.killable import Fleet, Killable
from tests.support.postgres import PASSWORD, Postgres
from tests.support.repeating import Caller, read_images

from celeste_image.emulate import emulating
from celeste_image.store.open import DATABASE
from celeste_image.v1 import GenerateRequest

TENANT = "ann"
AFTER_SUBMIT = "after submit"
"""The vendor has done the work of the call, and its answer is lost. The vendor itself kills the server there."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a paid call, and what is known when a server ends there.

    Attributes:
        vendor: The vendor.
        point: Name of the step: `AFTER_SUBMIT`, or a point of `support/failing_server.py`.
        sent: Calls that the vendor got.
        has_name: Whether the name of the vendor's job is on the disk.
        images: Images in the store.
        state: State of the call in the ledger.
        has_result: Whether a repeat gets the result. If not, nobody can tell whether the call is owed.
    """

    vendor: str
    point: str
    sent: int = 1
    has_name: bool = False
    images: int = 0
    state: str = "open"
    has_result: bool = False

    def __str__(self) -> str:
        return f"{self.vendor} {self.point}"


STEPS = (
    Step("bfl", "after row", sent=0),
    Step("bfl", AFTER_SUBMIT),
    Step("bfl", "after remote id", has_name=True, has_result=True),
    Step("bfl", "after blob", has_name=True, images=1, has_result=True),
    Step("bfl", "after receipt", has_name=True, images=1, state="settled", has_result=True),
    Step("openai", "after row", sent=0),
    Step("openai", AFTER_SUBMIT),
    Step("openai", "after answer"),  # the place of the remote id: the first word of the vendor
    Step("openai", "after blob", images=1),
    Step("openai", "after receipt", images=1, state="settled", has_result=True),
)
QUICK = ("bfl after remote id", "openai after answer")
"""Steps of the usual tests. The others run with `make test-faults`."""
steps = pytest.mark.parametrize(
    "step", [pytest.param(s, id=str(s), marks=() if str(s) in QUICK else pytest.mark.faults) for s in STEPS]
)
FORGETFUL = {"ledger": {"replay_hours": 0}}
"""Settings of a server that makes a new call for a repeated `request_id`."""


class Books:
    """Where a server has its ledger: in the folder of its store.

    Attributes:
        settings: The tables of the server's configuration for it.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.settings = settings or {}

    async def entries(self, store: Path) -> list[Entry]:
        """Returns the ledger of a store's server, as it is on the disk."""
        return entries_of(store)


class OnPostgres(Books):
    """A ledger on PostgreSQL."""

    def __init__(self, server: Postgres, name: str) -> None:
        super().__init__({"database": {"url": server.url(name), "password": PASSWORD}})
        self._server, self._name = server, name

    async def entries(self, store: Path) -> list[Entry]:
        return await entries_in(self._server, self._name)


@pytest.fixture(params=["sqlite", "postgres"])
async def books(request: pytest.FixtureRequest) -> AsyncIterator[Books]:
    if request.param == "sqlite":
        yield Books()
        return
    server: Postgres = request.getfixturevalue("postgres")
    async with server.database() as name:
        yield OnPostgres(server, name)


class Killed:
    """A server that was killed at a step of a call, and its only caller."""

    def __init__(self, ledger: MarkedLedger, fleet: Fleet, step: Step, books: Books) -> None:
        self.ledger, self.fleet, self._books = ledger, fleet, books
        self.history = History()
        self.server: Killable = fleet.servers[0]
        self.caller = Caller([self.server.address], fleet.keys, self.history, random.Random(0))
        request_id = str(uuid.uuid4())
        model = {"openai": "openai/gpt-image-1-mini", "bfl": "bfl/flux-2-pro"}[step.vendor]
        self.request = GenerateRequest(request_id=request_id, model=model, prompt=f"a fox {mark(TENANT, request_id)}")

    async def entries(self) -> list[Entry]:
        """Returns the ledger, as it is on the disk."""
        return await self._books.entries(self.fleet.store)

    @property
    def images(self) -> int:
        """How many images are in the store."""
        with contextlib.closing(sqlite3.connect(self.fleet.store / DATABASE)) as db:
            return int(db.execute("SELECT COUNT(*) FROM entries").fetchone()[0])

    async def repeat(self) -> list[Call]:
        """Starts the server again, and returns what the caller sees of two repeats. The history is complete then."""
        await self.server.start()
        seen = [await self.caller.finish(TENANT, self.request) for _ in range(2)]
        await read_images(self.server.address, self.fleet.keys, self.history)
        await self.server.end(signal.SIGTERM)
        self.history.entries, self.history.sent = await self.entries(), self.ledger.sent()
        return seen


@contextlib.asynccontextmanager
async def killed_at(step: Step, folder: Path, books: Books) -> AsyncIterator[Killed]:
    """Yields a server that a call has brought to a step, where it was killed."""
    to_kill: list[Killable] = []
    ledger = MarkedLedger(on_call=lambda _: to_kill.pop().kill_at_once() if to_kill else None)
    async with emulating([marked(step.vendor)], ledger=ledger) as emulator:
        fleet = Fleet(folder, emulator.tables, [TENANT], settings=books.settings)
        killed = Killed(ledger, fleet, step, books)
        try:
            await killed.server.start("" if step.point == AFTER_SUBMIT else step.point)
            if step.point == AFTER_SUBMIT:
                to_kill.append(killed.server)
            seen = await killed.caller.call(TENANT, killed.request)
            assert seen.reason == "LOST: UNAVAILABLE"
            assert await killed.server.ended() == -signal.SIGKILL
            yield killed
        finally:
            await killed.server.end()


@steps
async def test_a_server_is_killed_at_the_step(tmp_path: Path, step: Step, books: Books) -> None:
    async with killed_at(step, tmp_path, books) as killed:
        (entry,) = await killed.entries()
        assert (entry.provider, entry.state, bool(entry.job)) == (step.vendor, step.state, step.has_name)
        assert len(killed.ledger.sent()) == step.sent
        assert killed.images == step.images


@pytest.mark.parametrize(
    ("step", "rule"),
    [
        pytest.param(step, {"bfl": "d", "openai": "e"}[step.vendor], id=str(step))
        for step in STEPS
        if str(step) in QUICK
    ],
)
async def test_a_second_call_of_a_server_without_replays_is_found(tmp_path: Path, step: Step, rule: str) -> None:
    async with killed_at(step, tmp_path, Books(FORGETFUL)) as killed:
        await killed.repeat()
        assert rule in broken_rules(killed.history)


@steps
async def test_a_repeat_after_a_kill_pays_nothing_twice(tmp_path: Path, step: Step, books: Books) -> None:
    async with killed_at(step, tmp_path, books) as killed:
        first, second = await killed.repeat()
        hold(killed.history)
        assert len(killed.history.sent) == step.sent, "nothing was sent again"
        assert (first.images, first.reason) == (second.images, second.reason)
        (entry,) = killed.history.entries
        if step.has_result:
            assert first.has_result and entry.state == "settled"
        else:
            assert first.reason == UNKNOWN
            assert (entry.state, entry.owed) == ("uncertain", None), "what may be owed is listed"
