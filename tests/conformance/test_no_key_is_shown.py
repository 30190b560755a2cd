"""The canary sweep: each vendor gets a key of its own, in each of the ways; nothing that a server says or keeps has it.

The log hides no key here: nothing may even try to write one. A short trial runs a server in this process. A longer one
runs `celeste serve` with its log at debug, and another has the logs of all libraries and the errors as they are raised.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from tests.support.command import CELESTE
from tests.support.leaked_keys import KeySearch, MarkedKey, streamed
from tests.support.otlp import Told, receiving
from tests.support.sample_requests import requests_for
from tests.support.servers import running

from celeste_image.cli.main import celeste
from celeste_image.client import AsyncClient
from celeste_image.config import load
from celeste_image.core.call import Call
from celeste_image.core.errors import CelesteError
from celeste_image.core.request import Generate, ImageRequest, RequestOptions
from celeste_image.emulate import Behavior, Emulator
from celeste_image.providers.base import Tools
from celeste_image.providers.registry import build_providers
from celeste_image.telemetry.metrics import open_metrics
from celeste_image.telemetry.tracing import Span, Tracer

in_loop = pytest.mark.asyncio(loop_scope="module")

FAULTS = [
    *(f"status={status}" for status in (400, 401, 402, 403, 404, 422, 500)),
    *(f"status={status} retry_after=120" for status in (429, 503)),
    *(f"answer={answer}" for answer in ("html", "list", "truncated", "reset", "cut", "redirect")),
    "moderate=prompt",
    "moderate=output",
    "image=garbage",
]
HANG = "answer=hang"
HIDING_NOTHING = """
from celeste_image.cli.main import main
from celeste_image.telemetry import logs

logs.without_secrets = lambda text: text
main()
"""
"""The command `celeste`, whose log hides no key."""
OTHERS = ("token", "header", "second header", "store", "collector")
"""Secrets of a server that are no vendor's key."""


def requests_of(emulator: Emulator) -> dict[str, Generate]:
    """Returns a request for each vendor."""
    made = {}
    for name, provider in build_providers(emulator.tables).items():
        if name in emulator:
            cards = [card for card in provider.cards if card.stage.value == "active"]
            first = next(r for card in cards for r in requests_for(card) if isinstance(r, Generate))
            made[name] = replace(first, options=RequestOptions(inline_limit_bytes=0))  # the store has the pictures
    return made


def planned(name: str) -> list[str]:
    """Returns what happens to the calls of a vendor, one after another; the first is well."""
    return ["", *FAULTS, *([] if name == "bfl" else ["image=fewer"]), *(["result=private"] if name == "bfl" else [])]


async def driven(sweep: KeySearch, emulator: Emulator, address: str) -> set[str]:
    """Drives each vendor through well and ill; returns the reasons met."""
    reasons = set()
    async with grpc.aio.insecure_channel(address) as channel:

        async def drive(name: str, request: ImageRequest) -> None:
            for fault in [*planned(name), HANG]:
                emulator[name].vendor.next[:] = [Behavior.parse(fault)] if fault else []
                reasons.add(await streamed(sweep, channel, request, 0.4 if fault == HANG else 10.0))

        await asyncio.gather(*(drive(name, request) for name, request in requests_of(emulator).items()))
    async with AsyncClient(address) as client:
        sweep.look("answers", [model async for model in client.models(full=True)], await client.providers())
        sweep.look("answers", await client.server_info(), await client.aliases())
    return reasons


MET = {"", "OUTCOME_UNKNOWN", "SAFETY_BLOCKED", "PROVIDER_CREDENTIALS", "PROVIDER_BILLING", "INVALID_FIELD"}
MET |= {"PROVIDER_RATE_LIMITED", "PROVIDER_UNAVAILABLE", "PROVIDER_FAILED", "MODEL_NOT_FOUND"}


