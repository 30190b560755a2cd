"""Runs the conformance cases in every language: `make test-clients`. Prints the matrix and writes it into the docs.

Options: `--only NAME` runs the clients whose name begins so; `--case NAME` runs one case. Such partial runs leave the
docs alone. Exits with 1 when a case or a page's program failed, or a runner broke.
"""

import argparse
import asyncio
import itertools
import json
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from tests.conformance import matrix, pages
from tests.conformance.cases import Case, Concrete, make, read_cases
from tests.conformance.clients import CLIENTS, ROOT, Client
from tests.conformance.expect import image_problems, problems, trace_problems
from tests.conformance.server import Serving, serving

RUN_SECONDS = 300
BUILD_SECONDS = 1200


def run_client(client: Client, cases: list[Case], server: Serving, folder: Path) -> matrix.Column:
    """Builds a client, runs its cases and its page. A missing toolchain is a skip that names it."""
    column = matrix.Column(client.name)
    if client.missing:
        column.skipped = "; ".join(f"`{need.command}` is missing ({need.how})" for need in client.missing)
        return column
    began = time.monotonic()
    if client.build and (broken := build(client.build)):
        column.broken = f"does not build: {broken}"
        return column
    column.build_seconds = time.monotonic() - began
    began = time.monotonic()
    column.impossible = {case.name: why for case in cases if (why := client.why_not(case))}
    can = [case for case in cases if case.name not in column.impossible]
    addresses = server.through_envoy if client.through_envoy else server.direct
    concrete = make(can, addresses, folder, client.name, server.secured.value)
    seen: dict[str, list[dict[str, Any]]] = {}
    for batch in batches(concrete):
        plan, written = folder / "plan.json", folder / "outcomes.json"
        plan.write_text(json.dumps({"transport": client.transport, "cases": [each.plan for each in batch]}))
        written.unlink(missing_ok=True)
        if broken := _call(f"{client.run} {plan} {written}", RUN_SECONDS):
            column.broken = f"the runner failed: {broken}"
            return column
        outcomes = json.loads(written.read_text())["outcomes"]
        seen |= {name: list(each) for name, each in itertools.groupby(outcomes, lambda outcome: outcome["name"])}
        for each in batch:
            column.results[each.case.name] = judge(each, seen, server)
    column.run_seconds = time.monotonic() - began
    return column


@cache
def build(command: str) -> str:
    """Builds a runner once, also for several clients. Returns why it failed; empty if it did not."""
    return _call(command, BUILD_SECONDS)


def batches(cases: list[Concrete]) -> Iterator[list[Concrete]]:
    """Yields the cases in runs of the runner. A case after which an engine must be idle ends one."""
    batch: list[Concrete] = []
    for each in cases:
        batch.append(each)
        if "idle" in each.expect:
            yield batch
            batch = []
    if batch:
        yield batch


def judge(each: Concrete, seen: Mapping[str, list[dict[str, Any]]], server: Serving) -> list[str]:
    """Returns what is wrong with the outcomes of a case, at the client and in the server.

    Args:
        each: The case.
        seen: The outcomes of this case and of those before it, by name.
        server: The server.
    """
    outcomes, calls = seen.get(each.case.name, []), each.plan.get("at_once", 1)
    if len(outcomes) != calls:
        return [f"expected {calls} outcomes, got {len(outcomes)}"]
    found = [line for outcome in outcomes for line in problems(each.expect, outcome)]
    if other := each.expect.get("images_of"):
        first = seen.get(other, [{}])[0]
        found += [line for outcome in outcomes for line in image_problems(first, outcome)]
    if log := each.expect.get("log"):
        logged = server.outcome_of(each.request_id)
        if logged not in log.split("|"):
            found.append(f"the server logged {logged or 'nothing'}, expected {log}")
    if (engine := each.expect.get("idle")) and not server.becomes_idle(engine):
        found.append(f"{engine} goes on working")
    if trace := each.expect.get("trace"):
        found += trace_problems(trace, server.trace_of(each.trace_id, trace["spans"]))
    return found


def _call(command: str, seconds: float) -> str:
    """Runs a command from the root. Returns why it failed; empty if it did not."""
    try:
        done = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"no end within {seconds:g} s"
    except OSError as error:
        return str(error)
    output = (done.stdout + done.stderr).decode(errors="replace").strip()
    return f"exit code {done.returncode}\n{output[-3000:]}" if done.returncode else ""


async def main() -> int:
    """Runs the chosen clients one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run", description=__doc__)
    parser.add_argument("--only", default="", help="run the clients whose name begins so")
    parser.add_argument("--case", default="", help="run one case")
    chosen = parser.parse_args()
    cases = [case for case in read_cases() if chosen.case in ("", case.name)]
    columns: list[matrix.Column] = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        async with serving(Path(name)) as server:
            for client in CLIENTS:
                if client.name.startswith(chosen.only):
                    column = await asyncio.to_thread(run_client, client, cases, server, Path(name))
                    if not (column.skipped or column.broken or chosen.case):
                        column.programs = len(pages.programs(client))
                        column.pages = await asyncio.to_thread(pages.run, client, server, Path(name))
                    print(column.line(), flush=True)
                    columns.append(column)
    print(matrix.report(columns), flush=True)
    if not (chosen.only or chosen.case):
        matrix.write(cases, columns)
    return 0 if all(column.is_good for column in columns) else 1


def end(signal_number: int, frame: FrameType | None) -> None:
    """Ends the program in order, so that the servers end with it."""
    sys.exit(128 + signal_number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    sys.exit(asyncio.run(main()))
