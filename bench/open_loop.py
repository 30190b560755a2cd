"""Open-loop load: calls come at a rate, whether or not the server keeps up. Shows what overload costs.

    .venv/bin/python -m bench.open_loop check      # the generator, against a server of known speed
    .venv/bin/python -m bench.open_loop overload   # 1, 2 and 5 times the capacity, with and without the control
    .venv/bin/python -m bench.open_loop fair       # one caller beyond its share beside nine below it

The capacity is set by the vendor's places, 4 calls of 40 ms, so about 100 calls a second, and not by processor time.
Each call has a deadline of one second. The generator is a process of its own; it reports how late it sent, and a run in
which it was late says so. Health is asked on a connection of its own, 20 times a second. The vendor counts the calls
that it was paid for.

A line that is worse than it must be says NOT GOOD, and the exit code is 1.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support.ports import free_port

from celeste_image import v1

PLACES, MILLISECONDS = 4, 40
CAPACITY = PLACES * 1000 / MILLISECONDS
DEADLINE_SECONDS = 1.0
LATE_SECONDS = 0.02
"""A generator that sends its 99th percentile later than this measures itself."""
METHOD = "/celeste.image.v1.ImageService/Generate"


@dataclass
class Load:
    """What one caller does.

    Attributes:
        name: Name of the caller.
        rate: Calls a second, at random moments (a Poisson process).
        connections: Connections that the calls are spread over.
    """

    name: str
    rate: float
    connections: int = 1


@dataclass
class Seen:
    """What came of the calls of one caller.

    Attributes:
        sent: Calls.
        results: Calls that were answered in time.
        codes: Other calls, by gRPC code.
        latencies: Seconds until each result.
        refusals: Seconds until each refusal.
        told: Refusals that say when to come back.
        lags: Seconds by which each call was sent too late.
    """

    sent: int = 0
    results: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    told: int = 0
    lags: list[float] = field(default_factory=list)


def percentile(values: Sequence[float], part: float) -> float:
    """Returns a percentile of some values in milliseconds; 0 if there are none."""
    return 1000 * sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def says_when(error: grpc.aio.AioRpcError) -> bool:
    """Returns whether a refusal has RetryInfo."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
    return False


