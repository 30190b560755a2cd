"""App: builds the server's parts from the settings. Composition only; no other module names concrete classes."""

import asyncio
import tempfile
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from celeste_image.admission import UNLIMITED, Breaker, Budget, ByteBudget
from celeste_image.callers import Callers
from celeste_image.certificates import CertificateFiles
from celeste_image.config import (
    ConfigurationInvalid,
    ImageSettings,
    Problem,
    Settings,
    StoreSettings,
    default_store,
)
from celeste_image.config.references import secret_of
from celeste_image.core.events import Run
from celeste_image.core.request import OutputMetadata
from celeste_image.databases import OpenDatabase, folder_of, open_database
from celeste_image.gauges import (
    watch_budgets,
    watch_cache,
    watch_certificates,
    watch_ledger,
    watch_models,
    watch_pauses,
    watch_providers,
    watch_store,
    watch_workers,
)
from celeste_image.imaging.guard import Guard, ImageLimits
from celeste_image.imaging.pixels import Pixels
from celeste_image.ledger import Ledger
from celeste_image.outbound.client import Http
from celeste_image.outbound.exchange import Limits
from celeste_image.outbound.origins import Hosts, Origin
from celeste_image.pipeline import ImagesIn, MetadataDefaults, Parts, build_pipeline, policy_hash
from celeste_image.pipeline.limit import slots_of
from celeste_image.pipeline.safety.policy import SafetyPolicy
from celeste_image.providers.base import Provider, Tools
from celeste_image.providers.registry import Registry, build_providers
from celeste_image.sandbox.pool import WorkerPool
from celeste_image.sandbox.workers import Workers
from celeste_image.store import ArtifactStore, open_store
from celeste_image.store.files import unwritable
from celeste_image.store.open import check_room, open_backend
from celeste_image.telemetry.instruments import CATEGORY
from celeste_image.telemetry.series import is_recording
from celeste_image.telemetry.tracing import Tracer

if TYPE_CHECKING:
    from celeste_image.providers.catalog.overlay import Overlay

__all__ = [
    "App",
    "build_app",
    "check_store",
    "open_certificates",
    "open_decoders",
    "open_tools",
    "open_uris",
]

