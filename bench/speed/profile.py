"""Profile: where a gateway's processor time goes while images pass, by package and by function, sampled by py-spy.

`self` is the part of the samples in a package's own code, `with callees` the part in which it is anywhere on the stack.
uv fetches py-spy, which needs root or the right to trace the process.
"""

import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from bench.speed.load import drive
from bench.speed.targets import WISHES, provider, running

__all__ = ["profiled"]

PY_SPY = "py-spy==0.4.3"
RATE = 250
PACKAGES, FUNCTIONS = 25, 30
PLACES = (
    (re.compile(r"celeste_image/(\w+)/"), "celeste_image."),
    (re.compile(r"celeste_image/(\w+)\.py"), "celeste_image."),
    (re.compile(r"bench/speed/(\w+)\.py"), "bench.speed."),
    (re.compile(r"(?:site|dist)-packages/(\w+)"), ""),
    (re.compile(r"/python3\.\d+/(\w+)"), "python: "),
)


def profiled(target: str, size: str, callers: int, seconds: int, native: bool) -> str:
    """Loads a target for some seconds, samples its main process, and returns two tables in Markdown.

    Args:
        target: A name of TARGETS.
        size: `small` or `big`.
        callers: Number of callers.
        seconds: How long it is sampled.
        native: Whether the frames of C code are shown, too; that slows the server down.

    Raises:
        RuntimeError: py-spy gave no samples; the message has what it said.
    """
    with (
        provider() as upstream,
        running(target, upstream.base, callers) as server,
        tempfile.TemporaryDirectory() as name,
    ):
        call, samples, over = server.target.call(f"{size}-0"), Path(name, "samples"), threading.Event()
        drive(server.base, call, max(50, 2 * callers), callers)

        def load() -> None:
            while not over.is_set():
                drive(server.base, call, max(20, 8 * callers), callers)

        loading = threading.Thread(target=load)
        loading.start()
        try:
            uv = [str(Path(sys.executable).with_name("uv")), "tool", "run", "--from", PY_SPY, "py-spy", "record"]
            options = ["--format", "raw", "--full-filenames", "--rate", str(RATE), "--duration", str(seconds)]
            command = [*uv, *options, *(["--native"] if native else []), "--pid", str(server.pid), "-o", str(samples)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
        finally:
            over.set()
            loading.join()
        if not samples.exists():
            raise RuntimeError(f"py-spy failed: {ran.stderr[-500:]}")
        told = counted(samples.read_text().splitlines())
    heading = f"### Profile: {target}, {WISHES[size]}, {callers} callers, {seconds} s"
    return "\n\n".join([heading, *(table(*each) for each in told)])


def counted(lines: list[str]) -> list[tuple[str, Counter[str], Counter[str], int]]:
    """Returns, for packages and for functions, the samples by self and with callees. A line is `frame;frame count`."""
    counters: list[tuple[str, Counter[str], Counter[str], int]] = [
        ("package", Counter(), Counter(), PACKAGES),
        ("function", Counter(), Counter(), FUNCTIONS),
    ]
    for line in lines:
        stack, _, number = line.rpartition(" ")
        frames = [frame for frame in stack.split(";") if not frame.startswith(("process ", "thread "))]
        for (_, own, all_of, _), name_of in zip(counters, (package_of, function_of), strict=True):
            names = [name_of(frame) for frame in frames]
            own[names[-1]] += int(number)
            for name in set(names):
                all_of[name] += int(number)
    return counters


def package_of(frame: str) -> str:
    """Returns the package of a frame, `function (file:line)`; for Celeste and the standard library, the folder."""
    for place, prefix in PLACES:
        if found := place.search(frame):
            return prefix + found[1]
    return "C code"


def function_of(frame: str) -> str:
    """Returns a frame's function with its package."""
    return f"{frame.partition(' (')[0]} ({package_of(frame)})"


def table(kind: str, own: Counter[str], all_of: Counter[str], rows: int) -> str:
    """Returns the largest parts as a table."""
    total = own.total() or 1
    lines = [f"| {kind} | self | with callees |", "| --- | --- | --- |"]
    for name, number in own.most_common(rows):
        lines.append(f"| {name} | {number / total:.1%} | {all_of[name] / total:.1%} |")
    return "\n".join(lines)
