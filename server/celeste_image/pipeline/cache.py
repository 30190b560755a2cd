"""Caching: an equal request of the same tenant gets the result of the first one, and waits for it while it is made."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog

from celeste_image.core.call import Call
from celeste_image.core.errors import CelesteError, DeadlineExceeded, StorageFull, StorageUnavailable
from celeste_image.core.events import (
    Analyzed,
    Event,
    ImageFailed,
    Progress,
    Queued,
    Reused,
    Run,
    SafetyJudged,
    Saved,
    Started,
)
from celeste_image.core.request import CacheMode, ImageRequest
from celeste_image.core.result import ResultSource
from celeste_image.ledger import CachedResult, Found, Outcome, Results
from celeste_image.pipeline.cache_key import cache_key
from celeste_image.pipeline.flights import Flights
from celeste_image.pipeline.route import cards_for
from celeste_image.providers.registry import Registry
from celeste_image.store import ArtifactStore
from celeste_image.telemetry.instruments import CACHE_ERRORS, CACHE_REQUESTS

__all__ = ["caching", "is_cacheable"]

log = structlog.get_logger("celeste_image.cache")

AWAY = (StorageFull, StorageUnavailable, OSError)
"""Errors of the database. A cache that can't be used is as good as an empty one."""
LOOK_SECONDS = 0.25
"""Pause between looks at a result that another server makes."""


