"""Throughput: requests a second, latency and processor time of gateways side by side, by number of callers.

With several numbers of callers it is a curve, and says how many requests a second each gateway does within a bound of
its p99: one figure at 64 callers hides that.
"""

from collections.abc import Sequence

from bench.speed.load import check, drive, engine
from bench.speed.machine import cpu_seconds
from bench.speed.results import Figure, Results
from bench.speed.targets import TARGETS, WISHES, Running, side_by_side, stats, turns

__all__ = ["measure", "within"]

FIGURES = (
    Figure("req/s", 1, ratio=True, better="more"),
    Figure("CPU s/1000", 2, ratio=True),
    Figure("p50 ms", 1),
    Figure("p99 ms", 1),
)
BOUNDS = (50, 100, 200, 500, 1000, 2000)
"""Bounds of p99 in milliseconds."""
FEWEST_EACH, FEWEST, MOST = 2, 20, 20_000
"""Requests of a round: at least so many a caller, at least and at most so many in all."""
CHECKED = 16


def measure(
    *, targets: Sequence[str], sizes: Sequence[str], callers: Sequence[int], rounds: int, seconds: float, starts: int
) -> Results:
    """Measures each target with images of each size and with each number of callers.

    Args:
        targets: Names of TARGETS; the first that runs is the reference.
        sizes: `small`, `big`.
        callers: Numbers of callers.
        rounds: How often each target has its turn after a start.
        seconds: About how long a turn lasts.
        starts: How often all targets are started anew. The same program is up to 15 % faster or slower from one start
            to the next, which no number of rounds shows.
    """
    settings = {"sizes": list(sizes), "callers": list(callers), "rounds": rounds, "seconds": seconds, "starts": starts}
    results: Results | None = None
    for start in range(starts):
        with side_by_side(targets, max(callers)) as (upstream, started, without):
            if results is None:
                settings["load"] = engine()
                results = Results("throughput", "Throughput", started[0].name, FIGURES, settings, without)
            for size in sizes:
                _size(results, size, started, upstream, callers, rounds, seconds, start)
    assert results is not None, "starts is at least 1"
    return results.close()


def _size(
    results: Results,
    size: str,
    started: Sequence[Running],
    upstream: Running,
    callers: Sequence[int],
    rounds: int,
    seconds: float,
    begin: int,
) -> None:
    """Measures the targets that run with images of one size."""
    for target in started:
        errors = check(target.base, target.target.call(f"{size}-0"), CHECKED, 4)
        results.failed(f"{WISHES[size]}, each image read", target.name, errors)
    for number in callers:
        load = f"{WISHES[size]}, {number} callers"
        requests = {target.name: _pilot(target, size, number, seconds) for target in started}
        for order in turns(started, rounds, begin):
            for target in order:
                _turn(results, load, target, size, number, requests[target.name], upstream)


def _pilot(target: Running, size: str, callers: int, seconds: float) -> int:
    """Warms a target up, and returns about how many requests it answers in that time."""
    sample = drive(target.base, target.target.call(f"{size}-0"), max(callers, FEWEST), callers)
    return min(MOST, max(FEWEST_EACH * callers, FEWEST, int(sample.figures()["req/s"] * seconds)))


def _turn(
    results: Results, load: str, target: Running, size: str, callers: int, requests: int, upstream: Running
) -> None:
    seen, before = stats(upstream.base)["requests"], cpu_seconds(target.pid)
    sample = drive(target.base, target.target.call(f"{size}-0"), requests, callers)
    cpu = cpu_seconds(target.pid) - before
    if (asked := stats(upstream.base)["requests"] - seen) < requests:
        sample.errors["answered without the provider"] += requests - asked
    results.add(load, target.name, sample.figures() | {"CPU s/1000": 1000 * cpu / requests})
    results.failed(load, target.name, sample.errors)


def within(results: Results) -> str:
    """Returns a table for each size: the most requests a second that a target does with p99 within each bound."""
    lines = []
    for size in results.settings["sizes"]:
        loads = [load for load in results.rounds if load.startswith(f"{WISHES[size]}, ")]
        heads = [f"{WISHES[size]}: req/s with p99 within", *(f"{bound} ms" for bound in BOUNDS)]
        lines += ["| " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(BOUNDS)]
        for target in (name for name in TARGETS if all(name in results.rounds[load] for load in loads)):
            points = [(results.value(load, target, "p99 ms"), results.value(load, target, "req/s")) for load in loads]
            best = [max((rate for p99, rate in points if p99 <= bound), default=None) for bound in BOUNDS]
            lines.append(
                "| " + " | ".join([target, *("none" if rate is None else f"{rate:,.0f}" for rate in best)]) + " |"
            )
        lines.append("")
    return "\n".join(lines)
