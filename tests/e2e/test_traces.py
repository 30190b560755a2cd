"""A server as users start it, with a real receiver of OpenTelemetry's protocol and an emulated vendor."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.support.command import CELESTE
from tests.support.otlp import Receiver, receiving, tree

from celeste_image.emulate import EMULATED, emulating
from celeste_image.v1 import GenerateRequest, ImageServiceStub, StreamRequest

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
METADATA = (("traceparent", f"00-{TRACE}-{CALLER}-01"), ("tracestate", "rojo=1"))
STREAM = "celeste.image.v1.ImageService/Stream"
CANARY = "canary-7f3a91"


@contextlib.contextmanager
def serving(folder: Path, receiver: Receiver, **variables: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    address = f"unix:{folder}/s.sock"
    given = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-collector-key={CANARY}",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "studio",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    command = [*CELESTE, "serve", "--listen", address, "--store", f"file://{folder}/artifacts"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log, env=os.environ | given | variables, cwd=folder)
    try:
        health = [*CELESTE, "health", "--address", address, "--wait", "60"]
        subprocess.run(health, check=True, stdout=subprocess.DEVNULL)
        yield address, server
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def stream_of(model: str) -> StreamRequest:
    request = StreamRequest()
    request.operation.generate.CopyFrom(GenerateRequest(prompt=f"a boat {CANARY}", model=model))
    return request


async def test_a_receiver_gets_one_trace_of_a_stream_from_the_caller_to_the_vendor(tmp_path: Path) -> None:
    async with emulating([EMULATED["openai"]]) as emulator:
        table = emulator["openai"].table
        variables = {
            "CELESTE_PROVIDERS__OPENAI__BASE_URL": table["base_url"],
            "CELESTE_PROVIDERS__OPENAI__ALLOW_PRIVATE": "true",
            "CELESTE_PROVIDERS__OPENAI__KEY": f"sk-{CANARY}",
        }

        def call(receiver: Receiver) -> bytes:
            with serving(tmp_path, receiver, **variables) as (address, server):
                with grpc.insecure_channel(address) as channel:
                    for model in ("openai/gpt-image-2", "local/compose"):
                        list(ImageServiceStub(channel).Stream(stream_of(model), metadata=METADATA, timeout=120))
                return Path(f"/proc/{server.pid}/environ").read_bytes()

        with receiving() as receiver:
            environment = await asyncio.to_thread(call, receiver)  # the rest arrives when the server ends
            spans = receiver.trace(TRACE)
            resources, headers = receiver.resources, receiver.headers
        (entry,) = emulator.ledger.of("openai", "call")

    roots = [span for span in spans if span.parent_id == CALLER]
    assert [span.name for span in roots] == [STREAM, STREAM]
    vendor, local = (tree(spans, root.span_id) for root in sorted(roots, key=lambda span: span.began))
    assert set(vendor) >= {"generate openai/gpt-image-2", "store put"}
    assert "POST" in vendor["generate openai/gpt-image-2"]
    phases = local["generate local/compose"]["worker local/compose (compose)"]
    assert [name for name in phases if name != "wait"] == ["start", "run", "scene", "render", "encode"]
    (post,) = [span for span in spans if span.name == "POST"]
    assert entry.traceparent == f"00-{TRACE}-{post.span_id}-01"
    assert ({"service.name": "studio", "deployment.environment.name": "test"}.items()) <= resources[0].items()
    assert headers[0]["x-collector-key"] == CANARY
    assert CANARY not in repr(spans) + repr(resources)
    assert CANARY.encode() not in environment + (tmp_path / "log").read_bytes()


def test_a_collector_that_is_absent_delays_no_call_and_no_end(tmp_path: Path) -> None:
    with receiving() as receiver:
        pass  # its port is free now
    with serving(tmp_path, receiver) as (address, server), grpc.insecure_channel(address) as channel:
        list(ImageServiceStub(channel).Stream(stream_of("local/compose"), timeout=60))
    assert server.returncode == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), ("OTEL_TRACES_EXPORTER", "jaeger")],
)
def test_what_is_not_there_is_refused_at_the_start(tmp_path: Path, name: str, value: str) -> None:
    given = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", name: value}
    answer = subprocess.run(
        [*CELESTE, "serve", "--listen", "127.0.0.1:0"], env=given, cwd=tmp_path, capture_output=True, timeout=60
    )
    assert answer.returncode == 2
    assert f"{name}: there is no" in answer.stderr.decode()