def caching(
    run: Run,
    results: Results,
    registry: Registry,
    store: ArtifactStore,
    policy: bytes,
    *,
    except_tenants: Collection[str] = (),
    look_seconds: float = LOOK_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Run:
    """Gives equal requests of a tenant one result. Equal requests at the same time wait for the first one.

    Callers of this server who wait get the events and the error of the first one. Callers of another server wait for
    the row, and one of them takes over when the first one fails or its server ends.

    Args:
        run: The rest of the pipeline.
        results: The cached results.
        registry: The models.
        store: Has the images of the results.
        policy: Digest of the settings that change results; see `policy_hash`.
        except_tenants: Tenants without a cache.
        look_seconds: Pause between looks at a result that another server makes.
        clock: The time in seconds that deadlines count by.
        sleep: Waits for a number of seconds.
    """
    maker = _Maker(run, results, store, look_seconds, clock, sleep)
    flights = Flights()

    def cached(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        mode, tenant = request.options.cache_mode, call.caller.tenant
        if mode is CacheMode.BYPASS:
            CACHE_REQUESTS.add(1, "bypassed")
        goes_on = call.ticket is not None or bool(call.earlier)  # with work that was begun for this very request
        if mode is CacheMode.BYPASS or tenant in except_tenants or goes_on:
            return run(request, call)
        try:
            cards = cards_for(request, registry)
        except CelesteError:
            return run(request, call)  # routing says so
        key = Key(cache_key(tenant, request, cards, policy), cards[0].id)
        if mode is CacheMode.REFRESH:
            CACHE_REQUESTS.add(1, "refreshed")
            return maker.make(request, call, key)
        return shared(request, call, key)

    async def shared(request: ImageRequest, call: Call, key: Key) -> AsyncGenerator[Event, None]:
        name = (call.caller.tenant, key.digest)
        while name in flights:
            held: list[Event] = []
            joined = flights.join(name, lambda: maker.find_or_make(request, call, key))
            try:
                async with aclosing(_in_time(joined, call, clock)) as events:
                    async for event in events:
                        if Outcome.keeps(event):
                            held.append(event)  # the first caller's run may fail, and then ours begins anew
                        elif isinstance(event, Queued | Progress):
                            yield event
            except DeadlineExceeded:
                if call.ended_by_deadline(clock()):
                    raise
                continue  # the first caller's deadline was earlier than ours
            CACHE_REQUESTS.add(1, "joined")
            yield Reused(ResultSource.CACHED)
            for event in held:
                yield event
            return
        async with aclosing(flights.join(name, lambda: maker.find_or_make(request, call, key))) as events:
            async for event in events:
                yield event

    return cached


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a result: its digest, and the id of the first model."""

    digest: bytes
    model: str


class _Maker:
    """Finds a result, waits for another server that makes it, or makes it."""

    def __init__(
        self,
        run: Run,
        results: Results,
        store: ArtifactStore,
        look_seconds: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._run, self._results, self._store = run, results, store
        self._look_seconds, self._clock, self._sleep = look_seconds, clock, sleep

    async def find_or_make(self, request: ImageRequest, call: Call, key: Key) -> AsyncGenerator[Event, None]:
        """Yields the events of the cached result, or makes it. No other caller of this server does so meanwhile."""
        found, flight = None, ""
        try:
            found, flight = await self._find_or_claim(call, key)
        except AWAY as error:
            CACHE_REQUESTS.add(1, "failed")
            _tell(error, call)
        else:
            CACHE_REQUESTS.add(1, "hit" if found else "miss")
        if found:
            yield Reused(ResultSource.CACHED)
            for event in found.events:
                yield event
            return
        async with aclosing(self.make(request, call, key, flight)) as events:
            async for event in events:
                yield event

    async def make(self, request: ImageRequest, call: Call, key: Key, flight: str = "") -> AsyncGenerator[Event, None]:
        """Makes a result and stores it if equal requests may get it; see `is_cacheable`.

        Args:
            request: The request.
            call: The facts of the call.
            key: Key of the result.
            flight: Id of the flight that ends then; empty without one.
        """
        made, is_over = list[Event](), False
        try:
            async with aclosing(self._run(request, call)) as events:
                async for event in events:
                    if Outcome.keeps(event):
                        made.append(replace(event, data=b"") if isinstance(event, Saved) else event)
                    yield event
            is_over = is_cacheable(made, key.model) and await self._keep(made, request, call, key, flight)
        finally:
            if flight and not is_over:
                self._results.release_soon(call.caller.tenant, key.digest, flight)

    async def _keep(self, made: Sequence[Event], request: ImageRequest, call: Call, key: Key, flight: str) -> bool:
        """Stores a result; returns whether that was possible."""
        images = sum(event.image.size_bytes for event in made if isinstance(event, Saved))
        provider = key.model.partition("/")[0]
        result = CachedResult(made, key.model, provider, call.request_id, images, request.options.labels)
        try:
            await self._results.put(call.caller.tenant, key.digest, result, flight)
        except AWAY as error:
            _tell(error, call)
            return False
        return True

    async def _find_or_claim(self, call: Call, key: Key) -> tuple[Found | None, str]:
        """Returns the result, or the id of a flight once it is ours.

        Raises:
            DeadlineExceeded: The call's deadline passed while another server made the result.
            StorageFull: The cache can't be written.
            StorageUnavailable: The cache can't be read or written.
        """
        tenant, until = call.caller.tenant, call.deadline
        while True:
            if found := await self._results.find(tenant, key.digest):
                if await self._has_images(tenant, found.events):
                    return found, ""
                await self._results.drop(tenant, key.digest, found.version)
            if flight := await self._results.claim(tenant, key.digest):
                return None, flight
            left = self._look_seconds if until is None else until - self._clock()
            if left <= 0:
                raise DeadlineExceeded("the deadline passed while another server worked on an equal request")
            await self._sleep(min(self._look_seconds, left))

    async def _has_images(self, tenant: str, events: Sequence[Event]) -> bool:
        names = [event.image.artifact for event in events if isinstance(event, Saved)]
        return not names or not await self._store.missing(tenant, names)


def is_cacheable(events: Sequence[Event], model: str) -> bool:
    """Returns whether equal requests may get a result: it is whole, and as it would be made again.

    It has no failed image, no finding that was left out and no failed check of the safety policy. The result of a
    fallback is only for as long as the first model fails.

    Args:
        events: What was made.
        model: Id of the first model.
    """
    if [event.model for event in events if isinstance(event, Started)] != [model]:
        return False
    for event in events:
        match event:
            case ImageFailed():
                return False
            case SafetyJudged(verdict) if verdict.message:
                return False
            case Analyzed(analysis) if analysis.content and analysis.content.left_out:
                return False
    return any(isinstance(event, Saved | Analyzed) for event in events)


async def _in_time(
    events: AsyncGenerator[Event, None], call: Call, clock: Callable[[], float]
) -> AsyncGenerator[Event, None]:
    """Yields events until the deadline of a call. Raises DeadlineExceeded."""
    async with aclosing(events):
        while True:
            left = None if call.deadline is None else max(0.0, call.deadline - clock())
            try:
                async with asyncio.timeout(left) as limit:
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise DeadlineExceeded("the deadline passed while an equal request was at work") from error
            yield event


def _tell(error: Exception, call: Call) -> None:
    CACHE_ERRORS.add(1)
    reason = error.reason if isinstance(error, CelesteError) else type(error).__name__
    log.warning("cache not used", reason=reason, request_id=call.request_id)
