"""Memory: 256 images of 1.6 MB that arrive at once, in a fresh server; twice, and then five seconds of rest."""

import time
from collections.abc import Sequence

from bench.speed.load import check, drive, engine
from bench.speed.machine import Peak, resident_mib
from bench.speed.results import Figure, Results
from bench.speed.targets import TARGETS, WISHES, NotStarted, absent, provider, running

__all__ = ["measure"]

FIGURES = (
    Figure("idle MiB", 0),
    Figure("peak MiB", 0, ratio=True),
    Figure("seconds", 2, ratio=True),
    Figure("MiB an image", 2),
    Figure("after 5 s MiB", 0),
    Figure("after 5 s / idle", 2, better=""),
)
DELAY = 2000
"""Of the provider, so that all answers are under way together."""
REST_SECONDS = 5


def measure(*, targets: Sequence[str], images: int, rounds: int) -> Results:
    """Measures each target in a process of its own for each round.

    Args:
        targets: Names of TARGETS; the first that is there is the reference.
        images: Images that arrive at once.
        rounds: How often each target is started.
    """
    without = absent(targets)
    there = [name for name in targets if name not in without]
    settings = {"images": images, "rounds": rounds, "load": engine()}
    results = Results("memory", f"Memory: {images} images at once", there[0], FIGURES, settings, without)
    load = f"{images} x {WISHES['big']} at once"
    with provider() as upstream:
        for name in [name for _ in range(rounds) for name in there]:
            if name not in without:
                try:
                    _round(results, load, name, upstream.base, images)
                except NotStarted as error:
                    without[name] = str(error)
    return results.close()


def _round(results: Results, load: str, name: str, origin: str, images: int) -> None:
    with running(name, origin, images) as server:
        call = TARGETS[name].call
        results.failed(load, name, check(server.base, call("small-0"), 1, 1))
        time.sleep(1)
        idle = resident_mib(server.pid)
        peaks, seconds = [], []
        for _ in range(2):
            with Peak(server.pid) as peak:
                sample = drive(server.base, call(f"big-{DELAY}"), images, images)
            results.failed(load, name, sample.errors)
            peaks.append(peak.mib)
            seconds.append(sample.seconds)
        time.sleep(REST_SECONDS)
        rest = resident_mib(server.pid)
    figures = {"idle MiB": idle, "peak MiB": max(peaks), "seconds": min(seconds)}
    rested = {"after 5 s MiB": rest, "after 5 s / idle": rest / idle}
    results.add(load, name, figures | {"MiB an image": (max(peaks) - idle) / images} | rested)
