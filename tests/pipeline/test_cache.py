"""The cache of results in the pipeline: who gets whose result, who waits for whom, and what is stored."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.fake_provider import FakeProvider
from tests.support.replicas import Replica, Replicas, replicas_on
from tests.support.waiting import until

from celeste_image.core.analysis import Analysis, ImageContent, LeftOutFinding
from celeste_image.core.call import Call, EarlierCall
from celeste_image.core.caller import Caller
from celeste_image.core.errors import CelesteError, DeadlineExceeded, NotAnImage, ProviderFailed
from celeste_image.core.events import (
    Analyzed,
    Completed,
    Event,
    ImageFailed,
    Progress,
    Reused,
    Run,
    SafetyJudged,
    Saved,
    Started,
)
from celeste_image.core.request import CacheMode, Generate, ImageRequest, RequestOptions, Routing
from celeste_image.core.result import ImageOutput, OperationResult, ResultSource
from celeste_image.core.safety import SafetyAction, SafetyStage, SafetyVerdict
from celeste_image.pipeline.cache import caching
from celeste_image.pipeline.complete import completing
from celeste_image.providers.registry import Registry

REGISTRY = Registry({"fake": FakeProvider()})  # type: ignore[dict-item]
REQUEST = Generate(prompt="a fox", model="fake/one")
ANN, BEN = Caller("ann", "ann"), Caller("ben", "ben")
MADE, CACHED = ResultSource.MADE, ResultSource.CACHED


class Making:
    """The work below the cache: stores an image once it may.

    Attributes:
        calls: The calls that it worked for.
        stopped: How many times it was stopped.
        may_end: Set when the work may end.
        extra: Events before the image.
        error: Makes the error that ends the work; None, or its None, makes an image.
    """

    def __init__(
        self, *extra: Event, error: Callable[[], CelesteError | None] | None = None, waits: bool = False
    ) -> None:
        self.calls: list[Call] = []
        self.stopped = 0
        self.may_end = asyncio.Event()
        self.extra, self.error = extra, error
        if not waits:
            self.may_end.set()

    def on(self, replica: Replica) -> Run:
        async def run(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
            self.calls.append(call)
            number = len(self.calls)
            try:
                yield Started("fake", request.model)
                yield Progress(0.5)
                await self.may_end.wait()
                for event in self.extra:
                    yield event
                if self.error and (error := self.error()):
                    raise error
                data = f"image {number}".encode()
                artifact = await replica.store.put(call.caller.tenant, data)
                image = ImageOutput(artifact.name, "image/png", 8, 8, len(data), artifact.sha256)
                yield Saved(image, data)
            except (GeneratorExit, asyncio.CancelledError):
                self.stopped += 1
                raise

        return run


def road(replica: Replica, making: Making, policy: bytes = b"policy", **more: Any) -> Run:
    given: dict[str, Any] = {"look_seconds": 0.005}
    run = caching(making.on(replica), replica.results, REGISTRY, replica.store, policy, **given | more)
    return completing(run)


async def ask(
    run: Run, request: ImageRequest = REQUEST, caller: Caller = ANN, deadline: float | None = None
) -> OperationResult:
    result = None
    async with aclosing(run(request, Call("a-call", caller, deadline))) as events:
        async for event in events:
            if isinstance(event, Completed):
                result = event.result
    assert result is not None
    return result


def with_mode(mode: CacheMode) -> ImageRequest:
    return replace(REQUEST, options=RequestOptions(cache_mode=mode))


@pytest.fixture(params=["sqlite", "postgres"])
async def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Replicas, None]:
    async with replicas_on(request.param, tmp_path, lambda: request.getfixturevalue("postgres")) as made:
        yield made


async def test_an_equal_request_gets_the_first_result(replicas: Replicas) -> None:
    making, one, other = Making(), await replicas.start(), await replicas.start()
    first = await ask(road(one, making))
    assert first.source is MADE
    for run in (road(one, making), road(other, making)):
        again = await ask(run)
        assert again == replace(first, source=CACHED)
    assert len(making.calls) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, prompt="a dog"),
        replace(REQUEST, seed=1),
        replace(REQUEST, model="fake/plain"),
        replace(REQUEST, options=RequestOptions(strict=True)),
        replace(REQUEST, options=RequestOptions(preview_count=1)),
        replace(REQUEST, options=RequestOptions(end_user="someone")),
        replace(REQUEST, options=RequestOptions(unknown=("newer",))),
        replace(REQUEST, options=RequestOptions(routing=Routing(("fake/plain",)))),
    ],
)
async def test_another_request_is_made(replicas: Replicas, other: ImageRequest) -> None:
    making, replica = Making(), await replicas.start()
    run = road(replica, making)
    await ask(run)
    assert (await ask(run, other)).source is MADE
    assert len(making.calls) == 2


async def test_labels_and_the_limit_of_bytes_make_no_other_request(replicas: Replicas) -> None:
    making, replica = Making(), await replicas.start()
    await ask(road(replica, making))
    options = RequestOptions(labels={"project": "fox"}, inline_limit_bytes=0)
    assert (await ask(road(replica, making), replace(REQUEST, options=options))).source is CACHED


async def test_a_request_that_goes_on_with_its_earlier_calls_is_no_other_ones(replicas: Replicas) -> None:
    making, replica = Making(), await replicas.start()
    run = caching(making.on(replica), replica.results, REGISTRY, replica.store, b"policy")
    for call in (
        Call("a", ANN),
        Call("b", ANN, ticket="a-job"),
        Call("c", ANN, earlier=(EarlierCall("id", "m", range(1)),)),
    ):
        async with aclosing(run(REQUEST, call)) as events:
            assert Reused(CACHED) not in [event async for event in events]
    assert [call.request_id for call in making.calls] == ["a", "b", "c"]


async def test_tenants_never_share(replicas: Replicas) -> None:
    making, replica = Making(waits=True), await replicas.start()
    run = road(replica, making)
    tasks = [asyncio.create_task(ask(run, caller=caller)) for caller in (ANN, BEN)]
    await until(lambda: len(making.calls) == 2)
    making.may_end.set()
    assert [(await task).source for task in tasks] == [MADE, MADE]
    assert {call.caller.tenant for call in making.calls} == {"ann", "ben"}


async def test_a_tenant_may_be_left_out(replicas: Replicas) -> None:
    making, replica = Making(), await replicas.start()
    run = road(replica, making, except_tenants=["ben"])
    for caller in (ANN, ANN, BEN, BEN):
        await ask(run, caller=caller)
    assert [call.caller.tenant for call in making.calls] == ["ann", "ben", "ben"]


async def test_modes(replicas: Replicas) -> None:
    making, replica = Making(), await replicas.start()
    run = road(replica, making)
    bypassed = await ask(run, with_mode(CacheMode.BYPASS))
    first = await ask(run)
    assert (bypassed.source, first.source) == (MADE, MADE), "a bypass is not stored"
    assert (await ask(run, with_mode(CacheMode.BYPASS))).images != first.images
    assert (await ask(run)).images == first.images
    fresh = await ask(run, with_mode(CacheMode.REFRESH))
    assert (fresh.source, fresh.images != first.images) == (MADE, True)
    assert (await ask(run)).images == fresh.images


async def test_a_hundred_equal_requests_on_two_servers_are_made_once(replicas: Replicas) -> None:
    making, servers = Making(waits=True), [await replicas.start(), await replicas.start()]
    runs = [road(server, making) for server in servers]
    tasks = [asyncio.create_task(ask(runs[number % 2])) for number in range(100)]
    await until(lambda: making.calls)
    making.may_end.set()
    results = await asyncio.gather(*tasks)
    assert len(making.calls) == 1
    assert len({result.images for result in results}) == 1
    assert sorted(result.source for result in results) == [CACHED] * 99 + [MADE]


async def test_the_work_goes_on_for_the_others_when_the_first_leaves(replicas: Replicas) -> None:
    making, one, other = Making(waits=True), await replicas.start(), await replicas.start()
    run = road(one, making)
    first = asyncio.create_task(ask(run))
    await until(lambda: making.calls)
    others = [asyncio.create_task(ask(each)) for each in (run, run, road(other, making))]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    making.may_end.set()
    assert {(await task).source for task in others} == {CACHED}
    assert (len(making.calls), making.stopped) == (1, 0)


async def test_the_last_one_who_leaves_stops_the_work_and_the_next_one_begins_anew(replicas: Replicas) -> None:
    making, one, other = Making(waits=True), await replicas.start(), await replicas.start()
    run = road(one, making)
    tasks = [asyncio.create_task(ask(run)) for _ in range(3)]
    await until(lambda: making.calls)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert making.stopped == 1
    making.may_end.set()
    assert (await ask(road(other, making))).source is MADE


async def test_callers_of_one_server_share_an_error_and_those_of_another_begin_anew(replicas: Replicas) -> None:
    making, servers = (
        Making(waits=True, error=lambda: ProviderFailed("broken")),
        [await replicas.start(), await replicas.start()],
    )
    runs = [road(server, making) for server in servers]
    tasks = [asyncio.create_task(ask(run)) for run in runs for _ in range(3)]
    await until(lambda: making.calls)
    making.may_end.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [ProviderFailed] * 6
    assert len({id(error) for error in errors}) == 6
    assert len(making.calls) == 2
    making.error = None
    assert (await ask(runs[0])).source is MADE, "an error is not stored"


async def test_another_server_takes_over_the_work_of_one_that_was_killed(replicas: Replicas) -> None:
    making, dead, *others = Making(waits=True), await replicas.start(), await replicas.start(), await replicas.start()
    lost = asyncio.create_task(ask(road(dead, making)))
    await until(lambda: making.calls)
    waiting = [asyncio.create_task(ask(road(other, making))) for other in others]
    await dead.die()
    dead.is_away = True
    await until(lambda: len(making.calls) == 2)
    making.may_end.set()
    results = [await task for task in waiting]
    assert sorted(result.source for result in results) == [CACHED, MADE]
    assert len(making.calls) == 2
    await lost


async def test_one_who_waits_leaves_at_its_own_deadline(replicas: Replicas) -> None:
    making, one, other = Making(waits=True), await replicas.start(), await replicas.start()
    run = road(one, making)
    first = asyncio.create_task(ask(run))
    await until(lambda: making.calls)
    for each in (run, road(other, making)):
        with pytest.raises(DeadlineExceeded, match="equal request"):
            await ask(each, deadline=time.monotonic() + 0.02)
    making.may_end.set()
    assert (await first).source is MADE
    assert len(making.calls) == 1


async def test_one_with_a_later_deadline_begins_anew_after_the_first_ones(replicas: Replicas) -> None:
    making, replica = Making(waits=True), await replicas.start()
    making.error = lambda: DeadlineExceeded("too late") if len(making.calls) == 1 else None
    run = road(replica, making)
    first = asyncio.create_task(ask(run))
    await until(lambda: making.calls)
    others = [asyncio.create_task(ask(run, deadline=time.monotonic() + 60)) for _ in range(3)]
    await asyncio.sleep(0)
    making.may_end.set()
    with pytest.raises(DeadlineExceeded, match="too late"):
        await first
    results = await asyncio.gather(*others)
    assert sorted(result.source for result in results) == [CACHED, CACHED, MADE]
    assert len(making.calls) == 2


async def test_a_result_whose_image_is_gone_is_made_again(replicas: Replicas) -> None:
    making, replica = Making(), await replicas.start()
    run = road(replica, making)
    first = await ask(run)
    await replica.store.delete("ann", first.images[0].artifact)
    again = await ask(run)
    assert again.source is MADE
    assert (await ask(run)).images == again.images
    assert len(making.calls) == 2


async def test_a_result_is_made_again_after_its_lifetime(replicas: Replicas) -> None:
    making, replica = Making(), await replicas.start()
    run = road(replica, making)
    await ask(run)
    replicas.now += timedelta(hours=2)
    assert (await ask(run)).source is MADE


FAILED_CHECK = SafetyVerdict(SafetyStage.OUTPUT, "", SafetyAction.FLAG, message="no answer")
LEFT_OUT = Analysis(content=ImageContent(left_out=(LeftOutFinding("texts", "no package"),)))


@pytest.mark.parametrize(
    "event",
    [
        ImageFailed(1, NotAnImage("no")),
        SafetyJudged(FAILED_CHECK),
        Analyzed(LEFT_OUT),
        Started("fake", "fake/plain", 2),
    ],
    ids=lambda event: type(event).__name__,
)
async def test_a_result_that_lacks_something_or_comes_from_a_fallback_is_not_stored(
    replicas: Replicas, event: Event
) -> None:
    making, one, other = Making(event), await replicas.start(), await replicas.start()
    for replica in (one, one, other):
        assert (await ask(road(replica, making))).source is MADE
    assert len(making.calls) == 3


async def test_a_verdict_and_a_whole_analysis_are_stored(replicas: Replicas) -> None:
    verdict = replace(FAILED_CHECK, category="explicit", message="", score=0.9)
    making, replica = Making(SafetyJudged(verdict), Analyzed(Analysis(content=ImageContent()))), await replicas.start()
    first = await ask(road(replica, making))
    assert await ask(road(replica, making)) == replace(first, source=CACHED)
    assert first.safety == (verdict,)


async def test_a_change_of_the_policy_begins_anew(replicas: Replicas) -> None:
    making, replica = Making(), await replicas.start()
    await ask(road(replica, making, b"policy"))
    assert (await ask(road(replica, making, b"another policy"))).source is MADE


async def test_a_database_that_is_away_costs_no_request(replicas: Replicas) -> None:
    making, replica = Making(), await replicas.start()
    run = road(replica, making)
    replica.is_away = True
    with capture_logs() as logs:
        assert (await ask(run)).source is MADE
        assert (await ask(run)).source is MADE
    told = [(line["event"], line["reason"]) for line in logs if line["log_level"] == "warning"]
    assert ("cache not used", "STORAGE_UNAVAILABLE") in told
    replica.is_away = False
    await ask(run)
    assert (await ask(run)).source is CACHED


async def test_one_who_reads_slowly_or_no_further_leaves_nothing_behind(replicas: Replicas) -> None:
    making, replica = Making(), await replicas.start()
    run = caching(making.on(replica), replica.results, REGISTRY, replica.store, b"policy")
    async with aclosing(run(REQUEST, Call("a-call", ANN))) as events:
        assert isinstance(await anext(events), Started)
    await replica.results.close()
    assert await replica.records.read(lambda db: db.rows("SELECT * FROM flights")) == []


async def test_one_who_joins_gets_the_progress_and_then_the_result(replicas: Replicas) -> None:
    making, replica = Making(waits=True), await replicas.start()
    run = caching(making.on(replica), replica.results, REGISTRY, replica.store, b"policy")

    async def events() -> list[Event]:
        async with aclosing(run(REQUEST, Call("a-call", ANN))) as found:
            return [event async for event in found]

    first = asyncio.create_task(events())
    await until(lambda: making.calls)
    second = asyncio.create_task(events())
    await asyncio.sleep(0)
    making.may_end.set()
    assert [type(event) for event in await first] == [Started, Progress, Saved]
    kinds = [type(event) for event in await second if not isinstance(event, Progress)]
    assert kinds == [Reused, Started, Saved]
