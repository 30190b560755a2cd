"""Many calls at once: 5,000 or 20,000 `Stream`s or `Generate`s, 100 to a connection. How did each end?

Callers are processes of their own, 5,000 calls each. A call is `completed`, `refused` with RetryInfo, or `lost`: ended
in any other way. `counted` is the server's own number of refusals, from its last line about them; `logged` counts the
lines of its log about calls that ended otherwise than well. A gateway that sheds calls in silence counts and logs fewer
than were refused or lost. `at work` is the most that the provider had open at a time; `KiB a call` is the growth of the
server's memory until its peak, for each call that was made.
"""

import asyncio
import contextlib
import itertools
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import grpc
from bench.speed.load import percentile
from bench.speed.machine import Peak, cpu_seconds, resident_mib
from bench.speed.results import Figure, Results
from bench.speed.targets import ROOT, Running, provider, running, stats

__all__ = ["count_failures", "count_refusals", "measure"]

FIGURES = (
    Figure("completed", 0, better="more"),
    Figure("refused with RetryInfo", 0),
    Figure("lost", 0),
    Figure("counted", 0, better=""),
    Figure("logged", 0, better=""),
    Figure("KiB a call", 0, ratio=True),
    Figure("health p50 ms", 0),
    Figure("health p99 ms", 0),
    Figure("at work", 0, better=""),
    Figure("seconds", 1, ratio=True),
    Figure("CPU s", 1, ratio=True),
)
EACH_CONNECTION, EACH_PROCESS = 100, 5000
DEADLINE = 500
PROBE_SECONDS = 0.05
LOG_SECONDS = 1.5
COUNTED = re.compile(r"\brefused\b.*since_start=(\{.*?\})")


def measure(
    *, targets: Sequence[str], kinds: Sequence[str], calls: Sequence[int], rounds: int, delay: int, places: int
) -> Results:
    """Opens so many calls at once at each target, in a fresh server each time.

    Args:
        targets: `minimal`, `celeste`, `celeste-file`.
        kinds: `Stream`, `Generate`.
        calls: Numbers of calls.
        rounds: How often.
        delay: Milliseconds that the provider takes for an image.
        places: Calls that may be at the provider at a time. The others wait in the queue, which has room for them all.
    """
    settings = {"kinds": list(kinds), "calls": list(calls), "delay": delay, "places": places, "ended": {}}
    results = Results("streams", "Many calls at once", targets[0], FIGURES, settings)
    for number, kind, _, name in itertools.product(calls, kinds, range(rounds), targets):
        with provider() as upstream, running(name, upstream.base, places) as server:
            _round(results, f"{number:,} x {kind}", server, upstream, kind, number, delay)
    return results.close()