store_log = structlog.get_logger("celeste_image.store")


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that a door needs.

    Attributes:
        settings: The configuration.
        registry: The providers and models.
        run: The pipeline.
        store: The artifacts.
        database: The database, with the ledger of paid calls.
        callers: Who may call.
        certificates: The server's certificate and the CAs of callers; None without TLS.
        guard: Inspects images from outside.
        decoders: The processes of the guard.
        budget: Memory that calls may hold together.
        chunks: Memory that calls with chunks of artifacts may hold together.
        calls: Open calls, in all and of each caller; None means that memory alone limits them.
        pixels: Pixels of the images that callers sent, in all and of each caller; None means no limit.
        breakers: Pauses each provider that keeps failing, by its name.
        workers: The processes of all engines.
        tracer: Makes the spans of calls; None without traces.
        closing: Frees everything, in the opposite order of opening.
    """

    settings: Settings
    registry: Registry
    run: Run
    store: ArtifactStore
    database: OpenDatabase
    callers: Callers
    certificates: CertificateFiles | None
    guard: Guard
    decoders: WorkerPool
    budget: ByteBudget
    chunks: ByteBudget
    calls: Budget | None
    pixels: Budget | None
    breakers: Mapping[str, Breaker]
    workers: Workers
    tracer: Tracer | None
    closing: AsyncExitStack

    @property
    def is_observed(self) -> bool:
        """Whether traces or metrics are on. If not, calls pass no step of theirs."""
        return self.tracer is not None or is_recording()

    @property
    def ledger(self) -> Ledger:
        """The paid calls."""
        return self.database.ledger

    def held_bytes(self) -> int:
        """Returns how many bytes calls hold now."""
        return self.budget.held_bytes + self.chunks.held_bytes

    async def close(self) -> None:
        """Frees everything; all calls must have ended."""
        await self.closing.aclose()


def build_app(
    settings: Settings, extra: Collection[Provider] = (), tools: Tools | None = None, tracer: Tracer | None = None
) -> App:
    """Returns the App for some settings.

    Args:
        settings: The configuration.
        extra: More providers than the configuration has, for tests.
        tools: What providers work with; None means the real ones. The app closes their pixel work.
        tracer: Makes the spans of calls; None without traces. The app closes it.

    Raises:
        ValueError: A setting is wrong; the text says which and how.
        OSError: The store's folder can't be made.
    """
    certificates = open_certificates(settings)
    closing = AsyncExitStack()
    if tracer:
        closing.push_async_callback(asyncio.to_thread, tracer.close)
    server = settings.server
    limits = settings.admission
    budget = ByteBudget(server.budget_bytes, server.budget_wait_seconds, asker_total=limits.caller_bytes or UNLIMITED)
    chunks = ByteBudget(server.stream_budget_bytes, server.budget_wait_seconds)

    answers = ByteBudget(wait_seconds=None, within=budget)
    tools = replace(tools or open_tools(settings), memory=answers.reserve)
    closing.push_async_callback(tools.pixels.close)
    decoders = open_decoders(settings.images, tools.workers)
    closing.push_async_callback(decoders.close)
    guard = Guard(decoders, _limits(settings.images), large=max(1, settings.images.decoders - 1))
    uris = open_uris(settings)
    closing.push_async_callback(uris.close)

    providers = build_providers(settings.providers, tools) | {provider.name: provider for provider in extra}
    for provider in providers.values():
        closing.push_async_callback(provider.close)
    registry = Registry(
        providers,
        overlay=_overlay(settings.catalog.file) if settings.catalog.file else None,
        defaults=settings.defaults,
        aliases=settings.aliases,
        allow_unknown=settings.catalog.allow_unknown,
    )
    safety = SafetyPolicy(settings.safety, registry, tools.pixels)
    store = _open_store(settings.store, closing, tools.environment)  # after what may be refused, which closes nothing
    database = open_database(settings, store.backend, tools.environment, closing)
    slots = {name: slots_of(provider) for name, provider in providers.items()}
    breakers = {
        name: Breaker(name, provider.settings.pause_after, provider.settings.pause_seconds)
        for name, provider in providers.items()
    }
    if is_recording():
        closing.callback(watch_providers(registry, slots))
        closing.callback(watch_pauses(breakers))
        closing.callback(watch_models(registry))
        closing.callback(watch_workers(tools.workers))
        closing.callback(watch_budgets({"calls": budget, "chunks": chunks}))
        closing.callback(watch_store(store))
        closing.callback(watch_ledger(database.ledger))
        if database.results:
            closing.callback(watch_cache(database.results))
        if certificates:
            closing.callback(watch_certificates(certificates))
        CATEGORY.allow([*settings.safety.prompts, *settings.safety.inputs, *settings.safety.outputs])
    pixels = _budget(limits.pixels, limits.caller_pixels, "pixels", server.budget_wait_seconds)
    metadata = _metadata(settings.images)
    parts = Parts(
        registry=registry,
        slots=slots,
        breakers=breakers,
        images_in=ImagesIn(store, guard, budget, uris, pixels),
        store=store,
        ledger=database.ledger,
        requests=database.requests,
        operations=database.operations,
        results=database.results,
        policy=policy_hash(settings.safety, metadata),
        without_cache=frozenset(settings.cache.except_tenants),
        memory=budget,
        pixels=tools.pixels,
        safety=safety,
        metadata=metadata,
        inline_default_bytes=server.inline_default_bytes,
        knows_callers=settings.callers.are_known,
        logs_prompts=settings.log.prompts,
        is_observed=tracer is not None or is_recording(),
        knows_deadlines=limits.deadlines,
    )
    return App(
        settings=settings,
        registry=registry,
        run=build_pipeline(parts),
        store=store,
        database=database,
        callers=Callers(settings.callers),
        certificates=certificates,
        guard=guard,
        decoders=decoders,
        budget=budget,
        chunks=chunks,
        calls=_budget(limits.calls, limits.caller_calls, "calls"),
        pixels=pixels,
        breakers=breakers,
        workers=tools.workers,
        tracer=tracer,
        closing=closing,
    )


def _budget(total: int, of_caller: int, unit: str, wait_seconds: float = 0.0) -> Budget | None:
    """Returns a budget of two limits, of which 0 means none; None without both."""
    if not total and not of_caller:
        return None
    return Budget(total or UNLIMITED, wait_seconds, asker_total=of_caller or UNLIMITED, unit=unit)


def _overlay(file: Path) -> "Overlay":
    from celeste_image.providers.catalog.overlay import load_overlay  # late: few operators have one

    return load_overlay(file)


def _open_store(settings: StoreSettings, closing: AsyncExitStack, environment: Mapping[str, str]) -> ArtifactStore:
    """Returns the store. `closing` removes its temporary folders.

    Raises:
        ValueError: The place that the settings name can't be used.
    """
    url, spool = _places(settings, closing)
    try:
        store = open_store(
            url,
            spool,
            options=_options(settings, environment),
            retention_seconds=settings.retention_hours * 3600,
            reserve_bytes=settings.reserve_bytes,
            memory_bytes=settings.memory_bytes,
        )
    except OSError as error:
        place = Path(error.filename or url)
        of_spool = settings.spool and settings.spool.is_relative_to(place) and not folder_of(url).is_relative_to(place)
        key = "store.spool" if of_spool else "store.url"
        raise ValueError(f"{key}: {place} can't be made: {error.strerror}") from error
    closing.push_async_callback(store.close)
    return store


def check_store(settings: StoreSettings, environment: Mapping[str, str]) -> None:
    """Raises ValueError for settings that name no store; no folder is made."""
    options = _options(settings, environment)
    check_room(settings.url, settings.memory_bytes, settings.reserve_bytes)
    if settings.url and not settings.url.startswith("file:"):
        open_backend(settings.url, options)


def _options(settings: StoreSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the options as text. Raises ConfigurationInvalid for references to secrets that lead nowhere."""
    options, problems = {}, []
    for name, value in settings.options.items():
        try:
            options[name] = secret_of(value, environment).reveal()
        except ValueError as error:
            problems.append(Problem(("store", "options", name), str(error)))
    if problems:
        raise ConfigurationInvalid(problems)
    return options


