"""Server: the gRPC listener, its start and its orderly end."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf import duration_pb2
from grpc_health.v1 import health, health_pb2_grpc

from celeste_image.app import App
from celeste_image.core.errors import CelesteError
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.databases import OpenDatabase
from celeste_image.pipeline.deliver import INLINE_MAXIMUM_BYTES
from celeste_image.pipeline.resume import resume_lost
from celeste_image.rpc.artifact_http import ArtifactHttpServicer
from celeste_image.rpc.artifacts import ArtifactServicer
from celeste_image.rpc.health import Health
from celeste_image.rpc.http2 import listen, server_options
from celeste_image.rpc.images import ImageServicer
from celeste_image.rpc.interceptors import CallInterceptor
from celeste_image.rpc.looks import Looks
from celeste_image.rpc.models import ModelServicer
from celeste_image.rpc.reflection import REFLECTION_NAMES, add_reflection
from celeste_image.rpc.tls import tls_credentials
from celeste_image.rpc.transfers import Transfers
from celeste_image.rpc.usage import UsageServicer
from celeste_image.rpc.wrappers import Room
from celeste_image.store import ArtifactStore
from celeste_image.v1 import (
    artifact_http_service_pb2_grpc,
    artifact_service_pb2_grpc,
    image_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    usage_service_pb2_grpc,
)

if TYPE_CHECKING:
    from celeste_image.rpc.admin import Admin

__all__ = ["Server"]

log = structlog.get_logger("celeste_image.server")

SERVICES = tuple(
    f"celeste.image.v1.{name}"
    for name in ("ImageService", "ArtifactService", "ArtifactHttpService", "ModelService", "UsageService")
)
TELL_SECONDS = 3.0
"""Longest wait until the calls that are cancelled at the end of a drain have told their callers."""
BEGIN_SECONDS = 0.1
"""Time in which the handlers of the last calls begin."""
FOREVER = float(1 << 30)


class Server:
    """A gRPC server for an App.

    Args:
        app: The app, which the server closes.
        sleep: Waits for a number of seconds, at the marks of the end.
    """

    def __init__(self, app: App, sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep) -> None:
        settings = app.settings.server
        self._app, self._sleep = app, sleep
        room = Room(
            app.budget, app.chunks, settings, app.callers, app.calls, tracer=app.tracer, is_observed=app.is_observed
        )
        self._running = room.running
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor(room)],
            compression=grpc.Compression.NoCompression,
            options=server_options(settings, channelz=bool(app.settings.admin.listen)),
        )
        images = ImageServicer(app.run, settings.call_seconds, room.running)
        image_service_pb2_grpc.add_ImageServiceServicer_to_server(images, self._server)
        transfers = Transfers(app.store, app.guard.limits)
        artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(ArtifactServicer(transfers), self._server)
        artifact_http_service_pb2_grpc.add_ArtifactHttpServiceServicer_to_server(
            ArtifactHttpServicer(transfers), self._server
        )
        models = ModelServicer(app.registry, _info(app))
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(models, self._server)
        usage = UsageServicer(app.database.records, app.database.operations)
        usage_service_pb2_grpc.add_UsageServiceServicer_to_server(usage, self._server)
        self.health = Health(app, SERVICES)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, self._server)
        add_reflection((*SERVICES, health.SERVICE_NAME, *REFLECTION_NAMES), self._server)
        self._tasks: list[asyncio.Task[None]] = []
        self._admin: Admin | None = None
        self._hurry = asyncio.Event()

    async def start(self, addresses: Sequence[str]) -> list[str]:
        """Listens and returns the addresses. A port 0 becomes the port that the system chose.

        Raises:
            OSError: The server cannot listen on an address.
            ValueError: The database refuses the server; the text names the setting.
        """
        _allow_files()
        bound = []
        for address in addresses:
            if address.startswith("unix:") and _is_served(address.removeprefix("unix:").removeprefix("//")):
                raise OSError(f"can't listen on {address}: another server listens there")
            bound.append(listen(address, self._add_port))
        await _begin(self._app.database)
        looks = Looks(self._app.ledger, self._resume)
        await looks.look()
        await self.health.begin()
        await self._server.start()
        sweeping = sweep_always(self._app.store, self._app.database, self._app.settings.store.sweep_minutes * 60)
        self._tasks = [asyncio.create_task(each) for each in (sweeping, looks.always(), self.health.watch())]
        for name, breaker in self._app.breakers.items():
            breaker.changed = partial(self.health.note_pause, name)
        return bound

    async def _resume(self) -> None:
        """Goes on with the requests of dead servers that a provider has jobs for. Raises StorageUnavailable."""
        if requests := self._app.database.requests:
            await resume_lost(self._app.run, requests, self._app.settings.server.call_seconds)

    def _add_port(self, address: str) -> int:
        """Returns the port. Connections over TCP are encrypted if there are certificates; a Unix socket is a file."""
        files = self._app.certificates
        if files is None or address.startswith(("unix:", "unix-abstract:")):
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, tls_credentials(files))

    def start_admin(self, address: str) -> str:
        """Starts the listener for operators, and returns its address. Call it before `start`.

        Raises:
            OSError: The server cannot listen on the address.
        """
        from celeste_image.rpc.admin import Admin  # late: few servers have one

        self._admin = Admin(self.health)
        return self._admin.start(address)

    def hurry(self) -> None:
        """Has a `stop` that is under way pass its marks at once."""
        self._hurry.set()

    async def stop(self, drain_seconds: float, notice_seconds: float = 0.0) -> None:
        """Ends the server in order, and closes the app.

        | after | what happens |
        | --- | --- |
        | 0 s | NOT_SERVING, except of the liveness; new calls are still taken |
        | `notice_seconds` | no new connection and no new call (GOAWAY); running calls go on |
        | `drain_seconds`, or once no call runs | the rest is cancelled, and fails with SERVER_UNAVAILABLE |
        | `TELL_SECONDS` later at most | the connections are closed, then the parts of the server |
        """
        notice_seconds = min(notice_seconds, drain_seconds)
        await self.health.stop()
        await self._first_of(self._sleep(notice_seconds))
        # gRPC would wait for streams of health and reflection, which may last for ever, and cut calls without a word.
        stopping = asyncio.create_task(self._server.stop(FOREVER))
        await asyncio.wait([stopping], timeout=BEGIN_SECONDS)
        await self._first_of(self._sleep(drain_seconds - notice_seconds), self._running.idle())
        if cancelled := self._running.end():
            log.warning("calls cancelled", calls=cancelled)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._running.idle(), TELL_SECONDS)
        await self._server.stop(None)
        await stopping
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.health.close()
        if self._admin:
            await asyncio.to_thread(self._admin.stop)
        await self._app.close()

    async def _first_of(self, *waiting: Coroutine[Any, Any, None]) -> None:
        """Returns once the first of these is over, or `hurry` was called."""
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(each) for each in waiting]
        tasks.append(asyncio.create_task(self._hurry.wait()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def _allow_files() -> None:
    """Raises the limit of open files as far as the system allows: a connection to a caller or a vendor is a file."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _is_served(path: str) -> bool:
    """Returns whether a server listens on a Unix socket. gRPC would take its place without an error."""
    with contextlib.suppress(OSError, AttributeError), socket.socket(socket.AF_UNIX) as probe:  # noqa: TID251
        probe.settimeout(1)
        probe.connect(path)
        return True
    return False


