"""Real servers for tests: on a socket of this machine, with the engines that users get."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from celeste_image.app import App, build_app
from celeste_image.config import Settings
from celeste_image.providers.base import Provider, Tools
from celeste_image.rpc.server import Server
from celeste_image.telemetry.tracing import Tracer


@dataclass
class Running:
    """A server in this process."""

    address: str
    app: App


@contextlib.asynccontextmanager
async def running(
    extra: Sequence[Provider] = (), tools: Tools | None = None, tracer: Tracer | None = None, **settings: object
) -> AsyncIterator[Running]:
    """Runs a server, with more providers than those that are there by themselves, with other tools, and with traces."""
    store = {"url": "memory:///", "reserve_bytes": 0} | dict(settings.pop("store", {}))  # type: ignore[call-overload]
    app = build_app(Settings(store=store, **settings), extra, tools, tracer)  # type: ignore[arg-type]
    server = Server(app)
    (address,) = await server.start(["127.0.0.1:0"])
    try:
        yield Running(address, app)
    finally:
        await server.stop(0)


def workers(module: str, parent: int | None = None) -> list[int]:
    """Returns the ids of the worker processes of a parent (this process) that run an engine."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            command = (entry / "cmdline").read_bytes().split(b"\0")
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) != (parent or os.getpid()) or status[0] == "Z":
                continue
            if b"celeste_image.sandbox.main" in command and any(part.endswith(module.encode()) for part in command):
                found.append(int(entry.name))
    return found
