"""A real server with metrics and traces under mixed load: good calls, and each kind of failure that alerts look for.

Its vendors are emulated. Used by the tests of dashboards and alerts, and to draw the panels of docs/operate.md.
"""

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from tests.support import pictures
from tests.support.callers import bearer, key_table, new_key
from tests.support.certificates import LOOPBACK, Authority
from tests.support.command import CELESTE
from tests.support.otlp import Receiver, receiving
from tests.support.ports import free_ports
from tests.support.servers import workers
from tests.support.stores import path_of

from celeste_image.client import AsyncClient
from celeste_image.core.errors import ArtifactDamaged, CelesteError, CredentialsInvalid, EngineLost
from celeste_image.core.request import Generate
from celeste_image.emulate import EMULATED, emulating
from celeste_image.v1 import MODEL_STAGE_ENDING, ListModelsRequest, ModelServiceStub

__all__ = ["GOOD", "Watched", "watched"]

START_SECONDS = 60
GOOD = "openai/gpt-image-2"
SETTINGS = """
[safety.prompts.weapons]
action = "flag"
words = ["cannon*"]

[providers.openai]
concurrency = 2
queue = 2
pause_after = 0  # some failures are on purpose
"""


@dataclass
class Watched:
    """A running server.

    Attributes:
        metrics: Address of its endpoint, `host:port`.
        receiver: What got its traces.
        client: A client of it.
        stranger: A client whose key the server does not know.
        key: The key of the client.
        folder: Its folder, with `store` and `celeste.toml`.
        settings: The text of `celeste.toml`.
        process: Its process.
    """

    metrics: str
    receiver: Receiver
    client: AsyncClient
    stranger: AsyncClient
    key: str
    folder: Path
    settings: str
    process: asyncio.subprocess.Process

    async def call(self, prompt: str, **parameters: object) -> None:
        """Generates an image, or fails."""
        with contextlib.suppress(CelesteError):
            await self.client.generate(prompt, **parameters)  # type: ignore[arg-type]

    async def work(self) -> None:
        """Makes calls that end well."""
        await self.client.generate("a red boat", model=GOOD)
        await self.client.generate("a blue house", model="local/compose", size=(256, 256))
        await self.client.upscale(pictures.plain(32, 24), model="local/lanczos", factor=2)
        async for _ in self.client.stream(Generate(prompt="a cannon on a hill", model=GOOD)):
            pass

    async def use_ending_model(self) -> None:
        """Makes an image by a model that its vendor ends."""
        stub = ModelServiceStub(self.client.channel)
        models = (await stub.ListModels(ListModelsRequest(), metadata=bearer(self.key))).models
        ending = [model.id for model in models if model.lifecycle.stage == MODEL_STAGE_ENDING]
        model = next(model for model in ending if model.startswith("openai/gpt-image"))
        await self.client.generate("a red boat", model=model)

    async def fail(self) -> None:
        """Makes calls that end badly, each in its own way."""
        for _ in range(6):
            await self.call("a boat [emulate: status=500]", model=GOOD)
        await self.client.generate("a boat [emulate: status=429 retry_after=0 times=1]", model=GOOD)
        await self.client.generate("a boat [emulate: image=fewer]", model=GOOD, count=2)
        await self.call("a boat", model="openai/unheard-of")
        with contextlib.suppress(CredentialsInvalid):
            await self.stranger.generate("a boat", model=GOOD)
        await self.call("a boat [emulate: latency=5]", model=GOOD, timeout=1)
        crowd = [self.call("a boat [emulate: latency=0.5]", model=GOOD) for _ in range(6)]
        await asyncio.gather(*crowd)  # two slots, two that wait, two refusals

    async def kill_workers(self) -> None:
        """Kills the worker processes of a local model until its call fails."""
        call = asyncio.create_task(self.client.generate("a blue house", model="local/compose", size=(1024, 1024)))
        while not call.done():
            for pid in workers("compose", self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        with contextlib.suppress(EngineLost):
            await call

    async def damage(self) -> None:
        """Changes the bytes of an artifact and reads it."""
        # Smaller ones are in the database.
        name = (await self.client.upload(os.urandom(300_000))).name
        path = self.folder / "store" / path_of(name)
        path.chmod(0o600)
        path.write_bytes(b"other bytes")
        with contextlib.suppress(ArtifactDamaged):
            await self.client.read(name)
            raise AssertionError("damaged bytes were returned")

    async def reload(self, text: str) -> None:
        """Adds a text to the configuration and has it read again."""
        (self.folder / "celeste.toml").write_text(self.settings + text)
        self.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.5)


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    """Runs a server, an emulated vendor, and a receiver of traces."""
    with tempfile.TemporaryDirectory(prefix="watched-") as name, receiving() as receiver:
        folder = Path(name)
        port, metrics = free_ports(2)
        async with emulating([EMULATED["openai"]]) as vendors:
            table = vendors.tables["openai"]
            authority, key = Authority(folder / "authority"), new_key()
            lasts = datetime.now(UTC) + timedelta(days=90)  # no alert is due
            server = authority.issue("server", *LOOPBACK, usage="serverAuth", ends=lasts)
            tables = {
                "server.tls": {"certificate_file": str(server.certificate), "key_file": str(server.key)},
                "callers.keys.watched": key_table(key, "anonymous"),
            }
            settings = (
                "".join(f"[{name}]\n{_lines(facts)}" for name, facts in tables.items()) + SETTINGS + _lines(table)
            )
            (folder / "celeste.toml").write_text(settings)
            environment = os.environ | {
                "CELESTE_CONFIG": str(folder / "celeste.toml"),
                "CELESTE_METRICS__LISTEN": f"127.0.0.1:{metrics}",
                "CELESTE_STORE__RESERVE_BYTES": "0",
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
                "OTEL_METRICS_EXPORTER": "none",
                "OTEL_BSP_SCHEDULE_DELAY": "100",
            }
            address, ca = f"127.0.0.1:{port}", str(authority.certificate)
            async with (
                _serving(folder, address, authority.certificate.read_bytes(), environment) as process,
                AsyncClient(address, ca=ca, api_key=key) as client,
                AsyncClient(address, ca=ca, api_key=new_key()) as stranger,
            ):
                yield Watched(f"127.0.0.1:{metrics}", receiver, client, stranger, key, folder, settings, process)


def _lines(table: Mapping[str, object]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())


@contextlib.asynccontextmanager
async def _serving(
    folder: Path, address: str, ca: bytes, environment: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [*CELESTE, "serve", "--listen", address, "--store", (folder / "store").as_uri()]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        async with (
            grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca)) as channel,
            asyncio.timeout(START_SECONDS),
        ):
            await channel.channel_ready()
        yield process
    except BaseException as error:
        error.add_note(f"The log of the server:\n{(folder / 'log').read_text(errors='replace')[-4000:]}")
        raise
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
