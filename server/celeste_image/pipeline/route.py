"""routing: which model does it, and which does it in its place."""

import difflib
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

import structlog

from celeste_image.core.call import Call, Candidate
from celeste_image.core.card import ChoiceRange, ModelCard, ModelStage
from celeste_image.core.errors import (
    CelesteError,
    InvalidRequest,
    ModelNotFound,
    ModelRetired,
    OperationNotOffered,
    ProviderCredentials,
    Violation,
    WeightsMissing,
)
from celeste_image.core.events import Analyzed, CandidateRun, Event, Fidelity, Run, Saved, Started, Submitted
from celeste_image.core.request import Edit, ImageRequest, OperationKind, Upscale
from celeste_image.pipeline.attempts import Rising, Trail, may_go_on
from celeste_image.providers.base import Provider
from celeste_image.providers.registry import stranger_card

__all__ = ["Routes", "routing"]

log = structlog.get_logger("celeste_image.routes")


class Routes:
    """The models there are, and those for requests that name none.

    Args:
        providers: All providers, by name.
        defaults: Per operation the ids to try in order; what is missing here comes in the order of the cards.
        aliases: The operator's names, each for ids to try in order.
        open_ids: Per provider that is called with ids of no card, too, what such ids look like, as a pattern.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        defaults: Mapping[OperationKind, Sequence[str]] | None = None,
        aliases: Mapping[str, Sequence[str]] | None = None,
        open_ids: Mapping[str, str] | None = None,
    ) -> None:
        self._providers = providers
        self._defaults = defaults or {}
        self.aliases = dict(aliases or {})
        self._open_ids = open_ids or {}
        self.cards = {card.id: card for p in providers.values() for card in p.cards}

    def ready(self, card: ModelCard) -> bool:
        """Tells whether a model can be used now."""
        return self._providers[card.provider].ready(card)

    def offering(self, kind: OperationKind) -> list[str]:
        """Returns the ids of the models that do an operation."""
        return [card.id for card in self.cards.values() if kind in card.operations]

    def default(self, kind: OperationKind) -> str:
        """Returns the model for requests that name none: the first that is ready.

        Raises:
            OperationNotOffered: No model does it.
            WeightsMissing: None of those that do can be used.
        """
        card = self._default(kind)
        if not self.ready(card):
            raise _not_ready(card)
        return card.id

    def _default(self, kind: OperationKind) -> ModelCard:
        """Returns the first default that is ready, else the first. Raises OperationNotOffered if there is none."""
        cards = [self.find(model) for model in self._defaults.get(kind) or self.offering(kind)]
        if not cards:
            raise OperationNotOffered(f"no model of this server can {kind.value}")
        return next((card for card in cards if self.ready(card)), cards[0])

    def _default_for(self, request: ImageRequest) -> ModelCard:
        """Returns the model for a request that names none: among the defaults the first that is ready and suits it.

        Where the operator set no defaults, they are of one provider: a key for another one changes nothing.

        Raises:
            OperationNotOffered: No model does the operation.
        """
        first, chosen = self._default(request.kind), self._defaults.get(request.kind)
        cards = [self.find(model) for model in chosen or self.offering(request.kind)]
        suited = [c for c in cards if suits(c, request) and (chosen or c.provider == first.provider)] or [first]
        return next((card for card in suited if self.ready(card)), suited[0])

    def find(self, model: str) -> ModelCard:
        """Returns a model's card; for an id that is in no catalog and may pass, one like its neighbor's.

        Raises:
            ModelNotFound: There is no such model.
        """
        if card := self.cards.get(model):
            return card
        provider, _, name = model.partition("/")
        if (form := self._open_ids.get(provider)) and re.fullmatch(form, name):
            return stranger_card(model, self._providers[provider].cards)
        nearest = ", ".join(difflib.get_close_matches(model, self.cards, n=5, cutoff=0.4))
        hint = f"; near it: {nearest}" if nearest else ""
        raise ModelNotFound(
            f"there is no model {model!r}{hint}",
            metadata={"nearest": nearest.replace(" ", "")},
            violations=[Violation("model", "is no model of this server")],
            resource=model,
        )

    def models(self, name: str) -> Sequence[str]:
        """Returns the ids that a name stands for, in order: those of an alias, or the name itself."""
        return self.aliases.get(name, (name,))

    def candidates(self, request: ImageRequest) -> list[str]:
        """Returns the ids of the models that may do a request, in order, each once; not all of them can.

        Raises:
            ModelNotFound: It names a model that is not there.
            OperationNotOffered: It names none, and no model does this.
            InvalidRequest: Its provider options are for a provider that is not there.
        """
        for name in request.options.provider_options:
            if name not in self._providers:
                known = ", ".join(sorted(self._providers))
                path = f'options.provider_options["{name}"]'
                raise InvalidRequest.at(path, f"is for no provider of this server; they are {known}")
        found = [card.id for card in self._named(request)]
        return list(dict.fromkeys(found))

    def _named(self, request: ImageRequest) -> Iterator[ModelCard]:
        if request.model:
            yield from map(self.find, self.models(request.model))
        else:
            yield self._default_for(request)
        for index, name in enumerate(request.options.routing.fallback_models):
            try:
                yield from map(self.find, self.models(name))
            except ModelNotFound as error:
                path = f"options.routing.fallback_models[{index}]"
                error.violations = tuple(replace(violation, field=path) for violation in error.violations)
                raise

    def able(self, model: str, request: ImageRequest) -> ModelCard:
        """Returns the card of a model that can do a request now.

        Raises:
            OperationNotOffered: The model does not do this.
            ModelRetired: It is no more.
            WeightsMissing: Its weights are not there.
            ProviderCredentials: There is no key for it.
        """
        card = self.find(model)
        if request.kind not in card.operations:
            models = ", ".join(self.offering(request.kind))
            raise OperationNotOffered(
                f"{card.id} can't {request.kind.value}; " + (f"these can: {models}" if models else "no model here can"),
                metadata={"models": models.replace(" ", "")},
            )
        if card.stage is ModelStage.RETIRED:
            use = f"; use {card.replacement}" if card.replacement else ""
            gone = f" on {card.ends_on}" if card.ends_on else ""
            raise ModelRetired(f"{card.id} was retired{gone}{use}", metadata={"replacement": card.replacement})
        if not self.ready(card):
            raise _not_ready(card)
        return card


def suits(card: ModelCard, request: ImageRequest) -> bool:
    """Tells whether a model that does an operation does it in the way that is asked for: an edit's kind, a method."""
    match request:
        case Edit(edit=edit):
            return edit.field in card.edits
        case Upscale(method=method) if method:
            known = card.parameter(request.kind, "method")
            return known is not None and isinstance(known.range, ChoiceRange) and method in known.range.values
    return True


