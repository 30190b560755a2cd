"""Stalls of the event loop: callbacks that use much of their thread's processor time while images of 1.6 MB pass.

While a callback runs, no other call moves. The server runs on asyncio's own loop here, whose callbacks can be timed one
by one; uvloop runs the same callbacks. Processor time leaves out what other processes take. A garbage collection counts
with the callback that it interrupts. A server has been up for some seconds before it is measured: two seconds after its
start, Celeste's exempts its modules from garbage collections.
"""

import asyncio
import functools
import gc
import heapq
import json
import os
import runpy
import signal
import sys
import threading
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.speed.load import drive, engine, percentile
from bench.speed.results import Figure, Results
from bench.speed.targets import TARGETS, WISHES, provider, running

from celeste_image.memory import SETTLE_SECONDS

__all__ = ["longest", "measure"]

FIGURES = (
    Figure("longest ms", 2, worst=True),
    Figure("p99.9 ms", 2),
    Figure("over 5 ms", 0, worst=True),
    Figure("callbacks", 0, better=""),
)
BOUND_SECONDS = 0.005
SLOWEST = 5
WRITE_SECONDS = 30
AWAITED = ("cr_await", "ag_await", "gi_yieldfrom")
"""Attributes with what a coroutine, an asynchronous generator or a generator waits for."""


def measure(*, targets: Sequence[str], callers: Sequence[int], rounds: int, requests: int) -> Results:
    """Sends images of 1.6 MB through each target, after a warm-up, and reads what its loop noted.

    `settings.slowest` of the results names the callbacks that took longest in any round.

    Args:
        targets: `minimal`, `celeste`, `celeste-file`.
        callers: Numbers of callers.
        rounds: How often each target is started.
        requests: Requests of a round.
    """
    slowest: dict[str, list[str]] = {}
    settings = {"callers": list(callers), "rounds": rounds, "requests": requests, "load": engine(), "slowest": slowest}
    results = Results("stalls", "Callbacks of the event loop, by CPU time", "", FIGURES, settings)
    with provider() as upstream, TemporaryDirectory() as folder:
        for number in callers:
            load = f"{WISHES['big']}, {number} callers"
            for name in [name for _ in range(rounds) for name in targets]:
                notes = Path(folder, f"{name}-{number}")
                recorder = [sys.executable, "-m", "bench.speed.stalls", str(notes)]
                with running(name, upstream.base, number, program=recorder) as server:
                    settled = time.monotonic() + SETTLE_SECONDS + 1
                    call = TARGETS[name].call("big-0")
                    drive(server.base, call, max(20, 2 * number), number)
                    time.sleep(max(0.0, settled - time.monotonic()))
                    _told(server.pid, notes)
                    sample = drive(server.base, call, requests, number)
                    told = _told(server.pid, notes)
                results.failed(load, name, sample.errors)
                known = slowest.setdefault(f"{load}, {name}", [])
                known[:] = longest([*known, *told.pop("slowest")])
                results.add(load, name, told)
    return results.close()


def longest(callbacks: Sequence[str]) -> list[str]:
    """Returns the callbacks that took longest, of texts such as `6.1 ms name`."""
    return sorted(callbacks, key=lambda text: float(text.partition(" ")[0]), reverse=True)[:SLOWEST]


def _told(pid: int, notes: Path) -> dict[str, Any]:
    """Returns what a server's recorder noted since the last time."""
    notes.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    until = time.monotonic() + WRITE_SECONDS
    while not notes.exists():
        if time.monotonic() > until:
            raise RuntimeError("the server wrote no notes")
        time.sleep(0.05)
    told: dict[str, Any] = json.loads(notes.read_text())
    return told


class Recorder:
    """Times the callbacks of asyncio's loop in this process, and writes its notes on SIGUSR1."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes
        self._took = array("d")
        self._slowest: list[tuple[float, str]] = []

    def install(self) -> None:
        """Wraps the call of each callback."""
        plain = asyncio.events.Handle._run

        loop, collecting = threading.get_ident(), [0.0, 0.0]

        def collected(phase: str, _: dict[str, int]) -> None:
            if threading.get_ident() == loop:
                collecting[0] += time.thread_time() - collecting[1] if phase == "stop" else 0
                collecting[1] = time.thread_time()

        @functools.wraps(plain)
        def timed(handle: Any) -> None:
            collecting[0] = 0
            began = time.thread_time()
            plain(handle)
            took = time.thread_time() - began
            self._took.append(took)
            if took > BOUND_SECONDS / 5:
                garbage = f", {1000 * collecting[0]:.1f} ms of it in garbage collection" if collecting[0] else ""
                self._slowest.append((took, _name(handle) + garbage))
                self._slowest = heapq.nlargest(SLOWEST, self._slowest)

        gc.callbacks.append(collected)
        asyncio.events.Handle._run = timed
        signal.signal(signal.SIGUSR1, lambda *_: self._write())

    def _write(self) -> None:
        """Writes the notes and begins anew."""
        took, self._took = sorted(self._took), array("d")
        slowest, self._slowest = sorted(self._slowest, reverse=True), []
        told = {
            "longest ms": 1000 * max(took, default=0.0),
            "p99.9 ms": 1000 * percentile(took, 0.999),
            "over 5 ms": sum(each > BOUND_SECONDS for each in took),
            "callbacks": len(took),
            "slowest": [f"{1000 * each:.1f} ms {name}" for each, name in slowest[:SLOWEST]],
        }
        fresh = self._notes.with_suffix(".new")
        fresh.write_text(json.dumps(told))
        fresh.rename(self._notes)


def _name(handle: Any) -> str:
    """Returns the name of a callback; for a step of a task, where its coroutines wait after the step."""
    callback = handle._callback
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return f"{getattr(callback, '__qualname__', callback)}"
    names, waiting = [], task.get_coro()
    while waiting is not None:
        if name := getattr(waiting, "__qualname__", ""):
            names.append(name)
        waiting = next((found for each in AWAITED if (found := getattr(waiting, each, None)) is not None), None)
    return " > ".join([*names[:1], *names[1:][-2:]])


def main(notes: str, flag: str, module: str, *arguments: str) -> None:
    """Runs a module as the interpreter does, with its loop timed."""
    import uvloop

    assert flag == "-m"
    Recorder(Path(notes)).install()
    uvloop.run = asyncio.run
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
