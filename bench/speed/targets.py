"""The gateways that are compared: how each is started in front of the fake provider, and how it is asked for an image.

Celeste comes with its store in memory and on disk. `minimal` is ours, see minimal.py. The others are installed by
`make gateways`, each in a folder of its own; one that is not there is left out, with the reason in the results.
"""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import grpc
from bench.speed.load import Call
from tests.support.ports import free_port

from celeste_image import v1

__all__ = [
    "OURS",
    "PROVIDER",
    "ROOT",
    "RUNNABLE",
    "TARGETS",
    "WISHES",
    "NotStarted",
    "Running",
    "Target",
    "absent",
    "provider",
    "running",
    "side_by_side",
    "stats",
    "turns",
]

ROOT = Path(__file__).parents[2]
START_SECONDS = 180
STOP_SECONDS = 20
QUEUE = 100_000
"""Calls that may wait for a place at the provider: no load here is refused for being many."""
MEMORY_BYTES = 16 << 30
"""Room for all images of a run in memory; the default is full after some seconds of large ones."""
KEY = "sk-bench-0123456789abcdef0123456789abcdef"
LEAST_BYTES = {"small": 20_000, "big": 1_000_000}
WISHES = {"small": "30 KB", "big": "1.6 MB"}


@dataclass(frozen=True)
class Place:
    """Where a gateway runs: a folder of its own, its port, the provider's origin, and the calls that may go there."""

    folder: Path
    port: int
    provider: str
    calls: int


@dataclass(frozen=True)
class Target:
    """A gateway.

    Attributes:
        name: Its name in results.
        title: What it is.
        command: Writes its configuration and returns its command.
        call: Returns the call for a wish such as `small-0`, see provider.py.
        program: The file that it needs; without it the target is absent.
        variables: Environment variables.
        scheme: `https` for a gateway with TLS.
    """

    name: str
    title: str
    command: Callable[[Place], Sequence[str]]
    call: Callable[[str], Call]
    program: Path = Path(sys.executable)
    variables: dict[str, str] = field(default_factory=dict)
    scheme: str = "http"

    def missing(self) -> str:
        """Returns why the target can't run here; empty if it can."""
        if self.program.exists():
            return ""
        note = self.program.parents[1] / "absent"
        return note.read_text().strip() if note.exists() else "not installed: make gateways"


def _grpc(wish: str) -> Call:
    request = v1.GenerateRequest(prompt=f"{wish} a red fox", model="bench/image")
    path = "/celeste.image.v1.ImageService/Generate"
    return Call("grpc", path, request.SerializeToString(), LEAST_BYTES[wish.split("-", maxsplit=1)[0]])


def _http(model: str) -> Callable[[str], Call]:
    def call(wish: str) -> Call:
        body = json.dumps({"model": model, "prompt": f"{wish} a red fox", "n": 1}).encode()
        headers = {"authorization": f"Bearer {KEY}"}
        return Call("http", "/v1/images/generations", body, LEAST_BYTES[wish.split("-", maxsplit=1)[0]], headers)

    return call


def _celeste(store: str) -> Callable[[Place], Sequence[str]]:
    def command(place: Place) -> Sequence[str]:
        url = "memory:///" if store == "memory" else (place.folder / "store").as_uri()
        (place.folder / "celeste.toml").write_text(
            f'[store]\nurl = "{url}"\nmemory_bytes = {MEMORY_BYTES}\n'
            f'[providers.bench]\nkind = "compatible"\nbase_url = "{place.provider}/v1"\nallow_private = true\n'
            f'concurrency = {place.calls}\nqueue = {QUEUE}\nmodels = [{{ id = "image" }}]\n'
        )
        return [sys.executable, "-m", "celeste_image.cli.main", "serve", "--listen", f"127.0.0.1:{place.port}"]

    return command


def _minimal(place: Place) -> Sequence[str]:
    options = ["--port", str(place.port), "--provider", f"{place.provider}/v1"]
    return [sys.executable, "-m", "bench.speed.minimal", *options]


