"""Servers in processes of their own, on one store that outlives them, which tests kill and start again."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from tests.support.callers import key_table, new_key
from tests.support.failing_server import FAILPOINT
from tests.support.ports import free_port

__all__ = ["Fleet", "Killable"]

ROOT = Path(__file__).parents[2]
START_SECONDS = 60


class Killable:
    """A server that is started, killed and started again at one address.

    Args:
        folder: Its folder, with its log.
        settings: What its configuration file has.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.address = f"127.0.0.1:{free_port()}"
        self._folder = folder
        self._file = folder / "celeste.json"
        self._file.write_text(json.dumps(settings))
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The id of the process that was started last."""
        assert self._process
        return self._process.pid

    @property
    def log(self) -> str:
        """What all its processes have logged."""
        return (self._folder / "log").read_text()

    async def start(self, failpoint: str = "") -> None:
        """Starts a process and waits until it serves. At a failpoint, the process kills itself."""
        command = [sys.executable, "-m", "tests.support.failing_server", "serve"]
        environment = os.environ | {
            FAILPOINT: failpoint,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, "--config", str(self._file), "--listen", self.address,
                stdout=log, stderr=log, env=environment, cwd=self._folder,
            )  # fmt: skip
        async with grpc.aio.insecure_channel(self.address) as channel:
            ready, over = (asyncio.ensure_future(each) for each in (channel.channel_ready(), self._process.wait()))
            await asyncio.wait([ready, over], timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            serves = ready.done()
            for each in (ready, over):
                each.cancel()
            assert serves, f"it does not serve: {self.log[-2000:]}"

    def kill_at_once(self) -> None:
        """Kills the process, and returns when it is dead: nothing that is sent to it from now on is read."""
        os.kill(self.pid, signal.SIGKILL)
        while _is_alive(self.pid):
            pass

    async def end(self, number: int = signal.SIGKILL) -> int:
        """Sends a signal to the process, if it still runs, and waits for its end. Returns its exit status."""
        assert self._process
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Waits for the end of the process, and returns its exit status."""
        assert self._process
        async with asyncio.timeout(START_SECONDS):
            return await self._process.wait()

    async def restart(self) -> None:
        """Kills the process and starts another one."""
        await self.end()
        await self.start()


def _is_alive(pid: int) -> bool:
    """Returns whether a process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Fleet:
    """Servers on one store, with the tenants that may call them.

    Args:
        folder: Folder of the store and of the servers.
        providers: The tables of the vendors.
        tenants: Names of the tenants.
        size: Number of servers.
        settings: More of their configuration; None for no more.
    """

    def __init__(
        self,
        folder: Path,
        providers: Mapping[str, Mapping[str, Any]],
        tenants: Sequence[str],
        size: int = 1,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.store = folder / "store"
        self.keys = {tenant: new_key() for tenant in tenants}
        given = {
            "store": {"url": self.store.as_uri(), "reserve_bytes": 0},
            "callers": {"keys": {tenant: key_table(key, tenant) for tenant, key in self.keys.items()}},
            # The breaker would refuse calls after the faults that vendors are told to have.
            "providers": {name: {"pause_after": 0, **table} for name, table in providers.items()},
            **(settings or {}),
        }
        self.servers = [Killable(folder / f"server{number}", given) for number in range(size)]

    async def __aenter__(self) -> "Fleet":
        try:
            await asyncio.gather(*(server.start() for server in self.servers))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(server.end() for server in self.servers), return_exceptions=True)
