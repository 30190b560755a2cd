"""The canary sweep: each vendor gets a key of its own, in each of the ways; nothing that a server says or keeps has it.

Vendors are emulated and hostile: every refusal repeats the key. A server runs as operators run it, with its log at
debug, and another in this process, with the logs of all libraries and the errors as they are raised. The last part
plants leaks: a sweep that finds nothing anywhere would prove nothing.
"""

import asyncio
import base64
import json
import logging
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
import structlog
from aiohttp import web
from tests.support import pictures
from tests.support.command import CELESTE
from tests.support.leaked_keys import KeySearch, MarkedKey, real_keys_in
from tests.support.otlp import receiving
from tests.support.sample_requests import requests_for
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import CelesteError, ProviderFailed
from celeste_image.core.events import Event, Picture, Warned
from celeste_image.core.request import Generate, ImageRequest, RequestOptions
from celeste_image.emulate import EMULATED, Behavior, Emulator, FakeVendor, emulating
from celeste_image.emulate.base import Refusal
from celeste_image.providers.base import Tools
from celeste_image.providers.registry import build_providers
from celeste_image.providers.vendors.openai import PROVIDER as OPENAI
from celeste_image.telemetry import logs
from celeste_image.telemetry.logs import configure_logs
from celeste_image.v1 import ImageServiceStub, StreamRequest
from celeste_image.wire.requests import request_to_operation
from celeste_image.wire.status import error_from_trailers

in_loop = pytest.mark.asyncio(loop_scope="module")

FORMS = {"gemini": "AQ.", "bfl": "", "azure_openai": "", "compatible": ""}
"""How keys begin; as OpenAI's where nothing is said."""
FAULTS = [
    *(f"status={status}" for status in (400, 401, 402, 403, 404, 422, 500)),
    *(f"status={status} retry_after=120" for status in (429, 503)),
    *(f"answer={answer}" for answer in ("html", "list", "truncated", "reset", "cut", "redirect")),
    "moderate=prompt",
    "moderate=output",
    "image=garbage",
]
HANG = "answer=hang"
FIXTURES = Path(__file__).parents[1] / "providers/recordings"


def hostile(cls: type[FakeVendor]) -> type[FakeVendor]:
    """Returns a fake vendor that repeats the key in each of its refusals."""

    class Hostile(cls):  # type: ignore[misc, valid-type]
        told = ""

        def _key(self, request: web.Request) -> str:
            key: str = super()._key(request)
            self.told = key
            return key

        def error(self, refusal: Refusal) -> Any:
            text = f"{refusal.text}: Incorrect API key provided: {self.told} (header: Bearer {self.told})"
            return super().error(Refusal(refusal.status, text, refusal.kind, refusal.field))

    return Hostile


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    async with emulating([hostile(cls) for cls in EMULATED.values()]) as emulator:
        yield emulator


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def canaries() -> dict[str, MarkedKey]:
    return {name: MarkedKey(FORMS.get(name, "sk-")) for name in EMULATED}


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


async def streamed(sweep: KeySearch, channel: grpc.aio.Channel, request: ImageRequest, seconds: float) -> str:
    """Streams a request, looks at every message and at how it ends; returns the reason, empty when it is done."""
    message = StreamRequest(operation=request_to_operation(request))
    call: Any = ImageServiceStub(channel).Stream(message, timeout=seconds)
    try:
        async for response in call:
            sweep.look("events", response, response.SerializeToString())
    except grpc.aio.AioRpcError as failed:
        sweep.look("statuses", failed.code(), failed.details(), failed.debug_error_string())
        for _, value in failed.trailing_metadata() or ():
            sweep.look("statuses", value)
        error = error_from_trailers(failed.code(), failed.details() or "", failed.trailing_metadata())
        sweep.look("statuses", error, vars(error))
        return error.reason
    return ""


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
            command = [*CELESTE, "serve", "--listen", "127.0.0.1:0"]
            server = subprocess.Popen(  # noqa: ASYNC220
                command, env=self.environment, stdout=log, stderr=log, cwd=self.folder
            )
        try:
            yield await self._address(server)
        finally:
            server.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait, 20) == 0

    async def _address(self, server: "subprocess.Popen[bytes]") -> str:
        async with asyncio.timeout(30):
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
        return subprocess.run([*CELESTE, *arguments], env=environment, capture_output=True, cwd=self.folder, timeout=60)


@in_loop
async def test_a_server_shows_no_key_to_anybody(
    tmp_path: Path, emulator: Emulator, canaries: dict[str, MarkedKey], stack: ExitStack
) -> None:
    """A secret in every setting that can hold one: logs, spans, metrics, answers, errors and commands have none."""
    foreign, second = MarkedKey("r8_"), MarkedKey("")
    others = {name: MarkedKey() for name in ("token", "header", "second header", "store", "collector")}
    sweep = KeySearch([*canaries.values(), *others.values(), foreign, second])
    receiver = stack.enter_context(receiving())
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
    assert sweep.found == []
    assert sweep.looked.keys() == {"events", "statuses", "answers", "commands", "log", "metrics", "spans", "store"}
    assert all(sweep.looked.values())


class Listening(logging.Handler):
    """Hears what all libraries log, with their tracebacks."""

    def __init__(self, sweep: KeySearch) -> None:
        super().__init__(logging.DEBUG)
        self._sweep = sweep
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._sweep.look("libraries", self.format(record), record.args)


@pytest.fixture
def debugging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Has everything logged while the test runs, and no key hidden: nothing may try to log one."""
    monkeypatch.setattr(logs, "without_secrets", lambda text: text)
    root, level = logging.getLogger(), logging.getLogger().level
    handlers: list[logging.Handler] = []

    def debug(sweep: KeySearch) -> None:
        handlers.append(Listening(sweep))
        root.addHandler(handlers[-1])
        root.setLevel(logging.DEBUG)
        configure_logs("debug", "console")

    yield debug
    root.setLevel(level)
    for handler in handlers:
        root.removeHandler(handler)
    structlog.reset_defaults()


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
    assert sweep.found == []
    assert sweep.looked.keys() == {"objects", "events", "errors", "log", "libraries"}
    assert all(sweep.looked.values())


# The fixtures


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


# Planted leaks


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
            case "events":
                yield Warned("", f"sent with {key}")
            case "errors" | "statuses":
                try:
                    raise ValueError(key)
                except ValueError as error:
                    raise ProviderFailed("openai: no" if self.leak == "errors" else f"openai: {key}") from error
        data = pictures.plain(8, 8) + (key.encode() if self.leak == "store" else b"")
        yield Picture(data, "image/png", 8, 8)


@pytest.mark.parametrize("leak", ["", "log", "libraries", "events", "errors", "statuses", "store"])
@in_loop
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
    async with running([leaking], tools, store={"url": tmp_path.as_uri()}) as server:
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
    sweep.look_into("store", tmp_path)
    seen = {found.rpartition(" ")[2] for found in sweep.found}
    assert seen >= ({leak} if leak else set())
    assert bool(seen) == bool(leak)
