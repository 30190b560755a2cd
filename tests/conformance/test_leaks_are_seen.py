"""Planted leaks: a sweep that finds nothing anywhere would prove nothing. And no recording has a real key."""

import base64
import json
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from tests.support import pictures
from tests.support.leaked_keys import KeySearch, MarkedKey, real_keys_in, streamed
from tests.support.otlp import Told
from tests.support.servers import running

from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import CelesteError, ProviderFailed
from celeste_image.core.events import Event, Picture, Warned
from celeste_image.core.request import Generate, ImageRequest
from celeste_image.providers.base import Tools
from celeste_image.providers.vendors.openai import PROVIDER as OPENAI
from celeste_image.telemetry.tracing import Span, Tracer, child

FIXTURES = Path(__file__).parents[1] / "providers/recordings"


def test_no_recording_has_a_real_key() -> None:
    files = [path for path in FIXTURES.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert {str(path): found for path in files if (found := real_keys_in(path.read_bytes()))} == {}


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-" + "aB3_" * 20,
        "sk-" + "a1" * 24,
        "AIza" + "b" * 35,
        "r8_" + "c" * 37,
        "hf_" + "d" * 34,
        "xai-" + "e" * 80,
        "AKIA" + "A2" * 8,
        "sk-ant-" + "api03-" * 5,
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_a_real_key_would_be_seen(key: str) -> None:
    assert real_keys_in(json.dumps({"headers": {"authorization": f"Bearer {key}"}}).encode())


@pytest.mark.parametrize(
    "written",
    [
        lambda key: f"Authorization: Bearer {key}",
        lambda key: {"a": [key]},
        lambda key: key.encode()[:20],
        lambda key: key[-16:].upper(),
        lambda key: base64.b64encode(key.encode()),
        lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
        lambda key: base64.urlsafe_b64encode(f"user:{key}:x".encode()),
        lambda key: key.encode().hex(),
        lambda key: ValueError("no", key),
    ],
)
@pytest.mark.parametrize("before", ["sk-", "", "AQ."])
def test_a_leak_is_seen_however_it_is_written(written: Any, before: str) -> None:
    canary = MarkedKey(before)
    sweep = KeySearch([MarkedKey(), canary])
    sweep.look("here", written(canary.key))
    assert set(sweep.found) == {"canary 1 in here"}


def test_nothing_is_seen_where_nothing_is() -> None:
    sweep = KeySearch([MarkedKey() for _ in range(20)])
    sweep.look("here", MarkedKey().key, os.urandom(1 << 20), base64.b64encode(os.urandom(1 << 20)))
    assert sweep.found == []


class Leaking(OPENAI):
    """A vendor of ours with a leak."""

    leak = ""

    async def run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        key = self.secrets[0].value.reveal()
        match self.leak:
            case "log":
                structlog.get_logger("leak").debug("sent", header=key)
            case "libraries":
                logging.getLogger("httpcore.leak").debug("headers=%r", {"authorization": key})
            case "spans":
                with child("leak", {"key": key}):
                    pass
            case "events":
                yield Warned("", f"sent with {key}")
            case "errors" | "statuses":
                try:
                    raise ValueError(key)
                except ValueError as error:
                    raise ProviderFailed("openai: no" if self.leak == "errors" else f"openai: {key}") from error
        data = pictures.plain(8, 8) + (key.encode() if self.leak == "store" else b"")
        yield Picture(data, "image/png", 8, 8)


@pytest.mark.parametrize("leak", ["", "log", "libraries", "spans", "events", "errors", "statuses", "store"])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_leak_is_seen_wherever_it_is(
    leak: str, tmp_path: Path, debugging: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = MarkedKey()
    sweep = KeySearch([canary])
    debugging(sweep)
    tools = Tools(environment={})
    leaking = Leaking(Leaking.Settings(key=canary.key), tools)  # type: ignore[arg-type]
    leaking.leak = leak
    request = Generate(model="openai/gpt-image-2", prompt="a boat")
    spans: list[Span] = []
    async with running([leaking], tools, Tracer(spans.append), store={"url": tmp_path.as_uri()}) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            await streamed(sweep, channel, request, 5.0)
        try:
            async with aclosing(server.app.run(request, Call("a-call"))) as events:
                async for event in events:
                    sweep.look("events", event)
        except CelesteError as error:
            sweep.look_at("errors", error)
    logged = capsys.readouterr()
    sweep.look("log", logged.out, logged.err)
    sweep.look("spans", *map(Told.of, spans))
    sweep.look_into("store", tmp_path)
    seen = {found.rpartition(" ")[2] for found in sweep.found}
    assert seen >= ({leak} if leak else set())
    assert bool(seen) == bool(leak)
