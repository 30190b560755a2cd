"""The server that clients speak to: `celeste serve` as users start it, with emulated vendors, Envoy, and its log."""

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from tests.conformance.newer import newer_server
from tests.conformance.secured import SECURED_PAGE_ADDRESS, Secured, secured_servers
from tests.support.command import CELESTE
from tests.support.envoy import envoy
from tests.support.otlp import Receiver, receiving
from tests.support.ports import free_ports
from tests.support.processes import running
from tests.support.servers import workers
from tests.support.waiting import until

from celeste_image.providers.local.weights import packages
from celeste_image.v1 import ListProvidersRequest, ModelServiceStub

__all__ = ["METADATA", "PAGE_ADDRESS", "Serving", "serving"]

PAGE_ADDRESS = "127.0.0.1:50051"
"""Where `celeste serve` listens by default, and where the pages' programs call."""
METADATA = ("x-celeste-text", "x-celeste-bytes-bin")
"""Request metadata of the cases, which browsers send and read only if Envoy's CORS policy allows it."""
WEIGHTS = "realesrgan-animevideov3"
"""The model of the cases that need time. Its weights are pulled once per machine, from the package index."""
TICKS = os.sysconf("SC_CLK_TCK")
WAIT_SECONDS = 10.0
PORT_SECONDS = 120.0


@dataclass
class Serving:
    """A running server.

    Attributes:
        direct: Address of each server that a case may name.
        through_envoy: Address of an Envoy in front of each of them.
        receiver: Receives the server's traces.
        ledger: URL of the ledger of the emulated vendors.
        secured: The servers that know their callers.
    """

    direct: Mapping[str, str]
    through_envoy: Mapping[str, str]
    pid: int
    log: Path
    receiver: Receiver
    ledger: str
    secured: Secured

    def outcome_of(self, request_id: str) -> str:
        """Waits for the log line of a call and returns its outcome; empty if none comes."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            for line in self.log.read_text(errors="replace").splitlines():
                if f"request_id={request_id}" in line and " call " in line:
                    found = re.search(r"\boutcome=(\w+)", line)
                    return found[1] if found else ""
            time.sleep(0.05)
        return ""

    def trace_of(self, trace_id: str, names: Sequence[str]) -> dict[str, Any]:
        """Returns a trace, once spans of some names arrived; without names, once a later span did.

        The result has the names of the `spans`, `parent` and `state` of the first span, and the `traceparent` that the
        `vendor` got.
        """
        if names:
            with contextlib.suppress(AssertionError):
                self.receiver.wait_for(lambda: set(names) <= {span.name for span in self.receiver.trace(trace_id)})
        else:  # spans are sent in the order in which they end
            count = len(self.receiver.spans)
            with grpc.insecure_channel(self.direct["celeste"]) as channel:
                ModelServiceStub(channel).ListProviders(ListProvidersRequest(), timeout=WAIT_SECONDS)
            self.receiver.wait_for(lambda: len(self.receiver.spans) > count)
        spans = self.receiver.trace(trace_id)
        first = next((span for span in spans if span.parent_id not in {each.span_id for each in spans}), None)
        with urllib.request.urlopen(self.ledger, timeout=WAIT_SECONDS) as answer:
            entries = json.load(answer)["entries"]
        given = [entry["traceparent"] for entry in entries if trace_id in entry["traceparent"]]
        return {
            "spans": [span.name for span in spans],
            "parent": first.parent_id if first else None,
            "state": first.state if first else None,
            "vendor": given[0] if given else None,
        }

    def becomes_idle(self, engine: str) -> bool:
        """Returns whether the worker processes of an engine stop using the CPU within 10 s."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            before = self._cpu_seconds(engine)
            time.sleep(0.3)
            if self._cpu_seconds(engine) - before < 0.03:
                return True
        return False

    def _cpu_seconds(self, engine: str) -> float:
        total = 0
        for pid in workers(engine, self.pid):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Serving]:
    """Runs the servers, the emulated vendors, and Envoys in front of those without TLS. All end with the block."""
    await asyncio.to_thread(packages.pull, WEIGHTS, on_line=print)
    vendors, log = folder / "emulated.toml", folder / "server.log"
    port, newer_port, vendor_port = free_ports(3)
    address = f"127.0.0.1:{port}"
    listen = [argument for each in (address, PAGE_ADDRESS) for argument in ("--listen", each)]
    emulate = [*CELESTE, "emulate", "openai", "bfl", "--port", str(vendor_port), "--write", str(vendors)]
    serve = [*CELESTE, "serve", *listen, "--store", f"file://{folder}/artifacts"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(emulate, folder / "emulate.log", {}))
        await until(lambda: vendors.exists() and vendors.read_text().count("[providers.") == 2, 2 * WAIT_SECONDS)
        await until(lambda: _is_free(PAGE_ADDRESS) and _is_free(SECURED_PAGE_ADDRESS), PORT_SECONDS)
        receiver = stack.enter_context(receiving())
        variables = {
            "CELESTE_CONFIG": str(vendors),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        server = stack.enter_context(running(serve, log, variables))
        health = [*CELESTE, "health", "--address", address, "--wait", "30"]
        if (await asyncio.to_thread(subprocess.run, health, stdout=subprocess.DEVNULL, check=False)).returncode:
            raise RuntimeError(f"the server did not start:\n{log.read_text()}")
        secured = stack.enter_context(secured_servers(folder))
        async with newer_server(address, newer_port) as newer, contextlib.AsyncExitStack() as proxies:
            direct = {"celeste": address, "newer": newer, **secured.addresses}
            inside = ("celeste", "newer", "keys")
            outside = {name: await proxies.enter_async_context(envoy(direct[name], METADATA)) for name in inside}
            ledger = f"http://127.0.0.1:{vendor_port}/_emulator/ledger"
            yield Serving(direct, outside, server.pid, log, receiver, ledger, secured)


def _is_free(address: str) -> bool:
    """Returns whether no other process has an address: another run, or a connection that got this port."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True