async def drive(address: str, loads: Sequence[Load], seconds: float, seed: int) -> tuple[list[Seen], list[float]]:
    """Makes the calls of all callers. Returns what came of them, and the seconds of each health check."""
    request = v1.GenerateRequest(model="bench/image", prompt=f"small-{MILLISECONDS} a fox")
    request.options.inline_limit_bytes = 0
    body = request.SerializeToString()
    seen = [Seen() for _ in loads]
    calls: set[asyncio.Task[None]] = set()
    async with contextlib.AsyncExitStack() as stack:

        async def channel() -> grpc.aio.Channel:
            options = [("grpc.use_local_subchannel_pool", 1)]
            made = await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))
            await made.channel_ready()
            return made

        async def call(ask: Any, of: Seen) -> None:
            began = time.monotonic()
            try:
                await ask(body, timeout=DEADLINE_SECONDS)
            except grpc.aio.AioRpcError as error:
                of.codes[error.code().name] += 1
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    of.refusals.append(time.monotonic() - began)
                    of.told += says_when(error)
            else:
                of.results += 1
                of.latencies.append(time.monotonic() - began)

        async def caller(load: Load, of: Seen, number: int) -> None:
            asks = [(await channel()).unary_unary(METHOD) for _ in range(load.connections)]
            await ready.wait()
            draw, at = random.Random(seed * 1000 + number), began
            while (at := at + draw.expovariate(load.rate)) < began + seconds:
                if (wait := at - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                of.lags.append(max(0.0, time.monotonic() - at))
                of.sent += 1
                task = asyncio.create_task(call(asks[of.sent % len(asks)], of))
                calls.add(task)
                task.add_done_callback(calls.discard)

        async def health() -> None:
            stub = health_pb2_grpc.HealthStub(await channel())
            await ready.wait()
            for number in range(int(seconds * 20)):
                await asyncio.sleep(max(0.0, began + number / 20 - time.monotonic()))
                asked = time.monotonic()
                await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
                checks.append(time.monotonic() - asked)

        ready, checks, began = asyncio.Event(), list[float](), 0.0
        pairs = enumerate(zip(loads, seen, strict=True))
        work = [asyncio.create_task(caller(load, of, number)) for number, (load, of) in pairs]
        work.append(asyncio.create_task(health()))
        await asyncio.sleep(1.0)
        began = time.monotonic()
        ready.set()
        await asyncio.gather(*work)
        if calls:
            await asyncio.wait(calls)
    return seen, checks


def driven(address: str, loads: Sequence[Load], seconds: float, seed: int = 1) -> tuple[list[Seen], list[float]]:
    """Drives a load in a process of its own."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_drive_and_send, args=(theirs, address, list(loads), seconds, seed)
    )
    process.start()
    theirs.close()
    try:
        found: tuple[list[Seen], list[float]] = ours.recv()
        return found
    finally:
        process.join()


def _drive_and_send(pipe: Any, address: str, loads: list[Load], seconds: float, seed: int) -> None:
    import uvloop

    pipe.send(uvloop.run(drive(address, loads, seconds, seed)))


@contextlib.contextmanager
def process(*command: str, folder: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Runs a program, and ends it."""
    program = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        yield program
    finally:
        program.send_signal(signal.SIGTERM)
        program.wait(60)


@contextlib.contextmanager
def gateway(*, control: bool) -> Iterator[tuple[str, str]]:
    """Runs a fake vendor and Celeste before it. Yields Celeste's address and the vendor's URL."""
    root = Path(__file__).parents[1]
    with contextlib.ExitStack() as stack:
        vendor = stack.enter_context(process(sys.executable, "-m", "bench.speed.provider", folder=root))
        assert vendor.stdout
        url = f"http://127.0.0.1:{int(vendor.stdout.readline())}"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="celeste-bench-")))
        address = f"127.0.0.1:{free_port()}"
        (folder / "celeste.toml").write_text(
            f'[store]\nurl = "memory:///"\nmemory_bytes = {4 << 30}\n'
            f"[admission]\ndeadlines = {str(control).lower()}\n"
            '[log.levels]\n"celeste_image.rpc" = "error"\n"celeste_image.calls" = "error"\n'
            f'[providers.bench]\nkind = "compatible"\nbase_url = "{url}/v1"\nallow_private = true\n'
            f'concurrency = {PLACES}\nqueue = 100\nmodels = [{{ id = "image" }}]\n'
        )
        command = [sys.executable, "-m", "celeste_image.cli.main", "serve", "--listen", address]
        environment = {**os.environ, "PYTHONPATH": ""}
        server = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
        try:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(60)
            yield address, url
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def paid(url: str) -> int:
    """Returns how many calls the vendor was paid for since its start."""
    with urllib.request.urlopen(f"{url}/stats", timeout=10) as answer:
        return int(json.load(answer)["requests"])


class Verdict:
    """Prints lines, and remembers whether one was not good."""

    def __init__(self) -> None:
        self.is_good = True

    def say(self, text: str, **goals: bool) -> None:
        """Prints a line with the goals that it missed."""
        missed = [name for name, met in goals.items() if not met]
        self.is_good &= not missed
        print(text + (f"   NOT GOOD: {', '.join(missed)}" if missed else ""), flush=True)


def overload(verdict: Verdict, seconds: float) -> None:
    """Measures 1, 2 and 5 times the capacity, with the control and without it."""
    for control in (True, False):
        peak = 0.0
        with gateway(control=control) as (address, url):
            driven(address, [Load("warm", CAPACITY / 2, 4)], 3)
            for times in (1, 2, 5):
                before = paid(url)
                ((seen,), checks) = driven(address, [Load("all", times * CAPACITY, 8)], seconds)
                goodput = seen.results / seconds
                peak = max(peak, goodput, 0.001)
                cost = (paid(url) - before) / max(1, seen.results)
                late, health = percentile(seen.lags, 0.99), percentile(checks, 0.99)
                refused, slowest = percentile(seen.refusals, 0.99), percentile(seen.latencies, 0.99)
                goals = {
                    "goodput": goodput >= {1: 0.0, 2: 0.95, 5: 0.90}[times] * peak,
                    "paid": cost <= 1.05,
                    "refusals": refused <= 10 and seen.told == len(seen.refusals),
                    "health": health <= 50,
                }
                verdict.say(
                    f"{'with' if control else 'without'} control, {times}x: {seen.sent} calls, "
                    f"{goodput:.1f} results/s ({goodput / peak:.0%} of peak), p99 {slowest:.0f} ms, paid {cost:.2f}x, "
                    f"{len(seen.refusals)} refused (p50 {percentile(seen.refusals, 0.5):.1f}, p99 {refused:.1f} ms, "
                    f"{seen.told} with RetryInfo), {dict(seen.codes)}, health p99 {health:.1f} ms, "
                    f"generator late p99 {late:.1f} ms, load {os.getloadavg()[0]:.1f}",
                    **(goals if control else {}),
                    generator=late <= 1000 * LATE_SECONDS,
                )


