"""The road of a request: one step per file, composed here."""

from collections.abc import Mapping

from celeste_image.admission import ByteBudget, Slots
from celeste_image.core.events import CandidateRun, Run
from celeste_image.imaging.guard import Guard
from celeste_image.imaging.pixels import Pixels
from celeste_image.outbound.client import Http
from celeste_image.pipeline.complete import completing
from celeste_image.pipeline.fidelity.fit import fitting
from celeste_image.pipeline.limit import limiting
from celeste_image.pipeline.load import loading
from celeste_image.pipeline.metadata import MetadataDefaults, writing_metadata
from celeste_image.pipeline.pixel_lock import pixel_locking
from celeste_image.pipeline.retry import RetryPolicy, retrying
from celeste_image.pipeline.route import Routes, routing
from celeste_image.pipeline.safety.policy import SafetyPolicy
from celeste_image.pipeline.safety.steps import checking_inputs, checking_outputs, checking_prompts
from celeste_image.pipeline.save import saving
from celeste_image.pipeline.split import splitting
from celeste_image.providers.base import Provider
from celeste_image.store import ArtifactStore

__all__ = ["MetadataDefaults", "Routes", "build_pipeline"]


def build_pipeline(
    providers: Mapping[str, Provider],
    store: ArtifactStore,
    guard: Guard,
    routes: Routes,
    budget: ByteBudget,
    uris: Http,
    pixels: Pixels,
    labels: MetadataDefaults,
    policy: SafetyPolicy,
) -> Run:
    """Returns the whole road of a request. Innermost first; the last line is what callers call."""
    attempt: dict[str, CandidateRun] = {}
    for name, provider in providers.items():
        road = pixel_locking(provider.run, pixels.of(name))  # outside of a mask nothing changes
        road = checking_outputs(road, policy)  # what may not be shown goes no higher
        road = writing_metadata(road, pixels.of(name), labels.software)  # metadata taken out, or written
        road = saving(road, store, budget)  # bytes -> digest
        road = limiting(road, Slots(provider.settings.concurrency, provider.settings.queue))
        road = retrying(road, RetryPolicy.of(provider.settings))  # until something was saved; carries the ticket
        road = splitting(road)  # `count` -> calls of what the model makes at once
        attempt[name] = fitting(road, provider, labels=labels)  # -> concrete, with a line for each difference
    run = routing(attempt, routes)  # -> a model
    run = checking_inputs(run, policy)  # nor reaches a model
    run = loading(run, store, guard, budget, uris)  # artifact names and URIs -> bytes and facts
    run = checking_prompts(run, policy)  # before anything is fetched
    return completing(run)  # outermost, so refusals are counted too
