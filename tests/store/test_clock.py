"""A wall clock that is wrong, steps or is corrected: nothing that was acknowledged is deleted, and expiry goes on."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.support.stores import LARGE_BYTES, OWNER, StoreSetup, name_of, swept

from celeste_image.core.errors import ArtifactNotFound
from celeste_image.store import ArtifactStore
from celeste_image.store.ages import Ages

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
DATAS = [bytes([n]) * (LARGE_BYTES if n % 2 else 50) for n in range(6)]
LARGES = [bytes([n]) * LARGE_BYTES for n in range(6)]
PART = b"part" * 100

STEPS = {
    "8 days ahead": [8 * DAY],
    "400 days ahead": [400 * DAY],
    "2 days back": [-2 * DAY],
    "2 days back and corrected": [-2 * DAY, 0 * DAY],
    "ahead and corrected": [400 * DAY, 0 * DAY],
    "further and further": [n * 13 * HOUR for n in range(1, 9)],
    "minutes at a time": [n * 50 * MINUTE for n in range(9)],
    "to and fro": [8 * DAY, -2 * DAY, 400 * DAY, -400 * DAY, 0 * DAY],
    "since 1970": [datetime(1970, 1, 2, tzinfo=UTC) - datetime.now(UTC)],
}


async def all_there(store: ArtifactStore) -> None:
    assert [await store.get(OWNER, name_of(data)) for data in DATAS] == DATAS
    assert await store.missing(OWNER, [name_of(data) for data in DATAS]) == []
    assert len([artifact async for artifact in store.owned(OWNER)]) == len(DATAS)
    assert await store.committed(OWNER, name_of(PART)) == (7, None)


@pytest.mark.parametrize("errors", STEPS.values(), ids=STEPS.keys())
async def test_a_clock_that_steps_deletes_nothing_and_expiry_goes_on(
    setup: StoreSetup, errors: list[timedelta]
) -> None:
    store = setup.again(retention_hours=24)
    for data in DATAS:
        await store.put(OWNER, data)
    async with store.upload(OWNER, name_of(PART)) as upload:
        await store.write(upload, len(PART), 0, PART[:7])
    for error in errors:
        setup.clock.error = error
        assert await swept(store) == (0, 0, 0)
    await all_there(store)
    setup.clock.ahead = 23 * HOUR  # counted from before the steps
    assert await swept(store) == (0, 0, 0)
    await all_there(store)
    setup.clock.ahead = 49 * HOUR  # a day after the last step, at the latest
    if errors[-1] >= timedelta():  # else their times lie in the future
        assert await swept(store) == (6, 6, 1)
        assert await setup.paths() == []
    setup.clock.error = timedelta()
    await swept(store)
    setup.clock.ahead = 80 * HOUR
    await swept(store)
    assert await setup.paths() == [], "a day after the clock was corrected, at the latest"


async def test_what_is_stored_while_the_clock_is_behind_lives_its_time(on_disk: StoreSetup) -> None:
    """The correction makes its time old; the monotonic clock knows better."""
    store, folder = on_disk.again(retention_hours=24), on_disk.backend.folder
    assert folder
    on_disk.clock.error = -10 * DAY
    for data in DATAS:
        await store.put(OWNER, data)
    async with store.upload(OWNER, name_of(PART)) as upload:
        await store.write(upload, len(PART), 0, PART[:7])
    for path in (*folder.rglob("*"), *on_disk.spool.iterdir()):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - 10 * 86400,) * 2)
    await all_there(store)
    on_disk.clock.error = timedelta()
    assert await swept(store) == (0, 0, 0)
    await all_there(store)
    on_disk.clock.ahead = 23 * HOUR
    assert await swept(store) == (0, 0, 0)
    await all_there(store)
    on_disk.clock.ahead = 25 * HOUR
    assert await swept(store) == (6, 6, 1)


async def test_a_step_is_said_and_ends_what_was_found(setup: StoreSetup) -> None:
    store = setup.again(retention_hours=24)
    await store.put(OWNER, LARGES[0])
    setup.clock.ahead = 25 * HOUR
    with capture_logs() as logs:
        assert await store.sweep() == (0, 0, 0), "found"
    (line,) = logs
    assert line["artifacts"] == 1
    assert line["log_level"] == "warning", "all are expired: is the clock right?"
    setup.clock.error = -2 * MINUTE
    with capture_logs() as logs:
        assert await store.sweep() == (0, 0, 0), "the clock has stepped"
    assert [(line["event"].partition(";")[0], line["seconds"]) for line in logs] == [("the wall clock stepped", -120)]
    setup.clock.ahead = 26 * HOUR
    assert await store.sweep() == (0, 0, 0), "found again"
    assert await store.sweep() == (1, 0, 0)


@pytest.mark.parametrize("error", [8 * DAY, 400 * DAY])
async def test_after_a_restart_two_sweeps_an_interval_apart_decide(setup: StoreSetup, error: timedelta) -> None:
    """No clock tells how long the server was down. The operator has an interval to read the warning."""
    for data in LARGES:
        await setup.again(retention_hours=168).put(OWNER, data)
    setup.clock.error = error
    store = setup.again(retention_hours=168)
    with capture_logs() as logs:
        for _ in range(3):
            assert await store.sweep(apart_seconds=600) == (0, 0, 0)
    assert [(line["log_level"], line["artifacts"]) for line in logs] == [("warning", 6)] * 3
    setup.clock.error = timedelta()
    setup.clock.ahead = HOUR
    for _ in range(3):
        assert await store.sweep(apart_seconds=600) == (0, 0, 0), "corrected in time"
    assert [await store.get(OWNER, name_of(data)) for data in LARGES] == LARGES

    setup.clock.error = error
    store = setup.again(retention_hours=168)
    assert await store.sweep(apart_seconds=600) == (0, 0, 0)
    setup.clock.ahead = HOUR + 9 * MINUTE
    assert await store.sweep(apart_seconds=600) == (0, 0, 0)
    setup.clock.ahead = HOUR + 11 * MINUTE
    assert await store.sweep(apart_seconds=600) == (6, 0, 0)
    with pytest.raises(ArtifactNotFound):
        await store.get(OWNER, name_of(LARGES[0]))


async def test_what_is_stored_again_between_two_sweeps_is_new(on_disk: StoreSetup) -> None:
    store = on_disk.again(retention_hours=24)
    await store.put(OWNER, PART)
    on_disk.clock.ahead = 25 * HOUR
    assert await store.sweep() == (0, 0, 0)
    await store.put(OWNER, PART)
    assert await swept(store) == (0, 0, 0)
    assert await store.get(OWNER, name_of(PART)) == PART


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.one_of(st.floats(-9e6, 9e6), st.sampled_from([0.0, 0.4, 86400.0])))),
    st.floats(1, 9000),
)
def test_nothing_is_older_than_the_monotonic_clock_says(moves: list[tuple[float, float]], age: float) -> None:
    """Objects are stored after any steps, and the clock is looked at between any two of them, as a put does."""
    uptime, error = 0.0, 0.0
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ages = Ages(lambda: start + timedelta(seconds=uptime + error), lambda: uptime)
    stored: list[tuple[float, datetime]] = []
    for seconds, step in moves:
        uptime += seconds
        error += step
        stored.append((uptime, ages.now()))
        horizon = ages.horizon(timedelta(seconds=age))
        assert not [at for at, time in stored if time <= horizon and uptime - at < age - 2]
    uptime += age + 1
    horizon = ages.horizon(timedelta(seconds=age))
    assert all(time <= horizon for at, time in stored if time <= stored[-1][1]), "in the end all is old"


def test_a_thousand_steps_cost_no_more(tmp_path: Path) -> None:
    uptime = error = 0.0
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ages = Ages(lambda: start + timedelta(seconds=uptime + error), lambda: uptime)
    first = ages.now()
    for _ in range(5000):
        uptime, error = uptime + 1, error + 10
        assert first > ages.horizon(timedelta(seconds=6000))
    uptime += 1001
    assert first <= ages.horizon(timedelta(seconds=6000))
