"""Makes the images of docs/images/observability/. Run by `make panels`, in three minutes.

A real server works under a mixed load with failures in it, a real Prometheus scrapes it and answers the queries of two
panels of the dashboards, and a receiver takes the server's traces. panel_curves.py draws them.
"""

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.otlp import Told
from tests.support.prometheus import Prometheus, prometheus
from tests.support.promql import panel_queries, tried
from tests.support.watched import GOOD, Watched, watched

from celeste_image.core.errors import CelesteError

PANELS = {
    "failures": ("traffic: Failed calls by reason", "calls per second"),
    "time": ("traffic: Where the time of a call goes", "seconds, stacked"),
}
SECONDS = 150.0
STEP = 1.0
RATE = "15s"
"""The value of `$__rate_interval`. In Grafana it is at least four scrapes."""
STREAM = "celeste.image.v1.ImageService/Stream"


def main() -> None:
    """Writes the answers and the trace to the file that the command line names."""
    Path(sys.argv[1]).write_text(json.dumps(asyncio.run(measured()), indent=1))


async def measured() -> dict[str, Any]:
    """Returns the time series of the panels and the spans of a trace."""
    async with watched() as server, prometheus([server.metrics]) as scraping:
        began = time.time()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(repeated(server)) for _ in range(2)]
            await disturb(server)
            for task in tasks:
                task.cancel()
        await asyncio.sleep(3)  # the last scrapes
        panels = {name: await panel(scraping, title, began) for name, (title, _) in PANELS.items()}
        return {"panels": panels, "trace": trace(server.receiver.spans)}


async def repeated(server: Watched) -> None:
    """Makes good calls of about 0.3 s without end."""
    while True:
        await server.call("a red boat [emulate: latency=0.3]", model=GOOD)
        with contextlib.suppress(CelesteError):
            await server.work()


async def disturb(server: Watched) -> None:
    """Makes each kind of failure for a while, with rests between them."""
    part = SECONDS / 10
    began = time.monotonic()

    def during(number: int) -> bool:
        return time.monotonic() < began + number * part

    await asyncio.sleep(part)
    while during(3):  # the vendor fails
        await server.call("a boat [emulate: status=500]", model=GOOD)
    await asyncio.sleep(part)
    while during(6):  # more calls than the provider takes
        await asyncio.gather(*(server.call("a boat [emulate: latency=2]", model=GOOD) for _ in range(6)))
    await asyncio.sleep(part)
    while during(9):  # worker processes are killed
        await server.kill_workers()
    await asyncio.sleep(part)


async def panel(scraping: Prometheus, title: str, began: float) -> dict[str, Any]:
    """Returns a panel's time series: title, unit, and points by legend."""
    targets = [target for name, target in panel_queries().items() if name.rpartition(" ")[0] == title]
    lines: dict[str, list[tuple[float, float]]] = {}
    for target in targets:
        expr = tried(target["expr"].replace("$__rate_interval", RATE))
        for series in await scraping.query_range(expr, began, began + SECONDS, STEP):
            legend = target["legendFormat"]
            for label, value in series["metric"].items():
                legend = legend.replace(f"{{{{{label}}}}}", value)
            lines[legend] = [(float(at) - began, float(value)) for at, value in series["values"]]
    unit = next(unit for each, unit in PANELS.values() if each == title)
    return {"title": title.partition(": ")[2], "unit": unit, "lines": lines, "queries": [t["expr"] for t in targets]}


def trace(spans: list[Told]) -> list[dict[str, Any]]:
    """Returns the spans of the `Stream` call to a vendor with most of them, in the order of a tree. Times are in ms."""
    roots = [span for span in spans if span.name == STREAM]
    trees = [below(root, spans, 0) for root in roots]
    best = max((tree for tree in trees if any(span.name == "POST" for _, span in tree)), key=len)
    start = best[0][1].began
    return [
        {
            "name": span.name,
            "depth": depth,
            "began": (span.began - start) / 1e6,
            "ended": (span.ended - start) / 1e6,
            "events": [name for name, _ in span.events],
        }
        for depth, span in best
    ]


def below(span: Told, spans: list[Told], depth: int) -> list[tuple[int, Told]]:
    """Returns a span and those below it, each with its depth."""
    children = sorted((each for each in spans if each.parent_id == span.span_id), key=lambda each: each.began)
    return [(depth, span), *(found for child in children for found in below(child, spans, depth + 1))]


if __name__ == "__main__":
    main()
