"""Measures the gateway beside others, and prints tables with ratios.

    .venv/bin/python -m bench.speed short              # everything in short, in less than five minutes
    .venv/bin/python -m bench.speed full               # everything, in about forty minutes
    .venv/bin/python -m bench.speed throughput --callers 1,16,64 --targets minimal,celeste
    .venv/bin/python -m bench.speed agree ONE.json OTHER.json
    .venv/bin/python -m bench.speed page RESULTS.json  # writes the tables into docs/performance.md

Each measurement is also a command of its own: see --help. `--out FILE` writes the results as JSON. The exit code is 1
if Celeste did not start, if a call to it went wrong, or if two runs do not agree. Nothing else should run on the
machine; a run that was disturbed says so.
"""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.speed import engines, latency, memory, observed, secured, stalls, startup, streams, throughput, transfers
from bench.speed.page import shown, write_page
from bench.speed.profile import profiled
from bench.speed.results import Results, agreement, read, write
from bench.speed.targets import RUNNABLE, TARGETS

GRPC = ("minimal", "celeste", "celeste-file")
TRANSFERS = ("minimal", "storing", "celeste", "celeste-file")
BOTH = ("small", "big")
MANY: dict[str, Any] = {
    "kinds": ("Stream", "Generate"),
    "calls": (5000, 20_000),
    "rounds": 1,
    "delay": 0,
    "places": 64,
}
Measurement = Callable[[], Results]

SHORT: Sequence[Measurement] = (
    lambda: throughput.measure(targets=tuple(TARGETS), sizes=BOTH, callers=(64,), rounds=6, seconds=0.4, starts=1),
    lambda: latency.measure(targets=tuple(TARGETS), sizes=BOTH, rounds=3, requests=3),
    lambda: memory.measure(targets=("minimal", "celeste-file"), images=64, rounds=1),
    lambda: streams.measure(targets=GRPC[1:2], kinds=("Stream",), calls=(1000,), rounds=1, delay=0, places=64),
    lambda: transfers.measure(targets=TRANSFERS, mib=64, rounds=3),
    lambda: stalls.measure(targets=GRPC[1:2], callers=(16,), rounds=1, requests=100),
    lambda: startup.measure(targets=GRPC[:2], rounds=2),
    lambda: startup.command(rounds=1),
    lambda: engines.compose(callers=(1, 4), rounds=1, images=8),
)
FULL: Sequence[Measurement] = (
    lambda: throughput.measure(
        targets=tuple(TARGETS), sizes=BOTH, callers=(1, 4, 16, 64, 256), rounds=2, seconds=1.2, starts=3
    ),
    lambda: secured.measure(sizes=BOTH, callers=(1, 64), rounds=2, seconds=1.2, starts=3),
    lambda: latency.measure(targets=tuple(TARGETS), sizes=BOTH, rounds=5, requests=15),
    lambda: memory.measure(targets=tuple(TARGETS), images=256, rounds=2),
    lambda: streams.measure(targets=GRPC[:2], **MANY),
    lambda: transfers.measure(targets=TRANSFERS, mib=64, rounds=5),
    lambda: transfers.lists(targets=GRPC[1:], artifacts=50_000, sizes=(1, 100)),
    lambda: stalls.measure(targets=GRPC, callers=(1, 16, 64), rounds=2, requests=300),
    lambda: startup.measure(targets=tuple(TARGETS), rounds=3),
    lambda: startup.command(rounds=3),
    lambda: engines.compose(callers=(1, 4), rounds=3, images=16),
    lambda: engines.upscale(rounds=3),
)


def words(text: str) -> list[str]:
    """Returns the words of a list with commas."""
    return [word for word in text.split(",") if word]


def numbers(text: str) -> list[int]:
    """Returns the numbers of a list with commas."""
    return [int(word) for word in words(text)]


def targets(text: str) -> list[str]:
    """Returns names of targets. Raises argparse.ArgumentTypeError for another name."""
    if unknown := [name for name in words(text) if name not in RUNNABLE]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(RUNNABLE)}")
    return words(text)


