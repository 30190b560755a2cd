"""Registry: finds the providers, of this package and of plug-ins, and knows their models, defaults and aliases."""

import difflib
import pkgutil
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from celeste_image.config import ConfigurationInvalid, Problem, problems_in, revealed
from celeste_image.core.card import ModelCard, ModelEvidence, ModelStage
from celeste_image.core.errors import ModelNotFound, Violation
from celeste_image.core.nearest import nearest
from celeste_image.core.request import OperationKind
from celeste_image.providers import vendors
from celeste_image.providers.base import Provider, Tools

if TYPE_CHECKING:
    from celeste_image.providers.catalog.overlay import Overlay

__all__ = [
    "ENTRY_POINT_GROUP",
    "Registry",
    "build_providers",
    "discover",
    "discover_kinds",
    "offer_providers",
    "stranger_card",
]

ENTRY_POINT_GROUP = "celeste_image.providers"
FIRST = "local"
FOLDERS = {"PROVIDER": "celeste_image.providers.local.provider", "KIND": "celeste_image.providers.kserve.provider"}
"""Modules with the class of a provider that is a folder, so that its engine does not import the class."""


def discover() -> dict[str, type[Provider]]:
    """Returns the classes of all providers by name, this machine's engines first, since they cost nothing.

    The first ready provider has the defaults, so a key in the environment changes no default.

    Raises:
        ValueError: Two providers have the same name: a plug-in must not replace another provider.
    """
    found: dict[str, type[Provider]] = {}
    for provider in (*_built_in(), *(point.load() for point in entry_points(group=ENTRY_POINT_GROUP))):
        if provider.name in found:
            raise ValueError(f"two providers are called {provider.name}: {found[provider.name]} and {provider}")
        found[provider.name] = provider
    return dict(sorted(found.items(), key=lambda item: item[0] != FIRST))


def discover_kinds() -> dict[str, type[Provider]]:
    """Returns the kinds of providers by name.

    A kind is an API that many servers have, such as OpenAI's. Each table of the configuration that says
    `kind = "NAME"`, or has the kind's name, becomes a provider with the models of that table.
    """
    return {kind.name: kind for kind in _offered("KIND")}


def build_providers(tables: Mapping[str, Mapping[str, Any]], tools: Tools | None = None) -> dict[str, Provider]:
    """Returns all providers by name: one for each class, and one for each table of a kind.

    Args:
        tables: The tables `[providers.NAME]` of the configuration.
        tools: What the providers work with; None means the real ones.

    Raises:
        ConfigurationInvalid: Tables have wrong values or names.
        ValueError: Two providers have the same name.
    """
    providers, problems = offer_providers(tables, tools)
    if problems:
        raise ConfigurationInvalid(problems)
    return providers


def offer_providers(
    tables: Mapping[str, Mapping[str, Any]], tools: Tools | None = None
) -> tuple[dict[str, Provider], list[Problem]]:
    """Returns the providers as `build_providers` does, and the mistakes of the tables whose providers are left out."""
    classes = discover()
    named = tables.keys() - classes.keys() or any("kind" in table for table in tables.values())
    kinds = discover_kinds() if named else {}  # late: few operators have one
    tools = tools or Tools()
    providers: dict[str, Provider] = {}
    problems: list[Problem] = []
    for name in [*classes, *(name for name in tables if name not in classes)]:
        path, table = ("providers", name), revealed(tables.get(name, {}))
        kind = str(table.pop("kind", "" if name in classes else name))
        if kind and (name in classes or kind not in kinds):
            problems.append(Problem(path, _no_provider(name, kind, classes, kinds)))
            continue
        cls = kinds[kind] if kind else classes[name]
        try:
            settings = cls.Settings.model_validate(table)
            providers[name] = cls(settings, tools, **({"name": name} if kind else {}))
        except (ValueError, OSError) as error:
            problems += problems_in(error, path, cls.Settings)
    return providers, problems


