"""Observing: turns the events of operations into events of their spans and into metrics.

No other step knows of traces or metrics. A road that nobody watches is built without these steps.
"""

import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing

from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import reason_of
from celeste_image.core.events import (
    Analyzed,
    CandidateRun,
    Completed,
    Event,
    Fidelity,
    ImageFailed,
    Queued,
    Retrying,
    Reused,
    Run,
    SafetyJudged,
    Saved,
    Started,
    Submitted,
    Warned,
)
from celeste_image.core.fidelity import FidelityOutcome
from celeste_image.core.request import ImageRequest
from celeste_image.providers.base import Provider
from celeste_image.telemetry.instruments import (
    IMAGE_PIXELS,
    IMAGE_SIZE,
    IMAGES,
    IMAGES_FAILED,
    PROVIDER_DURATION,
    PROVIDER_RETRIES,
    PROVIDER_WAIT,
    RESULTS,
    SAFETY_VERDICTS,
)
from celeste_image.telemetry.series import OTHER
from celeste_image.telemetry.tracing import CLIENT, Value, attached, child, current

__all__ = ["observing", "observing_provider", "observing_wait"]

NANO = 1e-9
AS_ASKED = (FidelityOutcome.HONORED, FidelityOutcome.DEFAULTED)


def observing(run: Run, models: Collection[str]) -> Run:
    """Adds the events of an operation to the current span, and counts them.

    The images and verdicts of an earlier result were counted when it was made.

    Args:
        run: The rest of the pipeline.
        models: Ids of the models in the catalog. A caller may choose any other id, so those are shown as `_OTHER`.
    """

    async def observed(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        span, operation = current(), request.kind.value
        if span:
            span.set("celeste.request_id", call.request_id)
            span.set("gen_ai.operation.name", operation)
        provider, model, reused = "", OTHER, False
        async with aclosing(run(request, call)) as events:
            async for event in events:
                match event:
                    case Reused():
                        reused = True
                    case Completed(result=result):
                        RESULTS.add(1, operation, result.source)
                    case _ if reused:
                        pass
                    case Started():
                        provider, model = event.provider, _known(event.model, models)
                    case Saved(image=image):
                        IMAGES.add(1, operation, provider, model)
                        IMAGE_PIXELS.add(image.width * image.height, operation, provider, model)
                        IMAGE_SIZE.add(image.size_bytes, operation, provider, model)
                    case ImageFailed():
                        IMAGES_FAILED.add(1, provider, event.error.reason)
                    case Retrying():
                        PROVIDER_RETRIES.add(1, provider, event.reason)
                    case SafetyJudged(verdict=verdict):
                        SAFETY_VERDICTS.add(1, verdict.stage, verdict.category, verdict.action)
                if span and (told := _told(event, model)):
                    span.event(*told)
                yield event

    return observed


def observing_wait(run: CandidateRun, limit: Callable[[CandidateRun], CandidateRun], provider: str) -> CandidateRun:
    """Measures the time until a call has its slot.

    Args:
        run: The rest of the pipeline.
        limit: Puts the step `limiting` around a run. It starts the run when there is a slot.
        provider: Name of the provider.
    """

    def asked(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        began = time.monotonic_ns()

        def admitted(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
            ended = time.monotonic_ns()
            PROVIDER_WAIT.record((ended - began) * NANO, provider)
            if span := current():
                span.waited("wait", began, ended, {"gen_ai.provider.name": provider})
            return run(request, candidate)

        return limit(admitted)(request, candidate)

    return asked


def observing_provider(provider: Provider, models: Collection[str]) -> CandidateRun:
    """Measures each try at a provider, and makes it a span.

    The measured time is the provider's own. While a step above works, or the caller does not read, no time counts.
    """
    name = provider.name

    async def tried(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        operation, model = request.kind.value, _known(candidate.card.id, models)
        facts: dict[str, Value] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": name,
            "gen_ai.request.model": model,
        }
        spent, failure = 0, ""
        with child(f"{operation} {model}", facts, CLIENT) as span:
            try:
                async with aclosing(provider.run(request, candidate)) as events:
                    while True:
                        began = time.monotonic_ns()
                        try:
                            with attached(span):
                                event = await anext(events)
                        except StopAsyncIteration:
                            break
                        finally:
                            spent += time.monotonic_ns() - began
                        if span and isinstance(event, Submitted):
                            span.event("submitted")
                        yield event
            except BaseException as error:
                failure = reason_of(error)
                raise
            finally:
                with attached(span):
                    PROVIDER_DURATION.record(spent * NANO, operation, name, model, failure)

    return tried


def _known(model: str, models: Collection[str]) -> str:
    return model if model in models else OTHER


def _told(event: Event, model: str) -> tuple[str, dict[str, Value]] | None:
    """Returns the name and the attributes of a span's event; None for an event that a trace has no use for.

    No text of a caller or a vendor is among them.
    """
    match event:
        case Queued():
            return "queued", {"celeste.position": event.position}
        case Started():
            facts: dict[str, Value] = {"gen_ai.provider.name": event.provider, "gen_ai.request.model": model}
            return "started", facts | {"celeste.candidate": event.candidate}
        case Retrying():
            after: Value = round(event.after_seconds, 3)
            return "retrying", {"error.type": event.reason, "celeste.after": after, "celeste.try": event.next_try}
        case Fidelity(line=line) if line.outcome not in AS_ASKED:
            return "fidelity", {"celeste.outcome": line.outcome.value}
        case Warned():
            return "warned", {}
        case Saved(image=image):
            made: dict[str, Value] = {"celeste.index": image.index, "celeste.media_type": image.media_type}
            return "saved", made | {
                "celeste.width": image.width,
                "celeste.height": image.height,
                "celeste.size": image.size_bytes,
            }
        case ImageFailed():
            return "image failed", {"celeste.index": event.index, "error.type": event.error.reason}
        case Analyzed():
            return "analyzed", {}
        case Reused():
            return "reused", {"celeste.source": event.source.value}
        case SafetyJudged(verdict=verdict):
            judged: dict[str, Value] = {"celeste.stage": verdict.stage.value, "celeste.category": verdict.category}
            return "safety judged", judged | {"celeste.action": verdict.action.value}
    return None
