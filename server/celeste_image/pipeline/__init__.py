"""The pipeline of a request: one step a file, put together here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

from celeste_image.admission import Breaker, ByteBudget, Slots
from celeste_image.core.events import CandidateRun, Run
from celeste_image.imaging.pixels import Pixels
from celeste_image.ledger import Ledger, Operations, Requests, Results
from celeste_image.pipeline.authorize import authorizing
from celeste_image.pipeline.cache import caching
from celeste_image.pipeline.cache_key import policy_hash
from celeste_image.pipeline.charge import charging_refusals
from celeste_image.pipeline.complete import completing
from celeste_image.pipeline.deliver import delivering
from celeste_image.pipeline.enter import entering
from celeste_image.pipeline.fidelity.fit import fitting
from celeste_image.pipeline.limit import limiting
from celeste_image.pipeline.load import ImagesIn, loading
from celeste_image.pipeline.metadata import MetadataDefaults, writing_metadata
from celeste_image.pipeline.observe import observing, observing_provider, observing_wait
from celeste_image.pipeline.pause import pausing
from celeste_image.pipeline.pixel_lock import pixel_locking
from celeste_image.pipeline.replay import replaying
from celeste_image.pipeline.retry import RetryPolicy, retrying
from celeste_image.pipeline.route import may_cost, routing
from celeste_image.pipeline.safety.policy import SafetyPolicy
from celeste_image.pipeline.safety.steps import checking_inputs, checking_outputs, checking_prompts
from celeste_image.pipeline.save import saving
from celeste_image.pipeline.spend import spending
from celeste_image.pipeline.split import splitting
from celeste_image.providers.base import Provider, SortsWork
from celeste_image.providers.registry import Registry
from celeste_image.store import ArtifactStore

__all__ = ["ImagesIn", "MetadataDefaults", "Parts", "build_pipeline", "policy_hash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts that the pipeline is built from.

    Attributes:
        registry: The providers and models.
        slots: The slots of each provider, by its name.
        breakers: Pauses each provider that keeps failing, by its name.
        images_in: Reads the images of requests.
        store: Keeps the images that are made.
        ledger: Has each paid call.
        requests: Has the outcome of each request that its caller may repeat; None if no outcomes are kept.
        operations: Counts each operation that ended.
        results: The cached results; None without a cache.
        policy: Digest of the settings that change results; see `policy_hash`.
        without_cache: Tenants whose results are never cached.
        memory: Counts the bytes that calls hold.
        pixels: Works on the pixels and the metadata of images.
        safety: The operator's safety policy.
        metadata: The operator's choices about the metadata of images.
        inline_default_bytes: Image bytes inside an answer, if the request sets no limit.
        knows_callers: Whether callers are told apart. If not, all artifacts are of one tenant.
        logs_prompts: Whether the log has the texts of requests, and the digests of images.
        is_observed: Whether traces or metrics are on.
        knows_deadlines: Whether calls are refused that can't end in time.
    """

    registry: Registry
    slots: Mapping[str, Slots]
    breakers: Mapping[str, Breaker]
    images_in: ImagesIn
    store: ArtifactStore
    ledger: Ledger
    requests: Requests | None
    operations: Operations
    results: Results | None
    policy: bytes
    without_cache: Collection[str]
    memory: ByteBudget
    pixels: Pixels
    safety: SafetyPolicy
    metadata: MetadataDefaults
    inline_default_bytes: int
    knows_callers: bool = False
    logs_prompts: bool = False
    is_observed: bool = False
    knows_deadlines: bool = True


def build_pipeline(parts: Parts) -> Run:
    """Returns the road of a request. Innermost first; callers call the last line."""
    roads = {name: _road_to(provider, parts) for name, provider in parts.registry.providers.items()}
    run = routing(roads, parts.registry)  # Call -> Candidate: a model, and the next one if nothing was done
    if parts.results:  # an equal request gets the result of the first one
        run = caching(run, parts.results, parts.registry, parts.store, parts.policy, except_tenants=parts.without_cache)
    run = checking_inputs(run, parts.safety)  # a blocked input never reaches a model
    run = loading(run, parts.images_in)  # names and URIs -> bytes with facts
    run = entering(run, parts.registry, parts.slots, knows_deadlines=parts.knows_deadlines)  # no load in vain
    if parts.requests:  # a repeated request id gets its first outcome
        run = replaying(run, parts.requests, partial(may_cost, registry=parts.registry))
    run = checking_prompts(run, parts.safety)  # before anything is fetched
    if parts.knows_callers:
        run = authorizing(run, parts.store)  # nobody uses another tenant's images
    count = parts.operations.add
    run = completing(run, logs_prompts=parts.logs_prompts, count=count)  # one result, one log line, also for refusals
    if parts.is_observed:
        run = observing(run, parts.registry.cards)  # events -> span events and metrics
    return delivering(run, parts.store, parts.memory, parts.inline_default_bytes)  # bytes that go inside the answer


def _road_to(provider: Provider, parts: Parts) -> CandidateRun:
    """Returns the road of a candidate to its provider."""
    settings, pixels = provider.settings, parts.pixels.of(provider.name)
    sorts = provider if isinstance(provider, SortsWork) else None
    slots, small = parts.slots[provider.name], sorts.is_small if sorts else None
    run = observing_provider(provider, parts.registry.cards) if parts.is_observed else provider.run
    run = charging_refusals(run)  # whether a refusal has to be paid, by the card
    run = pixel_locking(run, pixels)  # pixels outside a mask stay as they were
    run = checking_outputs(run, parts.safety)  # a blocked image is never stored
    run = writing_metadata(run, pixels, parts.metadata.software)  # metadata removed, or the recipe written
    run = saving(run, parts.store, parts.memory)  # bytes -> digest
    # a row before each paid call, settled with its cost after it
    run = spending(run, parts.ledger, parts.registry.cards)
    # no slot while waiting to retry
    limit = partial(limiting, slots=slots, is_small=small, knows_deadlines=parts.knows_deadlines)
    run = observing_wait(run, limit, provider.name) if parts.is_observed else limit(run)
    run = retrying(run, RetryPolicy.of(settings))  # until something was saved; carries the ticket
    run = pausing(run, parts.breakers[provider.name])  # no call while the provider is down
    run = splitting(run, sorts.places if sorts else lambda _: settings.concurrency)  # `count` -> calls, side by side
    return fitting(run, provider.Options, parts.metadata)  # a concrete request, and a line for each difference
