"""Real servers for tests: on a socket of this machine, with the engines that users get."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from celeste_image.app import App, build_app
from celeste_image.config import Settings
from celeste_image.providers.base import Provider, Tools
from celeste_image.rpc.server import Server


@dataclass
class Running:
    """A server in this process."""

    address: str
    app: App


@contextlib.asynccontextmanager
async def running(
    extra: Sequence[Provider] = (), tools: Tools | None = None, **settings: object
) -> AsyncIterator[Running]:
    """Runs a server, with more providers than those that are there by themselves, and with other tools."""
    store = {"url": "memory:///", "reserve_bytes": 0} | dict(settings.pop("store", {}))  # type: ignore[call-overload]
    app = build_app(Settings(store=store, **settings), extra, tools)  # type: ignore[arg-type]
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


class CuttingProxy:
    """A TCP proxy that drops each connection after so many bytes from the server, or from the client.

    The lists have a number for each connection in turn; those that come after let all pass.
    """

    def __init__(self, target: str, cut_after: list[int], cut_uploads: list[int] | None = None) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._cut_after = cut_after
        self._cut_uploads = cut_uploads or []
        self.connections = 0
        self.address = ""

    async def __aenter__(self) -> "CuttingProxy":
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        left = self._cut_after.pop(0) if self._cut_after else None
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        up_left = self._cut_uploads.pop(0) if self._cut_uploads else None
        ways = [
            asyncio.create_task(self._copy(reader, up_writer, up_left)),
            asyncio.create_task(self._copy(up_reader, writer, left)),
        ]
        try:
            with contextlib.suppress(asyncio.CancelledError):  # asyncio's callback takes it for a bug
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for side in (up_writer, writer):
                side.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await side.wait_closed()

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if left is not None and len(data) > left:
                    return
                left = None if left is None else left - len(data)
                writer.write(data)
                await writer.drain()
