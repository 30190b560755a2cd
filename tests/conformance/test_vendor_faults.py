"""Every vendor x every fault: the right reason, retryable only when nothing was done, and the ledger agrees.

Real sockets, from the adapter to the emulator; the pipeline's retries are held by tests/pipeline/test_retry.py and, for
every vendor, at the end of this file. A vendor that is added is found by itself.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest
import pytest_asyncio
from tests.support.sample_requests import requests_for
from tests.support.servers import running
from tests.support.vendors import candidate

from celeste_image.client import AsyncClient
from celeste_image.core.call import Call
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Completed, Retrying
from celeste_image.core.image import Size
from celeste_image.core.request import Generate, ImageRequest
from celeste_image.emulate import EMULATED, Behavior, Emulator, emulating, fingerprint
from celeste_image.imaging.pixels import Pixels
from celeste_image.providers.base import Tools
from celeste_image.providers.kit.vendor import Vendor
from celeste_image.providers.registry import build_providers

in_loop = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-canary-5e0f6a1b9c7d4e32"
ID = "00000000-0000-4000-8000-000000000000"
BOAT = "a boat on the sea"

UNKNOWN, DOWN, LIMITED, INVALID = "OUTCOME_UNKNOWN", "PROVIDER_UNAVAILABLE", "PROVIDER_RATE_LIMITED", "INVALID_FIELD"
CREDENTIALS, FAILED, BLOCKED = "PROVIDER_CREDENTIALS", "PROVIDER_FAILED", "SAFETY_BLOCKED"
LATE = "DEADLINE_EXCEEDED"
DONE = ""
"""No error: the fault is none for this vendor, or it is got over."""
BANNED = {"stability": 60.0}
"""How long a vendor takes no calls after too many, where its answer does not say so."""
IN_AN_HOUR = "in an hour"
"""Stands for the date then, which is made as the test runs."""
BY_URL = ("bfl", "compatible")
"""Vendors that name results by URLs."""
NO_URLS = [name for name in EMULATED if name != "compatible"]
"""Vendors whose first answer has no URL of an image."""
JOBS = ("bfl",)


@dataclass(frozen=True)
class Fault:
    """What goes wrong, the reasons that are right, and how long the caller is told to wait.

    `only` are the vendors that it can happen to; `seconds` is the caller's deadline.
    """

    what: str
    behavior: str
    reasons: Collection[str]
    after: float | None = None
    only: Collection[str] = tuple(EMULATED)
    seconds: float = 20.0

    def __str__(self) -> str:
        return self.what


def limited(what: str, after: str, seconds: float | None) -> Fault:
    return Fault(f"429, {what}", f'status=429 retry_after="{after}"', [LIMITED], seconds)


FAULTS = [
    Fault("reset before the request", "answer=reset on=connection", [UNKNOWN, DOWN]),
    Fault("reset after the request", "answer=reset", [UNKNOWN]),
    Fault("cut within the answer", "answer=cut", [UNKNOWN], only=NO_URLS),
    Fault("cut behind the image's URL", "answer=cut", [DONE], only=["compatible"]),
    Fault("no answer in time", "answer=hang", [UNKNOWN, LATE], seconds=0.5),
    Fault("a slow answer", "answer=slow", [UNKNOWN, LATE], seconds=0.5),
    Fault("400", "status=400", [INVALID]),
    Fault("401", "status=401", [CREDENTIALS]),
    Fault("402", "status=402", ["PROVIDER_BILLING"]),
    Fault("403", "status=403", [CREDENTIALS]),
    Fault("404", "status=404", ["MODEL_NOT_FOUND"]),
    Fault("413", "status=413", [INVALID]),
    Fault("422", "status=422", [INVALID]),
    Fault("moderation of the prompt", "moderate=prompt", [BLOCKED]),
    Fault("moderation of the output", "moderate=output", [BLOCKED]),
    Fault("429", "status=429", [LIMITED]),
    limited("seconds", "7", 7),
    limited("milliseconds", "1500ms", 1.5),
    limited("a date", IN_AN_HOUR, 3600),
    limited("before now", "-5", 0),
    limited("ten days", "864000", 86_400),
    limited("nonsense", "soon", None),
    Fault("500", "status=500", [UNKNOWN]),
    Fault("500, charged", "status=500 charged=true", [UNKNOWN]),
    Fault("502", "status=502", [UNKNOWN]),
    Fault("503", "status=503 retry_after=3", [DOWN], 3),
    Fault("504, charged", "status=504 charged=true", [UNKNOWN]),
    Fault("a page", "answer=html", [UNKNOWN, FAILED]),
    Fault("another type", "answer=list", [UNKNOWN, FAILED]),
    Fault("truncated JSON", "answer=truncated", [UNKNOWN, FAILED], only=NO_URLS),
    Fault("JSON truncated behind the image's URL", "answer=truncated", [DONE], only=["compatible"]),
    Fault("bad base64", "answer=bad-base64", [FAILED], only=[name for name in EMULATED if name not in BY_URL]),
    Fault("an oversized answer", "answer=oversized", [UNKNOWN]),
    Fault("redirected to a private address", "answer=redirect", [UNKNOWN, FAILED]),
    Fault("what is no picture", "image=garbage", [FAILED]),
    Fault("no picture at all", "image=fewer", [FAILED]),
    Fault("a URL that has expired", "result=expired", [FAILED], only=BY_URL),
    Fault("a URL at a private address", "result=private", [FAILED], only=BY_URL),
    Fault("a result that is a page", "answer=html on=fetch", [FAILED, DONE], only=BY_URL),
    Fault("a result without end", "answer=oversized on=fetch", [FAILED, UNKNOWN, DONE], only=BY_URL, seconds=3),
    Fault("a result that breaks off", "answer=cut on=fetch", [DONE], only=BY_URL),
    Fault("a result that drips", "answer=slow on=fetch", [FAILED, LATE, UNKNOWN], only=BY_URL, seconds=1),
    Fault("a lost poll", "answer=reset on=poll", [DONE], only=JOBS),
    Fault("a poll that is a page", "answer=html on=poll", [DONE], only=JOBS),
    Fault("a poll of 503", "status=503 on=poll", [DONE], only=JOBS),
    Fault("a poll of 404", "status=404 on=poll", [DONE], only=JOBS),
]
CASES = [(name, fault) for fault in FAULTS for name in EMULATED if name in fault.only]


@dataclass
class Outcome:
    error: CelesteError | None
    calls: int
    charged: Decimal


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    async with emulating(list(EMULATED.values())) as emulator:
        yield emulator


def request_for(vendor: Vendor) -> ImageRequest:
    """Returns the first request for making a picture that the vendor offers, made concrete."""
    for card in vendor.cards:
        for request in requests_for(card) if card.stage.value == "active" else ():
            if isinstance(request, Generate):
                size = request.size if request.size else Size(1024, 1024)
                known = card.parameter(request.kind, "size")
                is_ratio = bool(getattr(known and known.range, "ratios", ()))
                return Generate(
                    model=card.id, prompt=BOAT, count=1, size=Size(aspect_ratio="1:1") if is_ratio else size
                )
    raise AssertionError(f"{vendor.name} makes nothing")


async def nap(seconds: float) -> None:
    """Sleeps a little, however long the pause between two polls should be."""
    await asyncio.sleep(min(seconds, 0.02))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tools() -> AsyncIterator[Tools]:
    """Tools that all vendors share, so that only one process for pixels is started."""
    pixels = Pixels("vendors")
    yield Tools(pixels, sleep=nap)
    await pixels.close()


def vendor_of(name: str, table: dict[str, Any], tools: Tools) -> Vendor:
    vendor = build_providers({name: table | {"key": KEY}}, tools)[name]
    assert isinstance(vendor, Vendor)
    return vendor


async def outcome_of(vendor: Vendor, emulator: Emulator, seconds: float, ticket: str | None = None) -> Outcome:
    """Runs one request at the adapter and returns how it ended, having looked for the key everywhere."""
    emulator.ledger.clear()
    error = None
    try:
        call, request = Call(ID, deadline=time.monotonic() + seconds, ticket=ticket), request_for(vendor)
        async with aclosing(vendor.run(request, candidate(vendor, request, call))) as events:
            async for event in events:
                assert KEY not in repr(event)
    except CelesteError as caught:
        error = caught
        seen: BaseException | None = caught
        while seen:
            assert KEY not in f"{seen!r} {seen} {vars(seen)}"
            seen = seen.__cause__ or seen.__context__
    finally:
        await vendor.close()
    ledger = emulator.ledger
    assert {entry.key for entry in ledger.entries if entry.stage != "fetch"} <= {fingerprint(KEY)}
    assert {entry.key for entry in ledger.entries if entry.stage == "fetch"} <= {""}
    return Outcome(error, len(ledger.of(vendor.name, "call")), ledger.charged())


@pytest.mark.parametrize(("name", "fault"), CASES, ids=str)
@in_loop
async def test_the_right_reason_and_the_ledger_agrees(
    emulator: Emulator, tools: Tools, name: str, fault: Fault
) -> None:
    emulated = emulator[name]
    then = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    emulated.vendor.next[:] = [Behavior.parse(fault.behavior.replace(IN_AN_HOUR, then))]
    outcome = await outcome_of(vendor_of(name, emulated.table, tools), emulator, fault.seconds)
    assert not emulated.vendor.next, "the fault did not happen"
    assert outcome.calls == (0 if "on=connection" in fault.behavior else 1), "it was sent once and not again"
    if outcome.error is None:
        assert DONE in fault.reasons
        assert outcome.charged > 0 or name == "compatible"
        return
    error = outcome.error
    assert error.reason in fault.reasons, error
    after = BANNED.get(name) if fault.after is None and error.reason == LIMITED else fault.after
    assert error.retry_after == (None if after is None else pytest.approx(after, abs=after / 10))
    if error.retryable:
        assert outcome.charged == 0, "a caller who sends it again would pay twice"
        assert error.reason in (DOWN, LIMITED)
    if outcome.charged:
        assert error.reason in (UNKNOWN, FAILED, LATE, BLOCKED), "it was paid, and the error says that nothing was"
        assert error.reason != BLOCKED or error.metadata["stage"] != "prompt"


@pytest.mark.parametrize("name", EMULATED)
@in_loop
async def test_nobody_listens(emulator: Emulator, tools: Tools, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    table = emulator[name].table
    table["base_url"] = table["base_url"].replace(emulator[name].origin, f"http://127.0.0.1:{port}")
    outcome = await outcome_of(vendor_of(name, table, tools), emulator, 5)
    assert outcome.error
    assert (outcome.error.reason, outcome.error.retryable) == (DOWN, True)


@pytest.mark.parametrize("name", EMULATED)
@in_loop
async def test_no_connection_in_time(emulator: Emulator, tools: Tools, name: str) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # the queue is full with the first of them
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        table = emulator[name].table
        port = full.getsockname()[1]
        table["base_url"] = table["base_url"].replace(emulator[name].origin, f"http://127.0.0.1:{port}")
        outcome = await outcome_of(vendor_of(name, table, tools), emulator, 0.5)
        for one in waiting:
            one.close()
    assert outcome.error
    assert (outcome.error.reason, outcome.error.retryable) == (DOWN, True)


@pytest.mark.parametrize("name", EMULATED)
@in_loop
async def test_through_the_server_it_is_tried_again_when_nothing_was_done_and_paid_once(
    emulator: Emulator, name: str
) -> None:
    emulator.ledger.clear()
    async with running(providers={name: emulator[name].table}) as server, AsyncClient(server.address) as client:
        vendor = server.app.registry.providers[name]
        assert isinstance(vendor, Vendor)
        request = request_for(vendor)
        emulator[name].vendor.next[:] = [
            Behavior(status=429, retry_after="10ms"),
            Behavior(status=503, retry_after="0"),
        ]
        events = [event async for event in client.stream(request, timeout=30)]
        assert isinstance(events[-1], Completed)
        assert [event.reason for event in events if isinstance(event, Retrying)] == [LIMITED, DOWN]
        assert [entry.images for entry in emulator.ledger.of(name, "call")] == [0, 0, 1]

        emulator.ledger.clear()
        emulator[name].vendor.next[:] = [Behavior(answer="reset")]
        with pytest.raises(CelesteError) as caught:
            await client.run(request, timeout=30)
        assert (caught.value.reason, len(emulator.ledger.of(name, "call"))) == (UNKNOWN, 1)


@pytest.mark.parametrize("name", EMULATED)
@in_loop
async def test_who_goes_away_leaves_no_connection(emulator: Emulator, tools: Tools, name: str) -> None:
    emulator[name].vendor.next[:] = [Behavior(answer="hang")]
    vendor = vendor_of(name, emulator[name].table, tools)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            request = request_for(vendor)
            async with aclosing(vendor.run(request, candidate(vendor, request, Call(ID)))) as events:
                async for _ in events:
                    pass
    await vendor.close()