def routing(attempt: Mapping[str, CandidateRun], routes: Routes, *, clock: Callable[[], float] = time.monotonic) -> Run:
    """Hands the request to the road of a model's provider, and to the next model's when the one before did nothing.

    What was sent and not answered, submitted, saved or refused by a safety system stays with its model: see `Routing`
    in `operation.proto`. A ticket is one of the first model and of no other.
    """

    async def routed(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        models = routes.candidates(request)
        if call.ticket is not None:
            del models[1:]
        trail, started, rising = Trail(), 0, Rising()
        for model in models:
            begun = False
            try:
                card = routes.able(model, request)
                started += 1
                yield Started(card.provider, card.id, started)
                if line := trail.line(request.model, card.id):
                    yield Fidelity(line)
                candidate = Candidate(call, card, has_fallback=model != models[-1], ticket=call.ticket)
                async with aclosing(attempt[card.provider](_for_one(request, card), candidate)) as events:
                    async for event in events:
                        begun |= isinstance(event, Submitted | Saved | Analyzed)
                        if rising.passes(event):
                            yield event
                return
            except CelesteError as error:
                trail.add(model, error)
                late = call.deadline is not None and clock() >= call.deadline
                if begun or late or not may_go_on(error):
                    trail.told(error)
                    raise
                if len(models) > 1:
                    log.warning("model left", model=model, reason=error.reason, request_id=call.request_id)
        raise trail.ended()

    return routed


def _for_one(request: ImageRequest, card: ModelCard) -> ImageRequest:
    """Returns a request for one model: no other provider's options go there."""
    own = {name: given for name, given in request.options.provider_options.items() if name == card.provider}
    return replace(request, model=card.id, options=replace(request.options, provider_options=own))


def _not_ready(card: ModelCard) -> CelesteError:
    if card.pull:
        text = f"the weights of {card.id} are not on the server; get them with: {card.pull}"
        return WeightsMissing(text, metadata={"command": card.pull})
    text = (
        f"the server has no key for {card.provider} that can be used; celeste providers check {card.provider} says more"
    )
    return ProviderCredentials(text, metadata={"provider": card.provider})
