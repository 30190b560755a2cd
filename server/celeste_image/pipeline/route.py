"""routing: which model does it."""

import difflib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from celeste_image.core.card import ChoiceRange, LifecycleState, ModelCard
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
from celeste_image.core.events import Event, Run, Started
from celeste_image.core.request import Call, Edit, ImageRequest, OperationKind, Upscale
from celeste_image.providers.base import Provider

__all__ = ["Routes", "routing"]


class Routes:
    """The models there are, and those for requests that name none.

    Args:
        providers: All providers, by name.
        defaults: Per operation the ids to try in order; what is missing here comes in the order of the cards.
    """

    def __init__(
        self, providers: Mapping[str, Provider], defaults: Mapping[OperationKind, Sequence[str]] | None = None
    ) -> None:
        self._providers = providers
        self._defaults = defaults or {}
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
        candidates = self._defaults.get(kind) or self.offering(kind)
        if not candidates:
            raise OperationNotOffered(f"no model of this server can {kind.value}")
        for model in candidates:
            if self.ready(self.find(model)):
                return model
        raise _not_ready(self.find(candidates[0]))

    def default_for(self, request: ImageRequest) -> str:
        """Returns the model for a request that names none: among the defaults the first that is ready and suits it.

        Where the operator set no defaults, they are of one provider: a key for another one changes nothing.

        Raises:
            OperationNotOffered: No model does the operation.
            WeightsMissing: None of those that do can be used.
        """
        first = self.find(self.default(request.kind))
        candidates = [self.find(model) for model in self._defaults.get(request.kind) or self.offering(request.kind)]
        if request.kind not in self._defaults:
            candidates = [card for card in candidates if card.provider == first.provider]
        suited = [card for card in candidates if suits(card, request)] or [first]
        return next((card.id for card in suited if self.ready(card)), suited[0].id)

    def find(self, model: str) -> ModelCard:
        """Returns a model's card.

        Raises:
            ModelNotFound: There is no such model.
        """
        if card := self.cards.get(model):
            return card
        nearest = ", ".join(difflib.get_close_matches(model, self.cards, n=5, cutoff=0.4))
        hint = f"; near it: {nearest}" if nearest else ""
        raise ModelNotFound(
            f"there is no model {model!r}{hint}",
            metadata={"nearest": nearest.replace(" ", "")},
            violations=[Violation("model", "is no model of this server")],
            resource=model,
        )

    def choose(self, request: ImageRequest) -> ModelCard:
        """Returns the card of the model that does a request.

        Raises:
            ModelNotFound: It names a model that is not there.
            OperationNotOffered: The model does not do this, or no model does.
            WeightsMissing: The model can't be used now.
            InvalidRequest: Its provider options are for a provider that is not there.
        """
        for name in request.options.provider_options:
            if name not in self._providers:
                known = ", ".join(sorted(self._providers))
                path = f'options.provider_options["{name}"]'
                raise InvalidRequest.at(path, f"is for no provider of this server; they are {known}")
        card = self.find(request.model or self.default_for(request))
        if request.kind not in card.operations:
            models = ", ".join(self.offering(request.kind))
            raise OperationNotOffered(
                f"{card.id} can't {request.kind.value}; " + (f"these can: {models}" if models else "no model here can"),
                metadata={"models": models.replace(" ", "")},
            )
        if card.state is LifecycleState.RETIRED:
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
            return card.parameter(request.kind, edit.field) is not None
        case Upscale(method=method) if method:
            known = card.parameter(request.kind, "method")
            return known is not None and isinstance(known.range, ChoiceRange) and method in known.range.values
    return True


def routing(attempt: Mapping[str, Run], routes: Routes) -> Run:
    """Chooses the model and hands the request to its provider's road."""

    async def routed(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        card = routes.choose(request)
        yield Started(card.provider, card.id)
        async with aclosing(attempt[card.provider](replace(request, model=card.id), call)) as events:
            async for event in events:
                yield event

    return routed


def _not_ready(card: ModelCard) -> CelesteError:
    if card.pull:
        text = f"the weights of {card.id} are not on the server; get them with: {card.pull}"
        return WeightsMissing(text, metadata={"command": card.pull})
    text = f"the server has no key for {card.provider}; celeste providers check {card.provider} says more"
    return ProviderCredentials(text, metadata={"provider": card.provider})
