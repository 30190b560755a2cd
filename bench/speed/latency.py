"""Added latency: what a gateway adds to a provider that takes 100 ms, for one caller at a time."""

from collections.abc import Sequence

from bench.speed.load import check, drive, engine
from bench.speed.results import Figure, Results
from bench.speed.targets import PROVIDER, WISHES, side_by_side, turns

__all__ = ["measure"]

FIGURES = (Figure("added p50 ms", 2, ratio=True), Figure("added p99 ms", 1))
DELAY = 100
WARM_UP = 5
CALLS = 64


def measure(*, targets: Sequence[str], sizes: Sequence[str], rounds: int, requests: int) -> Results:
    """Measures each target, and the provider alone in the same round.

    Args:
        targets: Names of TARGETS; the first that runs is the reference.
        sizes: `small`, `big`.
        rounds: How often each target has its turn.
        requests: Requests of a turn, one after another.
    """
    settings = {"sizes": list(sizes), "rounds": rounds, "requests": requests, "load": engine()}
    title = f"Added latency, the provider takes {DELAY} ms"
    with side_by_side(targets, CALLS) as (upstream, started, without):
        results = Results("latency", title, started[0].name, FIGURES, settings, without)
        for size in sizes:
            wish, load = f"{size}-{DELAY}", f"{WISHES[size]}, 1 caller"
            for target in started:
                errors = check(target.base, target.target.call(wish), WARM_UP, 1)
                results.failed(f"{load}, each image read", target.name, errors)
            for order in turns(started, rounds):
                alone = drive(upstream.base, PROVIDER.call(wish), requests, 1).figures()
                for target in order:
                    sample = drive(target.base, target.target.call(wish), requests, 1)
                    through = sample.figures()
                    added = {f"added {name}": through[name] - alone[name] for name in ("p50 ms", "p99 ms")}
                    results.add(load, target.name, added)
                    results.failed(load, target.name, sample.errors)
    return results.close()