def _litellm(place: Place) -> Sequence[str]:
    """One worker, no database, no retries: what its documents call the proxy."""
    parameters = {"model": "openai/gpt-image-1", "api_base": f"{place.provider}/v1", "api_key": "key"}
    model = {"model_name": "image", "litellm_params": parameters, "model_info": {"mode": "image_generation"}}
    settings = {"litellm_settings": {"num_retries": 0}, "general_settings": {"master_key": KEY}}
    (place.folder / "config.yaml").write_text(json.dumps({"model_list": [model], **settings}))  # JSON is YAML
    options = ["--config", "config.yaml", "--host", "127.0.0.1", "--port", str(place.port)]
    return [str(LITELLM.program), *options]


def _bifrost(place: Place) -> Sequence[str]:
    openai = {
        "keys": [{"name": "bench", "value": "key", "models": ["*"], "weight": 1.0}],
        "network_config": {"base_url": place.provider, "default_request_timeout_in_seconds": 600},
        "concurrency_and_buffer_size": {"concurrency": place.calls, "buffer_size": QUEUE},
    }
    stores = {"config_store": {"enabled": False}, "logs_store": {"enabled": False}}
    client = {"drop_excess_requests": False, "enable_logging": False}
    (place.folder / "config.json").write_text(json.dumps({"client": client, "providers": {"openai": openai}, **stores}))
    options = ["-host", "127.0.0.1", "-port", str(place.port), "-app-dir", str(place.folder), "-log-level", "error"]
    return [str(BIFROST.program), *options]


def _litellm_rs(place: Place) -> Sequence[str]:
    provider = {
        "name": "bench",
        "provider_type": "openai",
        "api_key": KEY,
        "endpoint_access": "private_network",
        "base_url": f"{place.provider}/v1",
        "models": ["gpt-image-1"],
        "max_concurrent_requests": place.calls,
        "rpm": 10_000_000,
        "tpm": 1_000_000_000,
        "timeout": 300,
        "max_retries": 0,
        "enabled": True,
    }
    settings = {
        "schema_version": "1.0",
        "server": {"host": "127.0.0.1", "port": place.port, "dev_mode": True},
        "providers": [provider],
        "auth": {"enable_jwt": False, "enable_api_key": False, "allow_anonymous": True},
        "storage": {"database": {"enabled": False, "url": ""}, "redis": {"enabled": False, "url": ""}},
        "router": {},
        "rate_limit": {"enabled": False},
        "monitoring": {"metrics": {"enabled": False}, "tracing": {"enabled": False}, "health": {}},
    }
    (place.folder / "gateway.yaml").write_text(json.dumps(settings))
    return [str(LITELLM_RS.program), "--config", "gateway.yaml"]


def _storing(place: Place) -> Sequence[str]:
    return [sys.executable, "-m", "bench.speed.storing", "--port", str(place.port), "--folder", str(place.folder)]


