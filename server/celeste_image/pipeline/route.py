"""Routing: chooses the models that may do a request, and tries them in order until one has done something."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace

import structlog

from celeste_image.core.call import Call, Candidate, EarlierCall
from celeste_image.core.card import ChoiceRange, ModelCard, ModelEvidence, ModelStage
from celeste_image.core.errors import (
    CelesteError,
    InvalidRequest,
    ModelNotFound,
    ModelRetired,
    OperationNotOffered,
    OutcomeUnknown,
    ProviderCredentials,
    WeightsMissing,
)
from celeste_image.core.events import Analyzed, CandidateRun, Event, Fidelity, Run, Saved, Started, Submitted
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.request import Edit, ImageRequest, Upscale
from celeste_image.pipeline.attempts import Attempts, may_try_another
from celeste_image.providers.registry import Registry

__all__ = ["cards_for", "check_able", "may_cost", "routing"]

log = structlog.get_logger("celeste_image.routes")


def routing(
    roads: Mapping[str, CandidateRun], registry: Registry, *, clock: Callable[[], float] = time.monotonic
) -> Run:
    """Sends a request down the road of a model's provider, and tries the next model if this one did nothing.

    A request stays with its model once it was sent without an answer, submitted, saved or refused by a safety system:
    see `Routing` in `operation.proto`. A ticket belongs to the first model, so with one no other model is tried.

    Args:
        roads: The rest of the pipeline, by the provider's name.
        registry: The models.
        clock: The time in seconds that deadlines count by.
    """

    async def routed(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        cards = cards_for(request, registry)
        if call.ticket is not None:
            del cards[1:]
        elif begun := [earlier for earlier in call.earlier if not earlier.did_nothing]:
            cards = [_begun_with(begun[-1], registry)]
        attempts, started = Attempts(), 0
        for card in cards:
            has_begun = False
            try:
                check_able(card, request, registry)
                started += 1
                yield Started(card.provider, card.id, started)
                line = attempts.model_line(request.model, card.id) or passed_over(card, request, registry)
                if line:
                    yield Fidelity(line)
                candidate = Candidate(call, card, has_fallback=card is not cards[-1], ticket=call.ticket)
                async with aclosing(roads[card.provider](_for_candidate(request, card), candidate)) as events:
                    async for event in events:
                        has_begun |= isinstance(event, Submitted | Saved | Analyzed)
                        if attempts.rises(event):
                            yield event
                return
            except CelesteError as error:
                attempts.add(card.id, error)
                is_late = call.deadline is not None and clock() >= call.deadline
                if has_begun or is_late or not may_try_another(error):
                    attempts.with_attempts(error)
                    raise
                if len(cards) > 1:
                    log.warning("model failed", model=card.id, reason=error.reason, request_id=call.request_id)
        raise attempts.final_error()

    return routed


def cards_for(request: ImageRequest, registry: Registry) -> list[ModelCard]:
    """Returns the models to try for a request, in order, each once. Some may turn out unable to do it.

    Raises:
        ModelNotFound: The request names an unknown model.
        OperationNotOffered: The request names no model, and no model does the operation.
        InvalidRequest: The request has options for an unknown provider.
    """
    for name in request.options.provider_options:
        if name not in registry.providers:
            known = ", ".join(sorted(registry.providers))
            path = f'options.provider_options["{name}"]'
            raise InvalidRequest.at(path, f"is not a provider of this server; the providers are {known}")
    cards = registry.named(request.model) if request.model else [_default_for(request, registry)]
    for index, name in enumerate(request.options.routing.fallback_models):
        try:
            cards += registry.named(name)
        except ModelNotFound as error:
            path = f"options.routing.fallback_models[{index}]"
            error.violations = tuple(replace(violation, field=path) for violation in error.violations)
            raise
    return list({card.id: card for card in cards}.values())


def may_cost(request: ImageRequest, registry: Registry) -> bool:
    """Returns whether one of the models of a request may have to be paid. A request that is refused costs nothing."""
    try:
        return any(card.is_paid is not False for card in cards_for(request, registry))
    except CelesteError:
        return False


def _begun_with(earlier: EarlierCall, registry: Registry) -> ModelCard:
    """Returns the model that an earlier run of a request came to: no other may do it. Raises OutcomeUnknown."""
    if card := registry.cards.get(earlier.model):
        return card
    text = f"an earlier call for this request may have been done by {earlier.model}, which this server no longer knows"
    raise OutcomeUnknown(text, metadata={"final": "true", "owed": "unknown", "ledger_entry": earlier.id})


def _default_for(request: ImageRequest, registry: Registry) -> ModelCard:
    """Returns the model for a request that names none: the first default that is ready and suits the request.

    Raises:
        OperationNotOffered: No model does the operation.
    """
    defaults = registry.defaults(request.kind)
    if not defaults:
        raise OperationNotOffered(f"no model of this server can {request.kind.value}")
    return registry.first_ready([card for card in defaults if _suits(card, request)] or defaults)


def passed_over(card: ModelCard, request: ImageRequest, registry: Registry) -> FidelityLine | None:
    """Returns the line about a default that lacks only its weights, when another model takes its place; else None.

    A model that we did not run is no one's default until its weights are here.
    """
    if request.model:
        return None
    defaults = [each for each in registry.defaults(request.kind) if _suits(each, request)]
    first = next((each for each in defaults if each.evidence is ModelEvidence.RUN), None)
    if first is None or first.id == card.id or not first.pull or registry.ready(first):
        return None
    text = f"{first.id} is the default, but {_not_ready(first).message}"
    return FidelityLine("model", FidelityOutcome.ADJUSTED, sent=card.id, message=text)


def _suits(card: ModelCard, request: ImageRequest) -> bool:
    """Returns whether a model has the edit, or the mode of upscaling, that a request asks for."""
    match request:
        case Edit(edit=edit):
            return edit.field in card.edits
        case Upscale(mode=mode) if mode:
            known = card.parameter(request.kind, "mode")
            return known is not None and isinstance(known.range, ChoiceRange) and mode in known.range.values
    return True


def check_able(card: ModelCard, request: ImageRequest, registry: Registry) -> None:
    """Checks that a model can do a request now.

    Raises:
        OperationNotOffered: The model does not do the operation, or the edit.
        ModelRetired: The model was retired.
        WeightsMissing: The model's weights are not on this machine.
        ProviderCredentials: The server has no usable key for the model.
    """
    if request.kind not in card.operations:
        models = [other.id for other in registry.offering(request.kind)]
        others = f"these can: {', '.join(models)}" if models else "no model here can"
        raise _not_offered(f"{card.id} can't {request.kind.value}; {others}", models)
    if isinstance(request, Edit) and request.edit.field not in card.edits:
        edit, own = request.edit.field, [other for other in registry.cards.values() if other.provider == card.provider]
        models = [other.id for other in own if edit in other.edits]
        others = f"these can: {', '.join(models)}" if models else f"no model of {card.provider} can"
        raise _not_offered(f"{card.id} can't {edit}; {others}", models)
    if card.stage is ModelStage.RETIRED:
        use = f"; use {card.replacement}" if card.replacement else ""
        since = f" on {card.ends_on}" if card.ends_on else ""
        raise ModelRetired(f"{card.id} was retired{since}{use}", metadata={"replacement": card.replacement})
    if not registry.ready(card):
        raise _not_ready(card)


def _for_candidate(request: ImageRequest, card: ModelCard) -> ImageRequest:
    """Returns a request for one model, without the options of other providers."""
    options = request.options
    if options.provider_options.keys() - {card.provider}:
        own = {name: given for name, given in options.provider_options.items() if name == card.provider}
        options = replace(options, provider_options=own)
    if request.model == card.id and options is request.options:
        return request
    return replace(request, model=card.id, options=options)


def _not_offered(text: str, models: list[str]) -> OperationNotOffered:
    return OperationNotOffered(text, metadata={"models": ",".join(models)})


def _not_ready(card: ModelCard) -> CelesteError:
    if card.pull:
        text = f"the weights of {card.id} are not on the server; get them with: {card.pull}"
        return WeightsMissing(text, metadata={"command": card.pull})
    provider = card.provider
    text = f"the server has no usable key for {provider}; run: celeste providers check {provider}"
    return ProviderCredentials(text, metadata={"provider": provider})