def fair(verdict: Verdict, seconds: float) -> None:
    """Measures one caller beside nine, each with a share of a tenth: at 10 and 0.1 times the share, at 50 and 0.5."""
    for name, one, others in (
        ("10 times its share, nine at 0.1", CAPACITY, CAPACITY / 100),
        ("50 times its share, nine at 0.5", 5 * CAPACITY, CAPACITY / 20),
    ):
        with gateway(control=True) as (address, _):
            driven(address, [Load("warm", CAPACITY / 2, 4)], 3)
            loads = [Load("greedy", one), *(Load(f"modest {number}", others) for number in range(9))]
            (greedy, *modest), checks = driven(address, loads, seconds)
            refused = sum(sum(each.codes.values()) for each in modest)
            slow = percentile([value for each in modest for value in each.latencies], 0.99)
            verdict.say(
                f"one at {name}: {greedy.sent} calls, {greedy.results} results; nine: "
                f"{sum(each.sent for each in modest)} calls, {refused} without a result, p99 {slow:.0f} ms; "
                f"health p99 {percentile(checks, 0.99):.1f} ms, load {os.getloadavg()[0]:.1f}",
                nine=refused == 0,
            )


class Known:
    """A server of known speed: it answers each call after 40 ms, and refuses each fourth one at once."""

    def __init__(self) -> None:
        self._calls = 0

    async def _answer(self, _: bytes, context: Any) -> bytes:
        self._calls += 1
        if self._calls % 4 == 0:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the fourth")
        await asyncio.sleep(MILLISECONDS / 1000)
        return b""

    async def serve(self, pipe: Any) -> None:
        from grpc_health.v1 import health

        server = grpc.aio.server()
        service, _, method = METHOD[1:].rpartition("/")
        handler = grpc.unary_unary_rpc_method_handler(self._answer)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        pipe.send(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        await server.wait_for_termination()


def _serve_known(pipe: Any) -> None:
    asyncio.run(Known().serve(pipe))


def check(verdict: Verdict, seconds: float) -> None:
    """Shows that the generator sends what it says, and sees what a server of known speed does."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve_known, args=(theirs,), daemon=True)
    server.start()
    try:
        address = f"127.0.0.1:{ours.recv()}"
        for rate in (CAPACITY, 5 * CAPACITY):
            (seen,), checks = driven(address, [Load("all", rate, 8)], seconds)
            offered, refused = seen.sent / seconds, len(seen.refusals) / max(1, seen.sent)
            middle, late = percentile(seen.latencies, 0.5), percentile(seen.lags, 0.99)
            verdict.say(
                f"{rate:.0f}/s asked for: {offered:.1f}/s sent, {refused:.1%} refused (25 % were), results after "
                f"{middle:.1f} ms (40 they took), refusals p99 {percentile(seen.refusals, 0.99):.1f} ms, "
                f"health p99 {percentile(checks, 0.99):.1f} ms, late p99 {late:.1f} ms",
                rate=abs(offered - rate) <= 4 * (rate / seconds) ** 0.5,
                refusals=abs(refused - 0.25) < 0.01,
                latency=MILLISECONDS <= middle <= 1.25 * MILLISECONDS,
                late=late <= 1000 * LATE_SECONDS,
            )
    finally:
        server.terminate()
        server.join()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=["check", "overload", "fair"])
    arguments.add_argument("--seconds", type=float, default=20, help="length of each load")
    given = arguments.parse_args()
    verdict = Verdict()
    {"check": check, "overload": overload, "fair": fair}[given.what](verdict, given.seconds)
    return 0 if verdict.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
