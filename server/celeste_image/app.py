"""Settings -> App; the only module that names concrete classes."""

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import structlog

from celeste_image.admission import ByteBudget
from celeste_image.config import Settings
from celeste_image.core.errors import ModelNotFound
from celeste_image.core.events import Run
from celeste_image.core.request import OutputMetadata
from celeste_image.imaging.guard import Guard, ImageLimits
from celeste_image.imaging.pixels import Pixels
from celeste_image.outbound.client import Http
from celeste_image.outbound.exchange import Limits
from celeste_image.outbound.origins import Hosts, Origin
from celeste_image.pipeline import MetadataDefaults, Routes, build_pipeline
from celeste_image.pipeline.safety.policy import SafetyPolicy
from celeste_image.providers.base import Provider, Tools
from celeste_image.providers.catalog.overlay import load_overlay
from celeste_image.providers.registry import build_providers, open_ids_of, overlay_cards
from celeste_image.sandbox.pool import WorkerPool
from celeste_image.store import ArtifactStore, open_store

__all__ = ["App", "build_app"]

PIXEL_PROCESSES = 4
"""Processes that change pixels, for all providers together. Each starts when it is needed, and has at most 2 GiB."""

log = structlog.get_logger("celeste_image.imaging.guard")


@dataclass(frozen=True, slots=True)
class App:
    """Everything that a door needs: the pipeline, the store, the models."""

    settings: Settings
    providers: Mapping[str, Provider]
    store: ArtifactStore
    guard: Guard
    routes: Routes
    run: Run
    budget: ByteBudget
    chunks: ByteBudget
    uris: Http
    decoders: WorkerPool
    pixels: Pixels
    temporary: tempfile.TemporaryDirectory[str] | None

    async def close(self) -> None:
        """Frees everything; calls at work must have ended."""
        for provider in self.providers.values():
            await provider.close()
        await self.uris.close()
        await self.decoders.close()
        await self.pixels.close()
        if self.temporary:
            self.temporary.cleanup()


def build_app(settings: Settings, extra: Collection[Provider] = (), tools: Tools | None = None) -> App:
    """Returns the App for some settings.

    Args:
        settings: The configuration.
        extra: More providers than the configuration has, for tests.
        tools: What providers work with; None means the real ones. The app closes their pixel work.

    Raises:
        ValueError: A provider's table, the safety policy or the store's address is wrong; the text says where and how.
        OSError: The store's folder can't be made.
    """
    tools = tools or Tools(Pixels("pipeline", size=PIXEL_PROCESSES))
    pixels = tools.pixels
    providers = build_providers(settings.providers, tools) | {provider.name: provider for provider in extra}
    if settings.catalog.file:
        overlay_cards(providers, load_overlay(settings.catalog.file))
    open_ids = open_ids_of(providers, settings.catalog.allow_unknown)
    routes = Routes(providers, settings.defaults, settings.aliases, open_ids)
    for kind, models in settings.defaults.items():
        for model in models:
            if model not in routes.offering(kind):
                offering = ", ".join(routes.offering(kind))
                raise ValueError(f"defaults.{kind.value}: {model!r} does not {kind.value}; these do: {offering}")
    for alias, models in settings.aliases.items():
        for model in models:
            try:
                routes.find(model)
            except ModelNotFound as error:
                raise ValueError(f"aliases.{alias}: {error.message}") from error
    policy = SafetyPolicy(settings.safety, providers, pixels)
    uris = open_uris(settings)
    images = settings.images
    decoders = WorkerPool(
        "celeste_image.imaging.guard_engine",
        size=images.decoders,
        memory_bytes=images.decoder_memory_bytes,
        cpu_seconds=images.decoder_cpu_seconds,
        on_log=lambda line: log.warning("decoder", line=line),  # not in place: structlog would format the event by it
    )
    limits = ImageLimits(
        max_bytes=images.max_bytes,
        max_pixels=images.max_pixels,
        max_side=images.max_side,
        max_text_bytes=images.max_text_bytes,
        max_profile_bytes=images.max_profile_bytes,
    )
    guard = Guard(decoders, limits)
    spool = settings.store.spool
    temporary = None
    if spool is None and settings.store.url.startswith("file:"):
        spool = Path(url2pathname(urlsplit(settings.store.url).path)) / "uploads"
    elif spool is None:
        temporary = tempfile.TemporaryDirectory(prefix="celeste-uploads-")
        spool = Path(temporary.name)
    store = open_store(
        settings.store.url,
        spool,
        options={name: value.reveal() for name, value in settings.store.options.items()},
        retention_seconds=settings.store.retention_hours * 3600,
        reserve_bytes=settings.store.reserve_bytes,
    )
    server = settings.server
    budget = ByteBudget(server.budget_bytes, server.budget_wait_seconds)
    chunks = ByteBudget(server.stream_budget_bytes, server.budget_wait_seconds)
    labels = MetadataDefaults(
        output_metadata=None if images.output_metadata is OutputMetadata.KEEP else images.output_metadata,
        embed_recipe=images.embed_recipe,
        software=f"Celeste {version('celeste-image')}",
    )
    run = build_pipeline(providers, store, guard, routes, budget, uris, pixels, labels, policy)
    return App(settings, providers, store, guard, routes, run, budget, chunks, uris, decoders, pixels, temporary)


def open_uris(settings: Settings) -> Http:
    """Returns the client that fetches what callers name by URI. Raises ValueError for an origin that is none."""
    uris = settings.uris
    schemes = frozenset({"https", "http"} if uris.http else {"https"})
    limits = Limits(exchange_seconds=uris.seconds, body_bytes=settings.images.max_bytes, exchanges=8)
    try:
        private = [Origin.of(origin) for origin in uris.private]
    except ValueError as error:
        raise ValueError(f"uris.private: {error}") from error
    return Http(Hosts(frozenset(uris.hosts), schemes), private=private, limits=limits)