class Operated:
    """A server as an operator runs it: with the vendors' keys from wherever keys may come from."""

    def __init__(
        self,
        folder: Path,
        emulator: Emulator,
        canaries: dict[str, MarkedKey],
        others: dict[str, MarkedKey],
        collector: str,
    ) -> None:
        self.folder, self.store, self.log = folder, folder / "store", folder / "log"
        tables = {name: {k: v for k, v in t.items() if k != "key"} for name, t in emulator.tables.items()}
        key = {name: canary.key for name, canary in canaries.items()}
        for name in ("bfl", "compatible"):
            (folder / name).write_text(key[name] + "\n")
        (folder / "celeste.toml").write_text(f'[providers.stability]\nkey = "{key["stability"]}"\n')
        tables["gemini"]["key"] = key["gemini"]
        tables["bfl"]["key_file"] = str(folder / "bfl")
        tables["compatible"]["key"] = f"file:{folder / 'compatible'}"
        tables["azure_openai"]["key"] = "env:A_VARIABLE"
        (folder / "token").write_text(others["token"].key)
        tables["cluster"] = {
            "kind": "kserve",
            "url": "grpcs://127.0.0.1:9",
            "token": f"file:{folder / 'token'}",
            "headers": {"x-first": others["header"].key, "x-second": "env:A_HEADER"},
            "models": [{"id": "m", "operation": "upscale", "factor": 4}],
        }
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("CELESTE_")} | {
            "CELESTE_SERVER__NOTICE_SECONDS": "0",
            "OPENAI_API_KEY": key["openai"],
            "A_VARIABLE": key["azure_openai"],
            "A_HEADER": others["second header"].key,
            "CELESTE_STORE__OPTIONS": json.dumps({"aws_secret_access_key": others["store"].key}),
            "CELESTE_METRICS__LISTEN": "127.0.0.1:0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={others['collector'].key}",
            **{f"CELESTE_PROVIDERS__{name.upper()}": json.dumps(table) for name, table in tables.items()},
            "CELESTE_CONFIG": str(folder / "celeste.toml"),
            "CELESTE_STORE__URL": self.store.as_uri(),
            "CELESTE_STORE__RESERVE_BYTES": "0",
            "CELESTE_LOG__LEVEL": "debug",
            "CELESTE_LOG__FORMAT": "json",
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        with self.log.open("wb") as log:
            command = [sys.executable, "-c", HIDING_NOTHING, "serve", "--listen", "127.0.0.1:0"]
            server = subprocess.Popen(  # noqa: ASYNC220
                command, env=self.environment, stdout=log, stderr=log, cwd=self.folder
            )
        try:
            yield await self._address(server)
        finally:
            server.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait, 60) == 0

    async def _address(self, server: "subprocess.Popen[bytes]") -> str:
        async with asyncio.timeout(120):
            while server.poll() is None:
                lines = [json.loads(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]
                for line in lines:
                    if line["event"] == "serving":
                        return str(line["addresses"][0])
                await asyncio.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def metrics(self) -> bytes:
        """Returns the page of the server's metrics."""
        lines = [json.loads(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]
        url = next(line["metrics"] for line in lines if line["event"] == "serving")
        with urllib.request.urlopen(url) as answer:
            return bytes(answer.read())

    def command(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[bytes]":
        environment = self.environment | more
        return subprocess.run(
            [*CELESTE, *arguments], env=environment, capture_output=True, cwd=self.folder, timeout=180
        )


@in_loop
async def test_no_secret_of_a_setting_is_shown(
    tmp_path: Path,
    emulator: Emulator,
    canaries: dict[str, MarkedKey],
    debugging: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The short trial: a secret in every setting that can hold one, a call that is well and two that are not."""
    others = {name: MarkedKey() for name in OTHERS}
    sweep = KeySearch([*canaries.values(), *others.values()])
    operated = Operated(tmp_path, emulator, canaries, others, "http://127.0.0.1:9")
    debugging(sweep)
    settings = load(environment=operated.environment).valid()
    given: dict[str, Any] = {name: getattr(settings, name) for name in type(settings).model_fields}
    spans: list[Span] = []
    metrics = open_metrics("127.0.0.1:0", {})
    assert metrics
    try:
        page = f"http://{await metrics.start()}/metrics"
        tools = Tools(environment=operated.environment)
        async with running(tools=tools, tracer=Tracer(spans.append), **given) as server:
            async with grpc.aio.insecure_channel(server.address) as channel:
                for name, request in requests_of(emulator).items():
                    for fault in ("", "status=401"):
                        emulator[name].vendor.next[:] = [Behavior.parse(fault)] if fault else []
                        reason = await streamed(sweep, channel, request, 60.0)
                        assert reason == ("PROVIDER_CREDENTIALS" if fault else "")
                    emulator[name].vendor.next[:] = [Behavior.parse("status=400")]
                    with pytest.raises(CelesteError) as raised:
                        async with aclosing(server.app.run(request, Call("a-call"))) as events:
                            _ = [event async for event in events]
                    sweep.look_at("errors", raised.value)
            async with aiohttp.ClientSession(trust_env=False) as session, session.get(page) as answer:
                sweep.look("metrics", await answer.read())
    finally:
        await metrics.close()
    sweep.look("spans", *map(Told.of, spans), *(span.error for span in spans))
    logged = capsys.readouterr()
    sweep.look("log", logged.out, logged.err)
    assert '"call"' in logged.err or " call " in logged.err
    for name, value in operated.environment.items():
        monkeypatch.setenv(name, value)
    wrong = f"providers.openai.kye={canaries['openai'].key}"
    for code, arguments in (
        (0, ["show"]),
        (0, ["show", "--json"]),
        (0, ["check"]),
        (2, ["check", "--set", wrong, "--set", f"log.level={others['token'].key}"]),
    ):
        assert (celeste.main(["config", *arguments], standalone_mode=False) or 0) == code
        told = capsys.readouterr()
        sweep.look("commands", told.out, told.err)
    assert not sweep.found, ", ".join(sorted(set(sweep.found)))
    places = {"events", "statuses", "errors", "commands", "log", "libraries", "metrics", "spans"}
    assert sweep.looked.keys() == places
    assert all(sweep.looked.values())


@pytest.mark.faults
@in_loop
async def test_a_server_shows_no_key_to_anybody(
    tmp_path: Path, emulator: Emulator, canaries: dict[str, MarkedKey]
) -> None:
    """The long trial: every fault of every vendor; logs, spans, metrics, answers, errors and commands have no key."""
    foreign, second = MarkedKey("r8_"), MarkedKey("")
    others = {name: MarkedKey() for name in OTHERS}
    sweep = KeySearch([*canaries.values(), *others.values(), foreign, second])
    with receiving() as receiver:
        operated = Operated(tmp_path, emulator, canaries, others, receiver.endpoint)
        async with operated.serving() as address:
            reasons = await driven(sweep, emulator, address)
            assert reasons >= MET, MET - reasons
            (tmp_path / "compatible").write_text(second.key)  # a key is replaced while the server runs
            async with grpc.aio.insecure_channel(address) as channel:
                request = requests_of(emulator)["compatible"]
                async with asyncio.timeout(10):
                    while b"key replaced" not in operated.log.read_bytes():
                        emulator["compatible"].vendor.next[:] = [Behavior(status=401)]
                        await streamed(sweep, channel, request, 5.0)
            sweep.look("metrics", await asyncio.to_thread(operated.metrics))
        receiver.wait_for(lambda: bool(receiver.spans and receiver.metrics))
    sweep.look("metrics", *receiver.metrics)
    sweep.look("spans", *receiver.spans, receiver.resources)
    assert {span.name for span in receiver.spans} >= {"celeste.image.v1.ImageService/Stream"}
    assert receiver.headers[-1]["api-key"] == others["collector"].key
    keys = {entry.key for entry in emulator.ledger.of("compatible", "call")}
    assert len(keys) == 2, "both keys were sent to the vendor"
    wrong = json.dumps({"kye": canaries["openai"].key})
    commands = [
        (4, ["a boat", "--model", "openai/gpt-image-2"], {"OPENAI_API_KEY": foreign.key}),
        (4, ["providers", "check"], {"OPENAI_API_KEY": foreign.key}),
        (2, ["serve"], {"CELESTE_PROVIDERS__OPENAI": wrong}),
        (2, ["config", "check", "--set", f"providers.openai.kye={canaries['openai'].key}"], {}),
        (0, ["config", "show"], {"OPENAI_API_KEY": foreign.key}),
    ]
    done_all = await asyncio.gather(
        *(asyncio.to_thread(operated.command, *arguments, **more) for _, arguments, more in commands)
    )
    for (code, *_), done in zip(commands, done_all, strict=True):
        assert done.returncode == code
        sweep.look("commands", done.stdout, done.stderr)
    sweep.look("log", operated.log.read_bytes())
    sweep.look_into("store", operated.store)
    assert not sweep.found, ", ".join(sorted(set(sweep.found)))
    assert sweep.looked.keys() == {"events", "statuses", "answers", "commands", "log", "metrics", "spans", "store"}
    assert all(sweep.looked.values())


@pytest.mark.faults
@in_loop
async def test_no_library_and_no_error_has_a_key(
    emulator: Emulator, canaries: dict[str, MarkedKey], debugging: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = KeySearch(list(canaries.values()))
    debugging(sweep)
    tables = {name: table | {"key": canaries[name].key} for name, table in emulator.tables.items()}
    async with running(providers=tables) as server:
        sweep.look("objects", server.app, server.app.settings.model_dump(), server.app.registry.providers)
        for name, request in requests_of(emulator).items():
            provider = server.app.registry.providers[name]
            sweep.look("objects", vars(provider), vars(provider._key), provider.settings)  # type: ignore[attr-defined]
            for fault in planned(name):
                emulator[name].vendor.next[:] = [Behavior.parse(fault)] if fault else []
                call = Call("00000000-0000-4000-8000-000000000000", deadline=time.monotonic() + 5)
                try:
                    async with aclosing(server.app.run(request, call)) as events:
                        async for event in events:
                            sweep.look("events", event)
                except CelesteError as error:
                    sweep.look_at("errors", error)
    logged = capsys.readouterr()
    sweep.look("log", logged.out, logged.err)
    assert "call" in logged.err
    assert not sweep.found, ", ".join(sorted(set(sweep.found)))
    assert sweep.looked.keys() == {"objects", "events", "errors", "log", "libraries"}
    assert all(sweep.looked.values())