class Registry:
    """Knows the providers and models of a server, and which models a name stands for.

    Attributes:
        providers: The providers, by name.
        cards: The model cards by id, with the operator's changes. Ids outside every catalog are absent: see `find`.
        aliases: The operator's names; each stands for ids, in the order in which they are tried.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        *,
        overlay: "Overlay | None" = None,
        defaults: Mapping[OperationKind, Sequence[str]] | None = None,
        aliases: Mapping[str, Sequence[str]] | None = None,
        allow_unknown: Collection[str] = (),
    ) -> None:
        """Checks the operator's choices against the models.

        Args:
            providers: The providers, by name.
            overlay: Changes of cards, and new ones.
            defaults: Per operation, the ids for requests that name no model, in the order in which they are tried.
            aliases: See the attribute.
            allow_unknown: Names of providers whose models may be called by ids outside every catalog.

        Raises:
            ConfigurationInvalid: Choices name providers or models that are absent, or that can't do what is asked.
        """
        self.providers = providers
        self.cards = _cards_by_id(providers, overlay)
        self.aliases: Mapping[str, Sequence[str]] = {}
        self._defaults: Mapping[OperationKind, Sequence[str]] = {}
        self._unknown_ids: Mapping[str, str] = {}
        self.choose(defaults=defaults, aliases=aliases, allow_unknown=allow_unknown)

    def choose(
        self,
        *,
        defaults: Mapping[OperationKind, Sequence[str]] | None = None,
        aliases: Mapping[str, Sequence[str]] | None = None,
        allow_unknown: Collection[str] = (),
    ) -> None:
        """Replaces the operator's choices; those before stay if one is wrong.

        Raises:
            ConfigurationInvalid: As the constructor does.
        """
        before = self.aliases, self._defaults, self._unknown_ids
        self.aliases, self._defaults = dict(aliases or {}), dict(defaults or {})
        self._unknown_ids, problems = _unknown_ids(self.providers, allow_unknown)
        problems += self._wrong_choices()
        if problems:
            self.aliases, self._defaults, self._unknown_ids = before
            raise ConfigurationInvalid(problems)

    def ready(self, card: ModelCard) -> bool:
        """Returns whether a model can be used now: its key or its weights are here."""
        return self.providers[card.provider].ready(card)

    def configured(self, provider: str) -> bool:
        """Returns whether a provider has a model that can be used now."""
        return any(self.ready(card) for card in self.cards.values() if card.provider == provider)

    def offering(self, kind: OperationKind) -> list[ModelCard]:
        """Returns the models that do an operation."""
        return [card for card in self.cards.values() if kind in card.operations]

    def defaults(self, kind: OperationKind) -> list[ModelCard]:
        """Returns the models for requests that name none, in order: the operator's, else those of one provider.

        That provider is the first with a model that is ready. So a new key for another provider changes no default.
        """
        if chosen := self._defaults.get(kind):
            return [self.find(model) for model in chosen]
        offering = self.offering(kind)
        return [card for card in offering if card.provider == self.first_ready(offering).provider]

    def default(self, kind: OperationKind) -> ModelCard | None:
        """Returns the model for requests that name none, or None if no model can do the operation now."""
        cards = self.defaults(kind)
        card = self.first_ready(cards) if cards else None
        return card if card and self.ready(card) else None

    def first_ready(self, cards: Sequence[ModelCard]) -> ModelCard:
        """Returns the first of some models that can be used now, or else the first."""
        return next((card for card in cards if self.ready(card)), cards[0])

    def named(self, name: str) -> list[ModelCard]:
        """Returns the models that a name stands for, in order: those of an alias, or one. Raises as `find` does."""
        return [self.find(model) for model in self.aliases.get(name, (name,))]

    def find(self, model: str) -> ModelCard:
        """Returns a model's card. An unknown id that the operator allows gets a card like its nearest neighbor's.

        Raises:
            ModelNotFound: No model has this id.
        """
        if card := self.cards.get(model):
            return card
        provider, _, name = model.partition("/")
        if (form := self._unknown_ids.get(provider)) and re.fullmatch(form, name):
            return stranger_card(model, [card for card in self.cards.values() if card.provider == provider])
        nearest = difflib.get_close_matches(model, self.cards, n=5, cutoff=0.4)
        hint = f"; similar ids: {', '.join(nearest)}" if nearest else ""
        raise ModelNotFound(
            f"there is no model {model!r}{hint}",
            metadata={"nearest": ",".join(nearest)},
            violations=[Violation("model", "is not a model of this server")],
            resource=model,
        )

    def _wrong_choices(self) -> Iterator[Problem]:
        """Yields the defaults and aliases that name a model that is absent or can't do the operation."""
        for kind, models in self._defaults.items():
            offering = [card.id for card in self.offering(kind)]
            for model in models:
                if model not in offering:
                    others = ", ".join(offering)
                    yield Problem(("defaults", kind.value), f"{model!r} does not {kind.value}; these do: {others}")
        for alias, models in self.aliases.items():
            for model in models:
                try:
                    self.find(model)
                except ModelNotFound as error:
                    yield Problem(("aliases", alias), error.message)