OURS = {"PYTHONPATH": str(ROOT)}
LITELLM = Target(
    "litellm",
    "LiteLLM's proxy (Python)",
    _litellm,
    _http("image"),
    ROOT / ".venv-litellm-proxy" / "bin" / "litellm",
    {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1"},
)
BIFROST = Target(
    "bifrost",
    "Bifrost (Go)",
    _bifrost,
    _http("openai/gpt-image-1"),
    ROOT / ".venv-bifrost" / "bin" / "bifrost-http",
)
LITELLM_RS = Target(
    "litellm-rs",
    "litellm-rs (Rust)",
    _litellm_rs,
    _http("gpt-image-1"),
    ROOT / ".venv-litellm-rs" / "bin" / "gateway",
)
TARGETS = {
    target.name: target
    for target in (
        Target("minimal", "the minimal gateway, the reference", _minimal, _grpc, variables=OURS),
        Target("celeste", "Celeste, store in memory", _celeste("memory"), _grpc),
        Target("celeste-file", "Celeste, store on disk", _celeste("file"), _grpc),
        LITELLM,
        BIFROST,
        LITELLM_RS,
    )
}
STORING = Target("storing", "bare chunks with digest, file and flush", _storing, _grpc, variables=OURS)
"""No gateway: the floor under a transfer that is checked and stored."""
RUNNABLE = TARGETS | {STORING.name: STORING}
PROVIDER = Target("provider", "the fake provider itself", lambda _: (), _http("image"))
"""Asked directly, without a gateway: what the others add their latency to."""


class NotStarted(RuntimeError):
    """A gateway did not start; the message has the last line of its log."""


@dataclass
class Running:
    """A running gateway.

    Attributes:
        target: What runs.
        base: Its URL.
        pid: The root of its process tree.
        ready_seconds: From its start until it took a connection.
        log: What it wrote.
    """

    target: Target
    base: str
    pid: int
    ready_seconds: float
    log: Path

    @property
    def name(self) -> str:
        return self.target.name


def absent(names: Sequence[str]) -> dict[str, str]:
    """Returns those of the named targets that can't run here, with the reason."""
    return {name: reason for name in names if (reason := RUNNABLE[name].missing())}


@contextlib.contextmanager
def provider() -> Iterator[Running]:
    """Runs the fake provider."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [sys.executable, "-m", "bench.speed.provider", "--port", str(port)]
        with _process(PROVIDER, command, Path(folder), port, OURS) as started:
            yield started


@contextlib.contextmanager
def running(name: str, origin: str, calls: int, *, program: Sequence[str] = ()) -> Iterator[Running]:
    """Runs a gateway in front of a provider.

    Args:
        name: A key of RUNNABLE.
        origin: The provider's.
        calls: Calls that may be at the provider at a time, where the gateway has such a limit.
        program: What goes before the gateway's arguments in the place of the interpreter, to run it instrumented.

    Raises:
        NotStarted: It did not start.
    """
    target = RUNNABLE[name]
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        place = Place(Path(folder), free_port(), origin, calls)
        command = list(target.command(place))
        if program:
            command[:1] = program
        with _process(target, command, place.folder, place.port, OURS if program else {}) as started:
            yield started


@contextlib.contextmanager
def _process(
    target: Target, command: Sequence[str], folder: Path, port: int, variables: dict[str, str]
) -> Iterator[Running]:
    log = folder / "log"
    environment = os.environ | target.variables | variables
    with log.open("wb") as output:
        began = time.monotonic()
        started = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        while not _accepts(target, port):
            if started.poll() is not None or time.monotonic() - began > START_SECONDS:
                last = log.read_text(errors="replace").strip().rpartition("\n")[2]
                raise NotStarted(f"it did not start: {last[-500:]}")
            time.sleep(0.01)
        yield Running(target, f"{target.scheme}://127.0.0.1:{port}", started.pid, time.monotonic() - began, log)
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)  # the session is the process's own
            started.wait()


def _accepts(target: Target, port: int) -> bool:
    """Returns whether a server takes connections; over TLS and gRPC, whether it greets as these do."""
    try:
        with socket.create_connection(("127.0.0.1", port), 0.5):
            pass
    except OSError:
        return False
    if target.scheme == "https":
        try:
            return bool(ssl.get_server_certificate(("127.0.0.1", port), timeout=2))
        except OSError:
            return False
    if target.call("small-0").kind != "grpc":
        return True
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=2)
        except grpc.FutureTimeoutError:
            return False
    return True


def stats(origin: str) -> dict[str, int]:
    """Returns how many `requests` the provider has answered or is answering, and the `most_open` at a time."""
    place = urlsplit(origin)
    with socket.create_connection((place.hostname, place.port), 10) as connection:
        connection.sendall(b"GET /stats HTTP/1.1\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(4096)
    found: dict[str, int] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


@contextlib.contextmanager
def side_by_side(names: Sequence[str], calls: int) -> Iterator[tuple[Running, list[Running], dict[str, str]]]:
    """Runs the provider and several gateways; gives both, and the gateways that are absent with the reason.

    Raises:
        RuntimeError: No gateway started.
    """
    without = absent(names)
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(provider())
        started = []
        for name in names:
            if name not in without:
                try:
                    started.append(stack.enter_context(running(name, upstream.base, calls)))
                except NotStarted as error:
                    without[name] = str(error)
        if not started:
            raise RuntimeError(f"no gateway started: {without}")
        yield upstream, started, without


def turns(started: Sequence[Running], rounds: int, begin: int = 0) -> Iterator[Sequence[Running]]:
    """Yields the gateways in the order of each round, which begins with another one each time, first with `begin`."""
    for number in range(begin, begin + rounds):
        first = number % len(started)
        yield [*started[first:], *started[:first]]