async def _begin(database: OpenDatabase) -> None:
    """Connects to the database. One that can't be reached is no reason not to start; one that refuses the server is."""
    try:
        await database.begin()
    except CelesteError as error:
        log.error("database not reached", error=f"{type(error).__name__}: {error}")


async def sweep_always(store: ArtifactStore, database: OpenDatabase, every_seconds: float) -> None:
    """Removes expired entries of the store and of the database periodically.

    Logs a failure and retries at the next interval.
    """
    while True:
        await asyncio.sleep(every_seconds)
        try:
            records, blobs, uploads = await store.sweep(every_seconds)
            rows = await database.sweep()
        except Exception as error:
            log.warning("sweep", error=f"{type(error).__name__}: {error}")
        else:
            if records or blobs or uploads or rows:
                log.info("sweep", artifacts=records, blobs=blobs, uploads=uploads, usage=rows)


def _info(app: App) -> model_service_pb2.GetServerInfoResponse:
    settings, limits = app.settings.server, app.guard.limits
    return model_service_pb2.GetServerInfoResponse(
        version=version("celeste-image"),
        limits=model_service_pb2.ServerLimits(
            request_bytes=settings.request_bytes,
            inline_default_bytes=settings.inline_default_bytes,
            inline_maximum_bytes=INLINE_MAXIMUM_BYTES,
            image_bytes=limits.max_bytes,
            image_pixels=limits.max_pixels,
            image_side=limits.max_side,
            media_types=IMAGE_TYPES,
            replay_time=_duration(app.database.requests.window) if app.database.requests else None,
        ),
    )


def _duration(time: timedelta) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromTimedelta(time)
    return duration