def stranger_card(model: str, cards: Sequence[ModelCard]) -> ModelCard:
    """Returns a card for an id that is in no catalog: that of the active model with the nearest name, without prices.

    Args:
        model: The id.
        cards: The cards of its provider, at least one of which is not retired.
    """
    names = {card.id: card for card in cards if card.stage is not ModelStage.RETIRED}
    base = names[difflib.get_close_matches(model, names, n=1, cutoff=0)[0]]
    like = base.like or base.id
    return replace(
        base,
        id=model,
        title=model.partition("/")[2],
        summary=f"Not in the catalog; treated like {like}.",
        wire_id="",
        stage=ModelStage.ACTIVE,
        ends_on="",
        replacement="",
        evidence=ModelEvidence.UNSPECIFIED,
        prices=(),
        like=like,
    )


def _cards_by_id(providers: Mapping[str, Provider], overlay: "Overlay | None") -> dict[str, ModelCard]:
    """Returns the cards of all providers by id, with the operator's changes. Raises ConfigurationInvalid."""
    cards = [card for provider in providers.values() for card in provider.cards]
    if overlay:
        from celeste_image.providers.catalog.overlay import overlaid

        cards = [*overlaid(overlay, cards, providers)]
    return {card.id: card for card in cards}


def _unknown_ids(providers: Mapping[str, Provider], names: Collection[str]) -> tuple[dict[str, str], list[Problem]]:
    """Returns the pattern of ids outside the catalog, for each provider that may be called by them.

    The mistakes are names of providers that can't be called by such ids.
    """
    forms = {name: form for name, p in providers.items() if p.cards and (form := getattr(p, "model_form", ""))}
    text = f"takes no unknown ids; these do: {', '.join(forms)}"
    wrong = [Problem(("catalog", "allow_unknown"), f"{name!r} {text}") for name in names if name not in forms]
    return {name: forms[name] for name in names if name in forms}, wrong


def _no_provider(name: str, kind: str, classes: Collection[str], kinds: Collection[str]) -> str:
    known = f"the kinds are {', '.join(sorted(kinds))}"
    if name in classes:
        return "is a provider of its own and can't be of another kind"
    if kind != name:
        return f"there is no kind {kind!r}; {known}"
    near = nearest(name, [*classes, *kinds])
    hint = f"did you mean {near!r}? " if near else ""
    return f"there is no such provider; {hint}the providers are {', '.join(sorted(classes))}; {known}"


def _built_in() -> Iterator[type[Provider]]:
    yield from _offered("PROVIDER")


def _offered(word: str) -> Iterator[Any]:
    names = (module.name for module in pkgutil.iter_modules(vendors.__path__, vendors.__name__ + "."))
    for name in (*names, FOLDERS[word]):
        if provider := getattr(import_module(name), word, None):
            yield provider
