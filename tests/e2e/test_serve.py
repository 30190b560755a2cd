"""The server's life: it starts or says why not, it ends when told, calls in flight first."""

import json
import os
import select
import signal
import subprocess
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support import pictures
from tests.support.command import CELESTE
from tests.support.servers import workers

from celeste_image.client import Client
from celeste_image.core.events import Completed, Progress
from celeste_image.core.image import ImageInput
from celeste_image.core.request import RequestOptions, Upscale


def start(folder: Path, **environment: str) -> tuple[subprocess.Popen[bytes], str]:
    address = f"unix:{folder}/s.sock"
    command = [*CELESTE, "serve", "--listen", address, "--store", "memory:///"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log, env=os.environ | environment)
    health = [*CELESTE, "health", "--address", address, "--wait", "30"]
    subprocess.run(health, check=True, stdout=subprocess.DEVNULL)
    return server, address


def long_upscale() -> Upscale:
    return Upscale(
        model="local/realesrgan-animevideov3",
        image=ImageInput(data=pictures.photo(200)),
        factor=8,
        options=RequestOptions(provider_options={"local": {"tile": 64}}),
    )


def test_calls_in_flight_end_before_the_server_does(tmp_path: Path) -> None:
    server, address = start(tmp_path, CELESTE_LOG__FORMAT="json")
    with Client(address) as client:
        told, done = False, False
        for event in client.stream(long_upscale()):
            if isinstance(event, Progress) and not told:
                server.send_signal(signal.SIGTERM)
                told = True
            done |= isinstance(event, Completed)
    assert told
    assert done
    assert server.wait(20) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    lines = [line for line in lines if line["event"] != "sandbox"]  # one when each engine first runs
    assert [line["event"] for line in lines] == ["serving", "stopping", "call", "rpc", "stopped"]
    assert [line["outcome"] for line in lines[2:4]] == ["OK", "OK"]


def test_health_says_not_serving_while_it_ends(tmp_path: Path) -> None:
    server, address = start(tmp_path)
    with grpc.insecure_channel(address) as channel, Client(address) as client:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        events = client.stream(long_upscale())
        assert next(event for event in events if isinstance(event, Progress))
        server.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        assert [event for event in events if isinstance(event, Completed)]
    assert server.wait(20) == 0


def test_work_that_outlasts_the_grace_is_stopped(tmp_path: Path) -> None:
    from dataclasses import replace

    from celeste_image.core.errors import CelesteError

    server, address = start(tmp_path, CELESTE_SERVER__DRAIN_SECONDS="0.1")
    with Client(address) as client:
        events = client.stream(replace(long_upscale(), factor=16.0))
        assert next(event for event in events if isinstance(event, Progress))
        assert workers("engines.realesrgan", server.pid)
        server.send_signal(signal.SIGTERM)
        with pytest.raises(CelesteError):
            list(events)
    assert server.wait(20) == 0
    assert not workers("engines.realesrgan", server.pid)


def test_engines_end_with_a_server_that_is_killed(tmp_path: Path) -> None:
    server, address = start(tmp_path)
    with Client(address) as client:
        events = client.stream(long_upscale())
        assert next(event for event in events if isinstance(event, Progress))
        (engine,) = workers("engines.realesrgan", server.pid)
        descriptor = os.pidfd_open(engine)
        server.kill()
        server.wait()
        # A pidfd is readable once its process has ended.
        readable, _, _ = select.select([descriptor], [], [], 10)
        assert readable
        os.close(descriptor)
        events.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CELESTE_SERVER__LISTENS": "x"}, "listens"),
        ({"CELESTE_SERVER__REQUEST_BYTES": "7"}, "request_bytes"),
        ({"CELESTE_PROVIDERS__LOCAL__THREADZ": "7"}, "threadz"),
        ({"CELESTE_PROVIDERS__NOBODY__KEY": "7"}, "nobody"),
        ({"CELESTE_STORE__URL": "s4://bucket"}, "s4"),
        ({"CELESTE_SERVER__LISTEN": '["127.0.0.1:99999"]'}, "the port is 0 to 65535, not '99999'"),
        ({"CELESTE_DEFAULTS": '{"generate": ["local/nothing"]}'}, "local/nothing"),
    ],
)
def test_wrong_settings_are_refused_by_name(environment: dict[str, str], words: str) -> None:
    done = subprocess.run([*CELESTE, "serve"], capture_output=True, env=os.environ | environment, timeout=30)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_an_address_in_use_is_refused(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [*CELESTE, "serve", "--listen", address, "--store", "memory:///"]
        done = subprocess.run(command, capture_output=True, timeout=30)
    assert done.returncode == 1
    assert b"in use" in done.stderr


def test_the_socket_of_a_running_server_is_not_taken(tmp_path: Path) -> None:
    import socket

    place = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(place))
        taken.listen()
        before = place.stat().st_ino
        command = [*CELESTE, "serve", "--listen", f"unix:{place}", "--store", "memory:///"]
        done = subprocess.run(command, capture_output=True, timeout=30)
        assert place.stat().st_ino == before
    assert done.returncode == 1
    assert b"another server listens there" in done.stderr
