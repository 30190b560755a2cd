"""Finds the providers: those beside this file, then those of other packages by entry point; and their kinds."""

import difflib
import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from celeste_image.config import explain, revealed
from celeste_image.core.card import ModelCard, ModelEvidence, ModelStage
from celeste_image.providers import vendors
from celeste_image.providers.base import Provider, Tools
from celeste_image.providers.catalog.overlay import Overlay, overlaid

__all__ = [
    "ENTRY_POINT_GROUP",
    "build_providers",
    "discover",
    "discover_kinds",
    "open_ids_of",
    "overlay_cards",
    "stranger_card",
]

ENTRY_POINT_GROUP = "celeste_image.providers"
FIRST = "local"
FOLDERS = ("celeste_image.providers.kserve.provider", "celeste_image.providers.local.provider")
"""Providers of several files, which keep their class in `provider`, so that their engines need not import it."""


def discover() -> dict[str, type[Provider]]:
    """Returns every provider's class by its name, this machine's engines first: they cost nothing.

    A request that names no model gets the first that is ready, so a key in the environment changes no default.

    Raises:
        ValueError: Two have the same name: a plug-in must not shadow another provider.
    """
    found: dict[str, type[Provider]] = {}
    for provider in (*_built_in(), *(point.load() for point in entry_points(group=ENTRY_POINT_GROUP))):
        if provider.name in found:
            raise ValueError(f"two providers are called {provider.name}: {found[provider.name]} and {provider}")
        found[provider.name] = provider
    return dict(sorted(found.items(), key=lambda item: item[0] != FIRST))


def discover_kinds() -> dict[str, type[Provider]]:
    """Returns the kinds of providers by their names.

    A kind is an API that many places have, such as OpenAI's: its class makes a provider of each table of the
    configuration that says `kind = "NAME"` or is called as the kind is, with the models of that table.
    """
    return {kind.name: kind for kind in _offered("KIND")}


def build_providers(tables: Mapping[str, Mapping[str, Any]], tools: Tools | None = None) -> dict[str, Provider]:
    """Returns every provider there is, and one of a kind for each table that asks for it. Raises ValueError."""
    classes, kinds = discover(), discover_kinds()
    tools = tools or Tools()
    providers: dict[str, Provider] = {}
    for name in [*classes, *(name for name in tables if name not in classes)]:
        table = revealed(tables.get(name, {}))
        kind = str(table.pop("kind", "" if name in classes else name))
        if kind and (name in classes or kind not in kinds):
            raise ValueError(_no_provider(name, kind, classes, kinds))
        try:
            if kind:
                found = kinds[kind]
                providers[name] = found(found.Settings.model_validate(table), tools, name=name)  # type: ignore[call-arg]
            else:
                cls = classes[name]
                providers[name] = cls(cls.Settings.model_validate(table), tools)
        except ValidationError as error:
            raise ValueError(explain(error, f"providers.{name}")) from error
    return providers


def overlay_cards(providers: Mapping[str, Provider], overlay: Overlay) -> None:
    """Gives providers the cards that the operator wants them to have. Raises ValueError."""
    names = {model.id: model.id.partition("/")[0] for model in overlay.models}
    for model, name in names.items():
        if name not in providers:
            raise ValueError(f"catalog: {model}: there is no provider {name!r}; they are {', '.join(providers)}")
    cards = overlaid(overlay, [card for provider in providers.values() for card in provider.cards])
    for name in set(names.values()):
        providers[name].cards = tuple(card for card in cards if card.provider == name)


def open_ids_of(providers: Mapping[str, Provider], names: Collection[str]) -> dict[str, str]:
    """Returns for each provider that takes ids which no catalog has what they look like. Raises ValueError."""
    forms = {name: form for name, p in providers.items() if p.cards and (form := getattr(p, "model_form", ""))}
    if wrong := [name for name in names if name not in forms]:
        raise ValueError(f"catalog.allow_unknown: {wrong[0]!r} can't be; these can: {', '.join(forms)}")
    return {name: forms[name] for name in names}


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
        summary=f"Not in the catalog; taken to be like {like}.",
        wire_id="",
        stage=ModelStage.ACTIVE,
        ends_on="",
        replacement="",
        evidence=ModelEvidence.UNSPECIFIED,
        prices=(),
        like=like,
    )


def _no_provider(name: str, kind: str, classes: Collection[str], kinds: Collection[str]) -> str:
    known = f"the kinds are {', '.join(sorted(kinds))}"
    if name in classes:
        return f"[providers.{name}]: is a provider of its own and can't be of another kind"
    if kind != name:
        return f"[providers.{name}]: there is no kind {kind!r}; {known}"
    return f"[providers.{name}]: there is no such provider; they are {', '.join(sorted(classes))}; {known}"


def _built_in() -> Iterator[type[Provider]]:
    yield from _offered("PROVIDER")


def _offered(word: str) -> Iterator[Any]:
    names = (module.name for module in pkgutil.iter_modules(vendors.__path__, vendors.__name__ + "."))
    for name in (*names, *FOLDERS):
        if provider := getattr(import_module(name), word, None):
            yield provider
