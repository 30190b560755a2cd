"""Start-up: until a server takes calls, its memory at rest, and the command `celeste "a red fox"`, cold and again.

A second command may find something that still runs from the first one. What the first command leaves running is
counted, too: its processes come to this one, as their reaper, and its processor time is read while they live.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.speed.load import check
from bench.speed.machine import cpu_seconds, resident_mib, tree
from bench.speed.results import Figure, Results
from bench.speed.targets import TARGETS, NotStarted, absent, provider, running

__all__ = ["command", "measure"]

FIGURES = (
    Figure("ready s", 2, ratio=True),
    Figure("CPU s until ready", 2, ratio=True),
    Figure("idle MiB", 0, ratio=True),
    Figure("first image s", 2),
    Figure("idle MiB after it", 0, ratio=True),
)
COMMAND_FIGURES = (Figure("CPU s", 2), Figure("seconds", 2), Figure("left running MiB", 0))
PR_SET_CHILD_SUBREAPER = 36
REST_SECONDS = 2
SETTLE_SECONDS = 0.5
PROMPT = "a red fox"


def measure(*, targets: Sequence[str], rounds: int) -> Results:
    """Starts each target in turn, in a process of its own for each round.

    Args:
        targets: Names of TARGETS; the first that is there is the reference.
        rounds: How often each target is started.
    """
    without = absent(targets)
    there = [name for name in targets if name not in without]
    results = Results("startup", "Start and rest", there[0], FIGURES, {"rounds": rounds}, without)
    with provider() as upstream:
        for name in tuple(there):  # from the disk into the cache
            try:
                with running(name, upstream.base, 4):
                    pass
            except NotStarted as error:
                without[name] = str(error)
                there.remove(name)
        for number in range(rounds):
            for name in there[number % len(there) :] + there[: number % len(there)]:
                with running(name, upstream.base, 4) as server:
                    figures = {"ready s": server.ready_seconds, "CPU s until ready": cpu_seconds(server.pid)}
                    time.sleep(REST_SECONDS)
                    figures["idle MiB"] = resident_mib(server.pid)
                    began = time.perf_counter()
                    results.failed("start", name, check(server.base, TARGETS[name].call("small-0"), 1, 1))
                    figures["first image s"] = time.perf_counter() - began
                    time.sleep(REST_SECONDS)
                    figures["idle MiB after it"] = resident_mib(server.pid)
                results.add("start", name, figures)
    return results.close()


def command(*, rounds: int) -> Results:
    """Runs `celeste "a red fox"` twice in each round, in a home of its own."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError("this process can't become the reaper of what the command leaves behind")
    results = Results("command", f'The command celeste "{PROMPT}"', "", COMMAND_FIGURES, {"rounds": rounds})
    known = set(tree(os.getpid()))
    _once(known)  # from the disk into the cache
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as home:
            try:
                for load in ("cold", "again"):
                    results.add(load, "celeste", _once(known, Path(home)))
            finally:
                _end(known)
    return results.close()


def _once(known: set[int], home: Path | None = None) -> dict[str, float]:
    """Runs the command once; returns its figures. Without a home of its own, ends what it left running."""
    folder = home or Path(tempfile.mkdtemp())
    places = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA", "STATE")}
    environment = os.environ | places | {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    before, own = cpu_seconds(os.getpid()), os.times()
    began = time.perf_counter()
    arguments = [sys.executable, "-m", "celeste_image.cli.main", PROMPT]
    ran = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    time.sleep(SETTLE_SECONDS)  # what the command ends on its way out
    cpu = cpu_seconds(os.getpid()) - before - (sum(os.times()[:2]) - sum(own[:2]))
    if ran.returncode or not Path(folder, ran.stdout.strip()).is_file():
        raise RuntimeError(f"the command failed: {ran.stdout} {ran.stderr}")
    left = [pid for pid in tree(os.getpid()) if pid not in known]
    figures = {"CPU s": cpu, "seconds": seconds, "left running MiB": sum(map(resident_mib, left))}
    if home is None:
        _end(known)
    return figures


def _end(known: set[int]) -> None:
    """Ends the processes that a command left running, and reaps them."""
    for pid in tree(os.getpid()):
        if pid not in known:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    time.sleep(REST_SECONDS)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