def _round(results: Results, load: str, server: Running, upstream: Running, kind: str, calls: int, delay: int) -> None:
    command = [sys.executable, "-m", "bench.speed.streams", server.base, kind, str(delay)]
    one = subprocess.run([*command, "1"], cwd=ROOT, capture_output=True, text=True, check=True, input="\n")
    if json.loads(one.stdout)["outcomes"] != {"completed": 1}:
        raise RuntimeError(f"{server.name}: the first call failed: {one.stdout}")
    idle, spent = resident_mib(server.pid), cpu_seconds(server.pid)
    counts = [min(EACH_PROCESS, calls - begun) for begun in range(0, calls, EACH_PROCESS)]
    callers = [
        subprocess.Popen([*command, str(count)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for count in counts
    ]
    for process in callers:  # each says a line when its connections are open
        assert process.stdin and process.stdout
        process.stdout.readline()
    with Peak(server.pid, 0.1) as peak:
        began = time.monotonic()
        for process in callers:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        health = asyncio.run(_health(server.base, callers)) if server.name != "minimal" else []
        told = [json.loads(process.communicate()[0]) for process in callers]
        seconds = time.monotonic() - began
    time.sleep(LOG_SECONDS)  # the server says its number of refusals a little later
    outcomes: Counter[str] = sum((Counter(each["outcomes"]) for each in told), Counter())
    lost = outcomes.total() - outcomes["completed"] - outcomes["refused"]
    figures = {
        "completed": float(outcomes["completed"]),
        "refused with RetryInfo": float(outcomes["refused"]),
        "lost": float(lost),
        "counted": float(count_refusals(server.log)),
        "logged": float(count_failures(server.log)),
        "KiB a call": (peak.mib - idle) * 1024 / calls,
        "at work": float(stats(upstream.base)["most_open"]),
        "seconds": seconds,
        "CPU s": cpu_seconds(server.pid) - spent,
    }
    if health:
        health.sort()
        figures |= {f"health p{part} ms": 1000 * percentile(health, part / 100) for part in (50, 99)}
    results.add(load, server.name, figures)
    ended = {what: number for what, number in outcomes.items() if what not in ("completed", "refused")}
    results.settings["ended"][f"{load}, {server.name}"] = ended
    if server.name != "minimal":  # which has no other way
        results.failed(load, server.name, ended)


def count_refusals(log: Path) -> int:
    """Returns the number of refusals that the server counted since its start."""
    counts = [0]
    with log.open(errors="replace") as lines:
        for line in lines:
            if found := COUNTED.search(line):
                counts.append(sum(map(int, re.findall(r": (\d+)", found[1]))))
    return max(counts)


def count_failures(log: Path) -> int:
    """Returns how many calls the log says were refused or ended otherwise than well."""
    count = 0
    with log.open(errors="replace") as lines:
        for line in lines:
            count += "rpc" in line and "outcome=" in line and "outcome=OK" not in line
    return count


async def _health(base: str, callers: Sequence[subprocess.Popen[str]]) -> list[float]:
    """Asks for the server's health until the callers have ended; returns the seconds that each answer took."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    took = []
    async with grpc.aio.insecure_channel(urlsplit(base).netloc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while any(process.poll() is None for process in callers):
            began = time.perf_counter()
            with contextlib.suppress(grpc.aio.AioRpcError):  # its time shows
                await stub.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(PROBE_SECONDS)
    return took


async def caller(base: str, kind: str, delay: int, calls: int) -> dict[str, object]:
    """Opens the connections, waits for a line on standard input, and makes all calls at once."""
    from celeste_image import v1

    generate = v1.GenerateRequest(prompt=f"small-{delay} a red fox", model="bench/image")
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [
        grpc.aio.insecure_channel(urlsplit(base).netloc, options=options) for _ in range(-(-calls // EACH_CONNECTION))
    ]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    stubs = [v1.ImageServiceStub(channel) for channel in channels]
    print(flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    outcomes: Counter[str] = Counter()

    async def one(stub: v1.ImageServiceStub) -> None:
        try:
            if kind == "Generate":
                done = len((await stub.Generate(generate, timeout=DEADLINE)).result.images) == 1
            else:
                done = False
                request = v1.StreamRequest(operation=v1.Operation(generate=generate))
                async for response in stub.Stream(request, timeout=DEADLINE):
                    done = len(response.event.completed.result.images) == 1
            outcomes["completed" if done else "ended without an image"] += 1
        except grpc.aio.AioRpcError as error:
            refused = b"google.rpc.RetryInfo" in dict(error.trailing_metadata() or ()).get(
                "grpc-status-details-bin", b""
            )
            outcomes["refused" if refused else f"{error.code().name} {(error.details() or '')[:80]}"] += 1

    await asyncio.gather(*(one(stubs[number % len(stubs)]) for number in range(calls)))
    for channel in channels:
        await channel.close()
    return {"outcomes": outcomes}


if __name__ == "__main__":
    at, how, milliseconds, count = sys.argv[1:]
    print(json.dumps(asyncio.run(caller(at, how, int(milliseconds), int(count)))))
