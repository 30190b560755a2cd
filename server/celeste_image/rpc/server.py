"""Server: the gRPC listener, with the limits that gRPC leaves open by default."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from celeste_image.app import App
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.pipeline.deliver import INLINE_MAXIMUM_BYTES
from celeste_image.rpc.artifact_http import ArtifactHttpServicer
from celeste_image.rpc.artifacts import ArtifactServicer
from celeste_image.rpc.images import ImageServicer
from celeste_image.rpc.interceptors import CallInterceptor
from celeste_image.rpc.models import ModelServicer
from celeste_image.rpc.reflection import REFLECTION_NAMES, add_reflection
from celeste_image.rpc.tls import tls_credentials
from celeste_image.rpc.transfers import Transfers
from celeste_image.rpc.wrappers import Room
from celeste_image.store import ArtifactStore
from celeste_image.v1 import (
    artifact_http_service_pb2_grpc,
    artifact_service_pb2_grpc,
    image_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)

__all__ = ["Server"]

log = structlog.get_logger("celeste_image.server")

SERVICES = tuple(
    f"celeste.image.v1.{name}" for name in ("ImageService", "ArtifactService", "ArtifactHttpService", "ModelService")
)
PENDING_CALLS, PENDING_SECONDS = 1 << 20, 1 << 20
"""Calls that gRPC keeps until this server takes them, and how long. Practically no limits: by default gRPC cancels some
of more than 1,000 calls, and all that are older than 30 s, without a word to the caller or in the log. The queues and
budgets of this server refuse calls, with both."""
GOAWAY_SECONDS = 1.0
"""Time between NOT_SERVING and the refusal of new calls, for load balancers to notice."""


class Server:
    """A gRPC server for an App."""

    def __init__(self, app: App) -> None:
        settings = app.settings.server
        self._app = app
        room = Room(
            app.budget, app.chunks, settings, app.callers, app.calls, tracer=app.tracer, is_observed=app.is_observed
        )
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor(room)],
            compression=grpc.Compression.NoCompression,
            options=[
                ("grpc.max_receive_message_length", settings.request_bytes),
                ("grpc.max_concurrent_streams", settings.concurrent_streams),
                ("grpc.server.max_pending_requests", PENDING_CALLS),
                ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS),
                ("grpc.server_max_unrequested_time_in_server", PENDING_SECONDS),
                ("grpc.max_metadata_size", 8 << 10),
                ("grpc.absolute_max_metadata_size", 16 << 10),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.http2.max_ping_strikes", 2),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.max_connection_idle_ms", 60_000),
                ("grpc.server_handshake_timeout_ms", 5_000),
                # BDP probing grows the windows until whole requests arrive before a handler can refuse them.
                ("grpc.http2.bdp_probe", 0),
                ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake and fails
            ],
        )
        images = ImageServicer(app.run, settings.call_seconds)
        image_service_pb2_grpc.add_ImageServiceServicer_to_server(images, self._server)
        transfers = Transfers(app.store, app.guard.limits)
        artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(ArtifactServicer(transfers), self._server)
        artifact_http_service_pb2_grpc.add_ArtifactHttpServiceServicer_to_server(
            ArtifactHttpServicer(transfers), self._server
        )
        models = ModelServicer(app.registry, _info(app))
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(models, self._server)
        self._sweeping: asyncio.Task[None] | None = None
        self._showing: set[asyncio.Task[None]] = set()
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        add_reflection((*SERVICES, health.SERVICE_NAME, *REFLECTION_NAMES), self._server)

    async def start(self, addresses: Sequence[str]) -> list[str]:
        """Listens and returns the addresses. A port 0 becomes the port that the system chose.

        Raises:
            OSError: The server cannot listen on an address.
        """
        _allow_files()
        bound = []
        for address in addresses:
            if address.startswith("unix:") and _is_served(address.removeprefix("unix:").removeprefix("//")):
                raise OSError(f"can't listen on {address}: another server listens there")
            try:
                port = self._listen(address)
            except RuntimeError as error:
                why = "it is in use, is not of this machine, or this user may not listen there"
                raise OSError(f"can't listen on {address}: {why}") from error
            bound.append(address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}")
        await self._server.start()
        self._sweeping = asyncio.create_task(sweep_always(self._app.store, self._app.settings.store.sweep_minutes * 60))
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        for name in self._app.registry.providers:
            usable = self._app.registry.configured(name)
            status = health_pb2.HealthCheckResponse.SERVING if usable else health_pb2.HealthCheckResponse.NOT_SERVING
            await self._health.set(f"providers/{name}", status)
        for name, breaker in self._app.breakers.items():
            breaker.changed = partial(self._show_pause, name)
        return bound

    def _show_pause(self, provider: str, seconds: float) -> None:
        """Shows in the provider's health that it is paused for some seconds; 0 means that it works again."""
        loop = asyncio.get_running_loop()
        status = health_pb2.HealthCheckResponse.NOT_SERVING if seconds else health_pb2.HealthCheckResponse.SERVING
        task = loop.create_task(self._health.set(f"providers/{provider}", status))
        self._showing.add(task)
        task.add_done_callback(self._showing.discard)
        if seconds:
            log.warning("provider paused", provider=provider, seconds=seconds)
            loop.call_later(seconds, self._show_end_of_pause, provider)
        else:
            log.info("provider tried again", provider=provider)

    def _show_end_of_pause(self, provider: str) -> None:
        if not self._app.breakers[provider].left_seconds:
            self._show_pause(provider, 0.0)

    def _listen(self, address: str) -> int:
        """Returns the port. Connections over TCP are encrypted if there are certificates; a Unix socket is a file."""
        files = self._app.certificates
        if files is None or address.startswith(("unix:", "unix-abstract:")):
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, tls_credentials(files))

    async def stop(self, grace_seconds: float) -> None:
        """Reports NOT_SERVING, waits up to the grace period for running calls, cancels the rest, and closes the app."""
        await self._health.enter_graceful_shutdown()
        if grace_seconds:
            await asyncio.sleep(min(GOAWAY_SECONDS, grace_seconds))
        await self._server.stop(grace_seconds)
        if self._sweeping:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._app.close()


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


async def sweep_always(store: ArtifactStore, every_seconds: float) -> None:
    """Removes expired entries of the store periodically. Logs a failure and retries at the next interval."""
    while True:
        await asyncio.sleep(every_seconds)
        try:
            records, blobs, uploads = await store.sweep(every_seconds)
        except Exception as error:
            log.warning("sweep", error=f"{type(error).__name__}: {error}")
        else:
            if records or blobs or uploads:
                log.info("sweep", artifacts=records, blobs=blobs, uploads=uploads)


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
        ),
    )