def arguments() -> argparse.ArgumentParser:
    """Returns the parser of the command line; `measure` of what it parses makes the Results from `options`."""
    parser = argparse.ArgumentParser(prog="bench.speed", description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    commands = parser.add_subparsers(dest="name", required=True)

    def command(name: str, what: str, measure: Callable[..., Results] | None, **options: object) -> None:
        one = commands.add_parser(name, help=what, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        one.add_argument("--out", type=Path, help="file for the results, as JSON")
        one.set_defaults(measure=measure, options=tuple(options))
        for option, default in options.items():
            if isinstance(default, tuple):
                kind = numbers if isinstance(default[0], int) else targets if option == "targets" else words
                one.add_argument(f"--{option}", type=kind, default=list(default), metavar="A,B,C", help=" ")
            else:
                one.add_argument(f"--{option}", type=type(default), default=default, metavar="N", help=" ")

    everyone = tuple(TARGETS)
    command("short", "everything in short, in less than five minutes", None)
    command("full", "everything, in about forty minutes", None)
    at_once = {"sizes": BOTH, "callers": (64,), "rounds": 6, "seconds": 0.6, "starts": 3}
    command("throughput", "requests a second, and CPU time", throughput.measure, targets=everyone, **at_once)
    small = at_once | {"sizes": ("small",)}
    command("observed", "what traces and metrics cost", observed.measure, **small)
    command("secured", "what API keys and TLS cost", secured.measure, **at_once)
    alone = {"sizes": BOTH, "rounds": 3, "requests": 20}
    command("latency", "what a gateway adds for one caller", latency.measure, targets=everyone, **alone)
    command("memory", "many images at once", memory.measure, targets=GRPC, images=256, rounds=2)
    command("streams", "thousands of calls at once", streams.measure, targets=GRPC[1:2], **MANY)
    command("transfers", "up and down", transfers.measure, targets=TRANSFERS, mib=64, rounds=5)
    page = {"artifacts": 50_000, "sizes": (1, 100)}
    command("lists", "pages among many artifacts", transfers.lists, targets=GRPC[1:], **page)
    loaded = {"callers": (16,), "rounds": 1, "requests": 300}
    command("stalls", "long callbacks of the event loop", stalls.measure, targets=GRPC[:2], **loaded)
    command("startup", "until a server is ready, and its rest", startup.measure, targets=GRPC[:2], rounds=5)
    command("command", 'celeste "a red fox", cold and again', startup.command, rounds=3)
    command("compose", "local/compose", engines.compose, callers=(1, 4), rounds=3, images=16)
    command("upscale", "Real-ESRGAN beside bare ncnn", engines.upscale, rounds=3)
    profile = commands.add_parser("profile", help="where the processor time goes, by package and by function")
    profile.add_argument("--target", choices=GRPC, default="celeste")
    profile.add_argument("--size", choices=BOTH, default="small")
    profile.add_argument("--callers", type=int, default=16)
    profile.add_argument("--seconds", type=int, default=20)
    profile.add_argument("--native", action="store_true", help="also the frames of C code")
    agree = commands.add_parser("agree", help="whether the ratios of two runs agree")
    agree.add_argument("files", nargs=2, type=Path)
    pages = commands.add_parser("page", help="write the tables of a run into docs/performance.md")
    pages.add_argument("file", type=Path)
    return parser


def measurements(chosen: argparse.Namespace) -> Sequence[Measurement]:
    """Returns what the command names."""
    if chosen.measure is None:
        return SHORT if chosen.name == "short" else FULL
    return [partial(chosen.measure, **{option: getattr(chosen, option) for option in chosen.options})]


def agreed(files: Sequence[Path]) -> int:
    """Prints whether the ratios of two runs agree; returns the exit code."""
    runs = [read(file) for file in files]
    compared = agreement(*runs)
    for each in compared:
        verdict = "agree" if each.agrees else "noisy" if each.is_noisy else "APART"
        numbers = f"{each.first:7.2f} {each.second:7.2f} {each.apart:+6.0%} of {each.allowed:4.0%}"
        print(f"{verdict} {numbers}  {each.cell}")
    for file, run in zip(files, runs, strict=True):
        for results in run:
            for doubt in results.doubts():
                print(f"{file}: {results.command} is too noisy to quote: {doubt}")
    apart = sum(not each.agrees and not each.is_noisy for each in compared)
    print(f"{sum(each.agrees for each in compared)} of {len(compared)} ratios agree, {apart} are apart")
    return int(apart > 0 or not compared)


def main() -> int:
    """Runs the command; returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the gateways end, too
    chosen = arguments().parse_args()
    if chosen.name == "agree":
        return agreed(chosen.files)
    if chosen.name == "page":
        write_page(read(chosen.file))
        return 0
    if chosen.name == "profile":
        print(profiled(chosen.target, chosen.size, chosen.callers, chosen.seconds, chosen.native))
        return 0
    found: list[Results] = []
    failed, began = False, time.monotonic()
    for measurement in measurements(chosen):
        try:
            results = measurement()
        except Exception:  # the others are worth their time all the same
            traceback.print_exc()
            failed = True
            continue
        print(shown(results), flush=True)
        wrong = any(", celeste" in error for error in results.errors)
        failed = failed or wrong or any(name.startswith("celeste") for name in results.absent)
        found.append(results)
        if chosen.out:
            write(chosen.out, found)
    print(f"{time.monotonic() - began:.0f} s in all")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
