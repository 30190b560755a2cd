"""The cached results on a real SQLite file: lifetime, budget, memory, flights of several servers, and clearing."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.fake_provider import saved
from tests.support.replicas import Replicas, replicas_on
from tests.support.waiting import until

from celeste_image.core.errors import StorageUnavailable
from celeste_image.core.events import Billed, Charged, Event, Saved, Started
from celeste_image.core.money import Cost, CostBasis, Money, Quantity
from celeste_image.ledger import CachedResult, Results
from celeste_image.ledger.clearing import Chosen, ModelResults, clear, count_by_model

KEY, OTHER = b"a key", b"another key"
EVENTS: tuple[Event, ...] = (
    Started("fake", "fake/one"),
    saved(0, width=64),
    Billed((Quantity("credit", 2.0),)),
    Charged(Cost(Money("USD", 40_000_000), basis=CostBasis.CALCULATED)),
)


def result(size: int = 1000, **facts: Any) -> CachedResult:
    given: dict[str, Any] = {"model": "fake/one", "provider": "fake", "request_id": "a-request", "image_bytes": size}
    return CachedResult(EVENTS, **given | facts)


@pytest.fixture(params=["sqlite", "postgres"])
async def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Replicas, None]:
    async with replicas_on(request.param, tmp_path, lambda: request.getfixturevalue("postgres")) as made:
        yield made


async def has(results: Results, key: bytes, tenant: str = "ann") -> bool:
    return await results.find(tenant, key) is not None


async def test_a_result_is_found_by_its_tenant_on_each_server(replicas: Replicas) -> None:
    one, other = (await replicas.start()).results, (await replicas.start()).results
    assert not await has(one, KEY)
    await one.put("ann", KEY, result())
    for results in (one, other, one, other):
        found = await results.find("ann", KEY)
        assert found is not None
        assert list(found.events) == list(EVENTS)
        assert not await has(results, KEY, "ben")
        assert not await has(results, OTHER)


async def test_bytes_of_images_are_not_kept(replicas: Replicas) -> None:
    one, other = (await replicas.start()).results, (await replicas.start()).results
    image = saved()
    await one.put("ann", KEY, CachedResult([Saved(image.image, b"bytes")], "fake/one", "fake", "a-request"))
    found = await other.find("ann", KEY)
    assert found is not None
    assert found.events == (image,)


async def test_a_result_is_forgotten_after_its_lifetime(replicas: Replicas) -> None:
    one, other = (await replicas.start()).results, (await replicas.start()).results
    await one.put("ann", KEY, result())
    replicas.now += timedelta(minutes=59)
    assert await has(one, KEY) and await has(other, KEY)
    replicas.now += timedelta(minutes=1)
    assert not await has(one, KEY)
    assert not await has(other, KEY)
    await one.make_room()
    assert one.size_bytes == 0


async def test_a_new_result_replaces_the_old_one_in_the_memory_of_each_server(replicas: Replicas) -> None:
    one, other = (await replicas.start()).results, (await replicas.start()).results
    await one.put("ann", KEY, result())
    assert await has(other, KEY)
    before = one.size_bytes
    await one.put("ann", KEY, CachedResult(EVENTS[:1], "fake/one", "fake", "a-request"))
    assert one.size_bytes < before
    found = await other.find("ann", KEY)
    assert found is not None
    assert found.events == EVENTS[:1]


@pytest.mark.parametrize("memory_bytes", [0, 1 << 20])
async def test_it_works_with_and_without_memory(replicas: Replicas, memory_bytes: int) -> None:
    results = (await replicas.start(memory_bytes=memory_bytes)).results
    await results.put("ann", KEY, result())
    assert await has(results, KEY)
    assert bool(results.memory_bytes) == bool(memory_bytes)
    await clear((await replicas.start()).records, Chosen())
    assert not await has(results, KEY), "it was cleared by another server, and nobody gets it from then on"
    assert results.memory_bytes == 0


async def test_memory_has_a_budget(replicas: Replicas) -> None:
    results = (await replicas.start(memory_bytes=20_000)).results
    for number in range(50):
        await results.put("ann", b"%d" % number, result())
        assert results.memory_bytes <= 20_000
    assert results.memory_bytes > 10_000
    assert await has(results, b"0"), "from the database"


async def test_the_least_recently_used_results_leave_a_full_cache(replicas: Replicas) -> None:
    results = (await replicas.start(most_bytes=1_000_000)).results
    for number in range(4):
        replicas.now += timedelta(minutes=2)
        await results.put("ann", b"%d" % number, result(230_000))
    replicas.now += timedelta(minutes=2)
    assert await has(results, b"0")
    await results.close()  # its use is written
    await results.put("ann", b"4", result(230_000))
    assert [await has(results, b"%d" % number) for number in range(5)] == [True, False, True, True, True]
    assert results.size_bytes <= 1_000_000
    sizes = await count_by_model((await replicas.start()).records)
    assert [(each.results, each.size_bytes) for each in sizes] == [(4, results.size_bytes)]


async def test_a_result_above_the_budget_is_not_kept_and_ends_its_flight(replicas: Replicas) -> None:
    results = (await replicas.start(most_bytes=10_000)).results
    flight = await results.claim("ann", KEY)
    await results.put("ann", KEY, result(10_001), flight)
    assert not await has(results, KEY)
    assert await (await replicas.start()).results.claim("ann", KEY)


async def test_one_server_makes_a_result_and_the_others_find_it(replicas: Replicas) -> None:
    one, other = (await replicas.start()).results, (await replicas.start()).results
    flight = await one.claim("ann", KEY)
    assert flight
    assert not await other.claim("ann", KEY)
    assert await other.claim("ben", KEY), "another tenant's flight is another one"
    assert await other.claim("ann", OTHER)
    await one.put("ann", KEY, result(), flight)
    assert not await other.claim("ann", KEY), "the result is there"
    assert await has(other, KEY)


async def test_a_flight_that_failed_is_the_next_servers(replicas: Replicas) -> None:
    one, other = (await replicas.start()).results, (await replicas.start()).results
    flight = await one.claim("ann", KEY)
    await one.release("ann", KEY, flight)
    assert await other.claim("ann", KEY)
    await one.release("ann", KEY, flight)
    assert not await one.claim("ann", KEY), "an end that comes twice ends nothing of another server"


async def test_the_flight_of_a_dead_server_is_taken_over_once(replicas: Replicas) -> None:
    dead, *others = await replicas.start(), await replicas.start(), await replicas.start()
    assert await dead.results.claim("ann", KEY)
    assert not await others[0].results.claim("ann", KEY)
    await dead.die()
    assert [bool(await each.results.claim("ann", KEY)) for each in others] == [True, False]


async def test_flights_of_dead_servers_are_removed(replicas: Replicas) -> None:
    dead, running = await replicas.start(), await replicas.start()
    assert await dead.results.claim("ann", KEY)
    assert await running.results.claim("ann", OTHER)
    await dead.die()
    await running.results.make_room()
    rows = await running.records.read(lambda db: db.rows("SELECT key FROM flights"))
    assert rows == [(OTHER,)]


async def test_a_flight_ends_once_the_database_is_back(replicas: Replicas) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        one.is_away = len(pauses) < 3

    one, other = await replicas.start(sleep=sleep), await replicas.start()
    flight = await one.results.claim("ann", KEY)
    one.is_away = True
    with capture_logs() as logs:
        one.results.release_soon("ann", KEY, flight)
        await until(lambda: len(pauses) == 3)
        await one.results.close()
    assert [line["event"] for line in logs] == ["cache not written"] * 3
    assert await other.results.claim("ann", KEY)


async def test_a_claim_whose_outcome_is_not_known_is_given_back(replicas: Replicas) -> None:
    one, other = await replicas.start(), await replicas.start()
    one.is_away = True
    with pytest.raises(StorageUnavailable):
        await one.results.claim("ann", KEY)
    one.is_away = False
    await one.results.close()
    assert await other.results.claim("ann", KEY)


async def test_a_damaged_row_is_a_miss_and_removed(replicas: Replicas) -> None:
    one, other = await replicas.start(), await replicas.start()
    await one.results.put("ann", KEY, result())
    await one.records.write(lambda db: db.change("UPDATE results SET outcome = $1", b"{"))
    with capture_logs() as logs:
        assert not await has(other.results, KEY)
    assert [(line["event"], line["log_level"]) for line in logs] == [("cached result damaged", "error")]
    assert await count_by_model(one.records) == []


async def stocked(replicas: Replicas) -> Results:
    results = (await replicas.start()).results
    await results.put("ann", b"1", result(request_id="r-1", tags={"project": "fox"}))
    await results.put("ann", b"2", result(request_id="r-2", model="fake/two", tags={"project": "fox", "by": "me"}))
    await results.put("ann", b"3", result(model="other/three", provider="other", tags={"project": 'a "fox"'}))
    await results.put("ben", b"1", result())
    return results


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (Chosen(), []),
        (Chosen(tenant="ann"), ["ben 1"]),
        (Chosen(request_id="r-1"), ["ann 2", "ann 3", "ben 1"]),
        (Chosen(model="fake/one"), ["ann 2", "ann 3"]),
        (Chosen(provider="fake"), ["ann 3"]),
        (Chosen(tags={"project": "fox"}), ["ann 3", "ben 1"]),
        (Chosen(tags={"project": "fox", "by": "me"}), ["ann 1", "ann 3", "ben 1"]),
        (Chosen(tags={"project": 'a "fox"'}), ["ann 1", "ann 2", "ben 1"]),
        (Chosen(tags={"project": "FOX"}), ["ann 1", "ann 2", "ann 3", "ben 1"]),
        (Chosen(tenant="ben", model="fake/two"), ["ann 1", "ann 2", "ann 3", "ben 1"]),
    ],
)
async def test_clearing(replicas: Replicas, chosen: Chosen, left: list[str]) -> None:
    results, records = await stocked(replicas), (await replicas.start()).records

    async def found() -> list[str]:
        names = [(tenant, key) for tenant in ("ann", "ben") for key in (b"1", b"2", b"3")]
        return [f"{tenant} {key.decode()}" for tenant, key in names if await has(results, key, tenant)]

    counted, size = await clear(records, chosen, dry=True)
    assert len(await found()) == 4, "it was only counted"
    assert await clear(records, chosen) == (counted, size)
    assert await found() == left
    assert (counted, size > 1000 * counted or not counted) == (4 - len(left), True)


async def test_more_results_than_one_page_are_cleared(replicas: Replicas) -> None:
    replica = await replicas.start(most_bytes=1 << 30)
    insert = """
        INSERT INTO results SELECT tenant, key || $1, version, outcome, model, provider, request_id, tags, bytes,
            created, expires, used FROM results
    """
    await replica.results.put("ann", KEY, result())
    for number in range(10):
        await replica.records.write(lambda db, n=number: db.change(insert, b"%d" % n))  # type: ignore[misc]
    assert (await count_by_model(replica.records, "ann"))[0].results == 1024
    assert (await clear(replica.records, Chosen(), dry=True))[0] == 1024
    assert (await clear(replica.records, Chosen()))[0] == 1024
    assert await count_by_model(replica.records) == []


async def test_results_are_counted_by_tenant_and_model(replicas: Replicas) -> None:
    await stocked(replicas)
    counted = await count_by_model((await replicas.start()).records)
    assert [(each.tenant, each.model, each.results) for each in counted] == [
        ("ann", "fake/one", 1),
        ("ann", "fake/two", 1),
        ("ann", "other/three", 1),
        ("ben", "fake/one", 1),
    ]
    (of_ben,) = await count_by_model((await replicas.start()).records, "ben")
    assert isinstance(of_ben, ModelResults)
    assert of_ben.size_bytes > 1000
