"""A storm: many direct calls that are repeated through kills, cut connections and time-outs, and their history."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM
from typing import Any

from tests.support.history import Entry, History
from tests.support.history_sources import MarkedLedger, entries_of, mark, marked
from tests.support.killable import Fleet
from tests.support.repeating import Caller, Fault, read_images

from celeste_image.emulate import emulating
from celeste_image.v1 import GenerateRequest

__all__ = ["Storm", "Want", "gather_history"]

TENANTS = ("ann", "bob")
MODELS = {
    "openai": "openai/gpt-image-1-mini",
    "gemini": "gemini/gemini-2.5-flash-image",
    "stability": "stability/core",
    "bfl": "bfl/flux-2-pro",
}
BESIDE = 12
"""Requests that are on their way at a time."""

CALMS = ("",) * 5
SLOW = ("{latency}",) * 2
VENDOR_FAULTS = {
    False: (
        *CALMS,
        *SLOW,
        "status=429 times=1 {latency}",
        "status=503 times=1 {latency}",
        "answer=reset times=1 {latency}",
        "answer=cut times=1 {latency}",
    ),
    True: (
        *CALMS,
        *SLOW,
        "status=429 times=1 {latency}",
        "answer=reset times=1 {latency}",
        "on=poll status=503 times=1 {latency}",
        "on=poll answer=reset times=1 {latency}",
        "on=fetch answer=cut times=1 {latency}",
    ),
}
"""Directives of emulated vendors, by whether the vendor has jobs. What happens once is over at the next call."""
HANG, HANG_SECONDS = "answer=hang times=1 {latency}", 0.8
"""Directive of a vendor that never answers, and the timeout of its caller, who then repeats the request."""
HEAD_BYTES, ANSWER_BYTES = 60, 1500
"""Bytes from the server before its answer begins, and before the answer is over, more or less."""


@dataclass(frozen=True, slots=True)
class Want:
    """A request, and what goes wrong with it.

    Attributes:
        tenant: Who wants it.
        request: The request.
        faults: What goes wrong with its first calls on their way.
        again: Whether its caller repeats it after the final outcome.
        other: Whether its caller then gives the id to another body.
    """

    tenant: str
    request: GenerateRequest
    faults: Sequence[Fault] = ()
    again: bool = False
    other: bool = False


@dataclass(slots=True)
class Storm:
    """What a storm is made of. The same seed gives the same requests and faults; when they meet differs.

    Attributes:
        folder: Folder of the store and the servers.
        count: Number of requests.
        kills: Number of kills, spread over the requests.
        size: Number of servers on the store.
        vendors: The vendors, by name.
        seed: What all is drawn by.
        with_faults: Whether vendors have faults.
        with_repeats: Whether callers repeat requests: after faults on their way, and after the final outcome.
        settings: More of the servers' configuration.
    """

    folder: Path
    count: int
    kills: int = 0
    size: int = 2
    vendors: Sequence[str] = ("openai", "bfl")
    seed: int = 1
    with_faults: bool = True
    with_repeats: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)

    def wants(self) -> Iterator[Want]:
        """Yields the requests. One in ten has an id that another tenant has used before."""
        draw, used = random.Random(self.seed), ""
        for number in range(self.count):
            tenant, vendor = TENANTS[number % 2], draw.choice(self.vendors)
            request_id = str(uuid.UUID(int=draw.getrandbits(128), version=4))
            if tenant == TENANTS[1] and draw.random() < 0.2 and used:
                request_id = used
            used = request_id
            yield self._want(draw, tenant, vendor, request_id, number)

    def _want(self, draw: random.Random, tenant: str, vendor: str, request_id: str, number: int) -> Want:
        has_jobs = vendor == "bfl"
        # A directive counts its own calls, so each request has one of its own: by digits that change nothing.
        latency = f"latency={draw.choice([0.0, 0.05, 0.3]):.2f}{number + 1:05}"
        hangs = self.with_repeats and not has_jobs and draw.random() < 0.07
        directive = HANG if hangs else draw.choice(VENDOR_FAULTS[has_jobs]) if self.with_faults else ""
        directive = directive.format(latency=latency)
        prompt = f"a fox {mark(tenant, request_id)}" + (f" [emulate: {directive}]" if directive else "")
        request = GenerateRequest(request_id=request_id, model=MODELS[vendor], prompt=prompt)
        if has_jobs:
            request.size.width = request.size.height = 64
            request.count = draw.choice([1, 1, 1, 2])
        request.options.inline_limit_bytes = 0
        if not self.with_repeats:
            return Want(tenant, request)
        faults = [Fault(seconds=HANG_SECONDS)] if hangs else list(_ways(draw))
        return Want(tenant, request, faults, again=draw.random() < 0.3, other=draw.random() < 0.1)


def _ways(draw: random.Random) -> Iterator[Fault]:
    """Yields what goes wrong with the first calls of a request: mostly nothing."""
    while draw.random() < 0.35:
        match draw.choice(["before", "in the middle", "timeout"]):
            case "before":
                yield Fault(cut_after=draw.randint(0, HEAD_BYTES))
            case "in the middle":
                yield Fault(cut_after=draw.randint(HEAD_BYTES, ANSWER_BYTES))
            case "timeout":
                yield Fault(seconds=draw.uniform(0.02, 0.5))


async def gather_history(storm: Storm, entries: Callable[[], Awaitable[list[Entry]]] | None = None) -> History:
    """Lets a storm pass, and returns its history.

    Args:
        storm: The storm.
        entries: Returns the servers' ledger at the end; None reads that of the store.

    Raises:
        TimeoutError: A request gets no final outcome.
    """
    ledger, history = MarkedLedger(), History()
    async with emulating([marked(name) for name in storm.vendors], ledger=ledger) as emulator:
        fleet = Fleet(storm.folder, emulator.tables, TENANTS, storm.size, storm.settings)
        async with fleet:
            caller = Caller(
                [server.address for server in fleet.servers], fleet.keys, history, random.Random(storm.seed)
            )
            await _blow(storm, fleet, caller)
            await read_images(fleet.servers[-1].address, fleet.keys, history)
            while entries and any(entry.state == "open" for entry in await entries()):
                await asyncio.sleep(0.2)  # a server on PostgreSQL declares nobody dead in its first seconds
            await asyncio.gather(*(server.end(SIGTERM) for server in fleet.servers))
        history.entries = await entries() if entries else entries_of(fleet.store)
    history.sent = ledger.sent()
    for server in fleet.servers:
        assert "Traceback" not in server.log
    return history


async def _blow(storm: Storm, fleet: Fleet, caller: Caller) -> None:
    """Makes the requests, a few at a time, and kills a server each time that a share of them is done."""
    wants, done = storm.wants(), 0
    draw = random.Random(storm.seed)
    kill_at = [storm.count * (number + 1) // (storm.kills + 1) for number in range(storm.kills)]
    restarts: list[asyncio.Task[None]] = []

    async def work() -> None:
        nonlocal done
        for want in wants:
            await _see_through(caller, want)
            done += 1
            while kill_at and done >= kill_at[0]:
                kill_at.pop(0)
                restarts.append(asyncio.create_task(_kill(fleet, draw, restarts[-1] if restarts else None)))

    async with asyncio.TaskGroup() as group:
        for _ in range(BESIDE):
            group.create_task(work())
    await asyncio.gather(*restarts)


async def _kill(fleet: Fleet, draw: random.Random, before: asyncio.Task[None] | None) -> None:
    """Kills one server, or all at once, and starts them again, after the kill before this one is over."""
    if before:
        await before
    servers = fleet.servers if draw.random() < 0.25 else [draw.choice(fleet.servers)]
    await asyncio.gather(*(server.restart() for server in servers))


async def _see_through(caller: Caller, want: Want) -> None:
    """Repeats a request until its outcome is final, and sometimes beyond that."""
    await caller.finish(want.tenant, want.request, want.faults)
    if want.again:
        await caller.finish(want.tenant, want.request)
    if want.other:
        other = GenerateRequest()
        other.CopyFrom(want.request)
        other.prompt += " and a dog"
        await caller.finish(want.tenant, other)