def _places(settings: StoreSettings, closing: AsyncExitStack) -> tuple[str, Path | None]:
    """Returns the URL of the store and the folder of its unfinished uploads; None if they are in memory, too.

    If the default place can't be written, the store is a temporary folder, and the log says so. Unfinished uploads to
    S3 are in a temporary folder.
    """

    def temporary(kind: str) -> Path:
        try:
            return Path(closing.enter_context(tempfile.TemporaryDirectory(prefix=f"celeste-{kind}-")))
        except OSError as error:
            text = f"no temporary folder can be written: {error.strerror}; set store.url to a folder, or TMPDIR"
            raise ValueError(text) from error

    url, why = settings.url, ""
    if not url:
        why = "there is no home folder"
    elif url == default_store():
        why = unwritable(folder_of(url)) or unwritable(folder_of(url) / "uploads")
    if why:
        url = temporary("store").as_uri()
        store_log.warning(
            "artifacts are in a temporary folder, and gone when the server ends; set store.url to keep them",
            default=settings.url,
            why=why,
        )
    spool = settings.spool
    if spool is None and url.startswith("file:"):
        spool = folder_of(url) / "uploads"
    elif spool is None and url.startswith("s3:"):
        spool = temporary("uploads")
    if url.startswith("s3:"):
        store_log.info(
            "unfinished uploads are on this server only; other servers of the store have their own: see docs/rest.md",
            spool=str(spool),
        )
    return url, spool


def open_certificates(settings: Settings) -> CertificateFiles | None:
    """Returns the certificates of the server; None without TLS. Raises ValueError if they can't be used."""
    return CertificateFiles(settings.server.tls) if settings.server.tls.is_on else None


def open_tools(settings: Settings) -> Tools:
    """Returns what the providers of a server work with."""
    workers = Workers(settings.sandbox.required)
    images = settings.images
    pixels = Pixels(
        "pipeline",
        size=images.decoders,
        seconds=images.decoder_seconds,
        limits=_limits(images),
        decode_outputs=images.decode_outputs,
        workers=workers,
    )
    return Tools(pixels, workers=workers)


def open_decoders(images: ImageSettings, workers: Workers) -> WorkerPool:
    """Returns the processes that first see foreign images."""
    return workers.pool(
        "guard",
        "celeste_image.imaging.guard_engine",
        size=images.decoders,
        memory_bytes=images.decoder_memory_bytes,
        cpu_seconds=images.decoder_cpu_seconds,
        seconds=images.decoder_seconds,
    )


def _limits(images: ImageSettings) -> ImageLimits:
    return ImageLimits(
        max_bytes=images.max_bytes,
        max_pixels=images.max_pixels,
        max_side=images.max_side,
        max_text_bytes=images.max_text_bytes,
        max_profile_bytes=images.max_profile_bytes,
    )


def _metadata(images: ImageSettings) -> MetadataDefaults:
    return MetadataDefaults(
        output_metadata=None if images.output_metadata is OutputMetadata.KEEP else images.output_metadata,
        embed_recipe=images.embed_recipe,
        software=f"Celeste {version('celeste-image')}",
    )


def open_uris(settings: Settings) -> Http:
    """Returns the client that fetches the URIs of requests. Raises ConfigurationInvalid for invalid origins."""
    uris = settings.uris
    schemes = frozenset({"https", "http"} if uris.http else {"https"})
    limits = Limits(exchange_seconds=uris.seconds, body_bytes=settings.images.max_bytes, exchanges=8)
    private, problems = [], []
    for index, origin in enumerate(uris.private):
        try:
            private.append(Origin.of(origin))
        except ValueError as error:
            problems.append(Problem(("uris", "private", str(index)), str(error)))
    if problems:
        raise ConfigurationInvalid(problems)
    return Http(Hosts(frozenset(uris.hosts), schemes), private=private, limits=limits)
